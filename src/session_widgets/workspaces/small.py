"""Small objects through obstore, whose requests need a tenth of the CPU time of boto3's.

obstore sends each request once. If it fails for any reason but a precondition, boto3 sends the request again: boto3
retries, follows a bucket to its region, and its errors contain the store's answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from session_widgets.workspaces import clients
from session_widgets.workspaces.connect import Connection

if TYPE_CHECKING:
    from obstore import PutMode
    from obstore.store import ClientConfig, S3Credential, S3Store

LARGEST = 1 << 20
"""Bytes of the largest object that is read and written at once; larger objects stream through boto3."""
GIVE_UP = 16
"""After this many failures in a row, only boto3 is used until `try_again`."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class ConditionFailed(Exception):
    """Precondition failed: the object changed, or exists already."""


class SmallObject(NamedTuple):
    """The answer to a GET."""

    body: bytes
    etag: str
    modified: datetime
    metadata: Mapping[str, str]


class SmallObjects:
    """Reads and writes small objects of a bucket. Thread-safe.

    `put` and `get` return None if the request has to go through boto3 instead.

    Args:
        connection: the bucket's store; its credentials are read again before those in use expire.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._making = Lock()
        self._store: S3Store | None = None
        self._failures = 0

    def try_again(self) -> None:
        """Use obstore again, regardless of earlier failures."""
        self._failures = 0

    def put(self, key: str, body: bytes, metadata: Mapping[str, str], if_match: str | None) -> str | None:
        """Store an object and return its ETag.

        Args:
            key: the whole key.
            body: the content.
            metadata: user metadata of the object.
            if_match: the ETag that the object must have, "" if it must not exist, None for no condition.

        Raises:
            ConditionFailed: the condition does not hold.
        """
        if len(body) > LARGEST or not self._takes(key):
            return None
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        mode: PutMode = "overwrite" if if_match is None else {"e_tag": if_match} if if_match else "create"
        try:
            answer = self._client().put(key, body, attributes=dict(metadata), mode=mode, use_multipart=False)
        except (AlreadyExistsError, PreconditionError) as error:  # the latter also for a 404 of Amazon S3
            self._failures = 0
            raise ConditionFailed(key) from error
        except (BaseError, OSError, ValueError):
            self._failures += 1
            return None
        self._failures = 0
        return (answer["e_tag"] or "").strip('"') or None

    def get(self, key: str) -> SmallObject | None:
        """Read an object."""
        if not self._takes(key):
            return None
        from obstore.exceptions import BaseError

        try:
            answer = self._client().get(key)
            meta = answer.meta
            if meta["size"] > LARGEST:
                return None
            body = bytes(answer.bytes())
        except (BaseError, OSError, ValueError):
            self._failures += 1
            return None
        self._failures = 0
        metadata = {str(name): value for name, value in answer.attributes.items()}
        return SmallObject(body, (meta["e_tag"] or "").strip('"'), meta["last_modified"], metadata)

    def _takes(self, key: str) -> bool:
        """Whether obstore works and would not refuse or change this key."""
        names = key.split("/")
        return self._failures < GIVE_UP and not _CONTROL.search(key) and not {"", ".", ".."}.intersection(names)

    def _client(self) -> S3Store:
        with self._making:
            if self._store is None:
                self._store = self._make()
            return self._store

    def _make(self) -> S3Store:
        """Make the client. Each setting is explicit, because obstore reads missing ones from the environment."""
        from obstore.store import S3Store

        to, bucket = self._connection, self._connection.bucket
        scheme, _, host = to.endpoint.partition("://")
        virtual = to.is_aws and "." not in bucket
        options: ClientConfig = {
            "allow_http": scheme == "http",
            "allow_invalid_certificates": False,
            "connect_timeout": timedelta(seconds=clients.CONNECT_SECONDS),
            "read_timeout": timedelta(seconds=clients.READ_SECONDS),
            "timeout": timedelta(days=1),  # of the whole request; `read_timeout` is the limit
        }
        if scheme == "https":
            options["root_certificate"] = clients.certificates()
        return S3Store(
            bucket,
            aws_endpoint_url_s3=f"{scheme}://{bucket}.{host}" if virtual else to.endpoint,
            virtual_hosted_style_request=virtual,
            region=to.region,
            conditional_put="etag",
            checksum_algorithm="SHA256",  # SeaweedFS does not check the signed hash of the body
            skip_signature=False,
            unsigned_payload=False,
            s3_express=False,
            client_options=options,
            retry_config={"max_retries": 0},
            credential_provider=self._keys,
        )

    def _keys(self) -> S3Credential:
        keys = self._connection.credentials()
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.session_token,
            "expires_at": keys.renew_at,
        }
