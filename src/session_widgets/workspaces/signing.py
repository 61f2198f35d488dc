"""Requests for one object that expire: they permit nothing else, and carry no key."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from session_widgets.host.direct import Method
from session_widgets.host.manifest import Entry
from session_widgets.host.object_metadata import metadata_of
from session_widgets.workspaces.bucket import Prefix
from session_widgets.workspaces.bucket_location import BucketLocation
from session_widgets.workspaces.objects import ObjectInfo

EXPIRES_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Signed:
    """A request; its headers are part of the signature."""

    method: Method
    url: str
    headers: Mapping[str, str]


class Signer:
    """Signs requests for the objects of a session, with the current keys of its bucket."""

    def __init__(self, objects: BucketLocation) -> None:
        self._objects = objects

    @property
    def endpoint(self) -> str:
        """The address of the store."""
        return self._objects.connection.endpoint

    def get(self, info: ObjectInfo) -> Signed:
        """Read this version of an object."""
        return self._sign("GET", self._objects.prefix, info.path, {"if-match": f'"{info.etag}"'})

    def put(self, entry: Entry, etag: str) -> Signed:
        """Store this content of an entry.

        Args:
            entry: a file or a link, with its MD5.
            etag: of the object that is replaced, "" if there must be none.
        """
        headers = {f"x-amz-meta-{name}": value for name, value in metadata_of(entry).items()}
        headers["content-md5"] = b64encode(bytes.fromhex(entry.md5)).decode()
        headers |= {"if-match": f'"{etag}"'} if etag else {"if-none-match": "*"}
        return self._sign("PUT", self._objects.prefix, entry.path, headers)

    def look(self) -> tuple[Signed, str]:
        """Ask for the lease of the session, without its content; its ETag is the second value."""
        siblings, path = self._objects.lease.place
        found = siblings.head(path)
        return self._sign("HEAD", siblings, path, {}), found.etag if found else ""

    def _sign(self, method: Method, prefix: Prefix, path: str, headers: Mapping[str, str]) -> Signed:
        from botocore.auth import S3SigV4QueryAuth
        from botocore.awsrequest import AWSRequest

        url = f"{self._bucket()}/{quote(prefix.prefix + path, safe='/~')}"
        request: Any = AWSRequest(method, url, headers=dict(headers))
        S3SigV4QueryAuth(self._keys(), "s3", self._objects.connection.region, EXPIRES_SECONDS).add_auth(request)
        return Signed(method, request.url, headers)

    def _bucket(self) -> str:
        to = self._objects.connection
        scheme, _, host = to.endpoint.partition("://")
        return f"{scheme}://{to.bucket}.{host}" if to.is_aws and "." not in to.bucket else f"{to.endpoint}/{to.bucket}"

    def _keys(self) -> Any:
        from botocore.credentials import Credentials

        keys = self._objects.connection.credentials()
        return Credentials(keys.access_key, keys.secret_key, keys.session_token)
