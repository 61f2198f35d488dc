"""The objects of one session in a bucket: one file is one key below `prefix`; keys outside it are never accessed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import IO, Any, Literal

from session_widgets.errors import NotFound, WorkspaceError
from session_widgets.host.manifest import md5 as digest_of
from session_widgets.workspaces.explain import explain
from session_widgets.workspaces.objects import (
    Changed,
    Listing,
    ObjectInfo,
    Page,
    Torn,
    is_no_file_of_ours,
    is_path,
    untangled,
)
from session_widgets.workspaces.small import LARGEST, ConditionFailed, SmallObjects

BATCH = 1000
CHUNK = 1 << 20
SINGLE_PUT = 512 << 20
"""Larger files are uploaded in parts; their ETag is then not an MD5."""
PART = 64 << 20
WIPE_ROUNDS = 5
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""Characters that XML cannot contain: keys with them are not deleted in batches."""
TORN = frozenset({"BadDigest", "InvalidDigest", "IncompleteBody", "XAmzContentSHA256Mismatch"})


class Prefix:
    """The objects below one prefix of a bucket. Thread-safe; every failure is a `WorkspaceError`.

    Args:
        client: boto3's S3 client.
        prefix: ends in "/".
        small: reads and writes small objects; None to use boto3.
    """

    def __init__(self, client: Any, bucket: str, prefix: str, small: SmallObjects | None = None) -> None:
        self.client = client
        self.small = small
        self.bucket = bucket
        self.prefix = prefix

    def listing(self) -> Listing:
        """Return all objects, in pages of 1,000, without markers of folders with content."""
        found: dict[str, ObjectInfo] = {}
        strange: list[str] = []
        token: dict[str, str] = {}
        while True:
            with self._explained():
                page = self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, **token)
            for row in page.get("Contents", ()):
                self._sort_in(row, found, strange)
            if not page.get("IsTruncated"):
                break
            token = {"ContinuationToken": page["NextContinuationToken"]}
        return untangled(found, strange)

    def page(self, folder: str = "", *, token: str | None = None, limit: int = BATCH) -> Page:
        """Return one page of a folder (a path, "" for the root): its direct entries."""
        start = f"{self.prefix}{folder}/" if folder else self.prefix
        more = {"ContinuationToken": token} if token else {}
        with self._explained():
            answer = self.client.list_objects_v2(
                Bucket=self.bucket, Prefix=start, Delimiter="/", MaxKeys=min(limit, BATCH), **more
            )
        folders = (row["Prefix"][len(self.prefix) : -1] for row in answer.get("CommonPrefixes", ()))
        found: dict[str, ObjectInfo] = {}
        for row in answer.get("Contents", ()):
            if row["Key"] != start:
                self._sort_in(row, found, [])
        files = tuple(info for info in found.values() if info.kind == "file")
        here = {info.path for info in found.values() if info.kind == "directory"}
        here |= {path for path in folders if is_path(path)}
        return Page(tuple(sorted(here)), files, answer.get("NextContinuationToken"))

    def is_empty(self) -> bool:
        """Whether there is no object; SeaweedFS lists folders whose objects were deleted."""
        with self._explained():
            return not self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1).get("KeyCount")

    def head(self, path: str) -> ObjectInfo | None:
        """Return one object, None if it does not exist."""
        with self._explained():
            try:
                row = self.client.head_object(Bucket=self.bucket, Key=self.prefix + path)
            except self.client.exceptions.ClientError as error:
                if _status(error) == 404:
                    return None
                raise
        return ObjectInfo(path, "file", row["ContentLength"], row["ETag"].strip('"'), row["LastModified"])

    def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of an object: `length` from `offset`, fewer at its end."""
        if length == 0:
            return b""
        ranged = {} if not offset and length is None else {"Range": _range(offset, length)}
        with self._explained():
            try:
                answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + path, **ranged)
            except self.client.exceptions.ClientError as error:
                if _status(error) == 416:
                    return b""
                raise
            data: bytes = answer["Body"].read()
            return data

    @contextmanager
    def reading(self, path: str, size: int | None = None) -> Iterator[tuple[IO[bytes], ObjectInfo, Mapping[str, str]]]:
        """Open an object: its stream, its properties, and its metadata.

        Args:
            path: of the object.
            size: bytes according to a listing, if known.
        """
        if self.small is not None and size is not None and size <= LARGEST:
            found = self.small.get(self.prefix + path)
            if found is not None:
                yield (
                    BytesIO(found.body),
                    ObjectInfo(path, "file", len(found.body), found.etag, found.modified),
                    found.metadata,
                )
                return
        with self._explained():
            answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + path)
            info = ObjectInfo(path, "file", answer["ContentLength"], answer["ETag"].strip('"'), answer["LastModified"])
            with answer["Body"] as body:
                yield body, info, answer.get("Metadata") or {}

    def put(
        self,
        path: str,
        body: bytes | IO[bytes],
        size: int,
        *,
        metadata: dict[str, str],
        md5: str = "",
        if_match: str | None,
    ) -> str:
        """Store an object and return its ETag.

        Args:
            path: ends in "/" for the marker of a directory.
            body: bytes, or a file open for reading.
            size: number of bytes.
            metadata: stored with it.
            md5: hexadecimal; a body with another MD5 is refused.
            if_match: the ETag that the object must have, "" if it must not exist, None for no condition.

        Raises:
            Changed: the object does not match `if_match`.
            Torn: the body has another MD5.
        """
        if size <= LARGEST and not isinstance(body, bytes):
            body = body.read(size + 1)  # boto3 would check a stream first
        if isinstance(body, bytes) and (etag := self._put_small(path, body, metadata, md5, if_match)):
            return etag
        condition = {} if if_match is None else {"IfMatch": if_match} if if_match else {"IfNoneMatch": "*"}
        place = {"Bucket": self.bucket, "Key": self.prefix + path}
        with self._explained():
            try:
                if not isinstance(body, bytes) and size > SINGLE_PUT:
                    return self._put_in_parts(path, body, metadata, md5, if_match)
                checked = {"ContentMD5": _base64(md5)} if md5 else {}
                answer = self.client.put_object(**place, Body=body, Metadata=metadata, **checked, **condition)
            except self.client.exceptions.ClientError as error:
                if _status(error) in {409, 412} or (if_match and _code(error) == "NoSuchKey"):
                    raise Changed(path) from error
                if _code(error) in TORN:
                    raise Torn(path) from error
                raise
        return str(answer["ETag"]).strip('"')

    def _put_small(
        self, path: str, body: bytes, metadata: dict[str, str], md5: str, if_match: str | None
    ) -> str | None:
        if self.small is None:
            return None
        if md5 and digest_of(body).hexdigest() != md5:
            raise Torn(path)
        try:
            return self.small.put(self.prefix + path, body, metadata, if_match)
        except ConditionFailed as error:
            raise Changed(path) from error

    def _put_in_parts(
        self, path: str, body: IO[bytes], metadata: dict[str, str], md5: str, if_match: str | None
    ) -> str:
        """Upload in parts: the object appears only when it is complete; the store checks no MD5."""
        place = {"Bucket": self.bucket, "Key": self.prefix + path}
        upload = place | {"UploadId": self.client.create_multipart_upload(**place, Metadata=metadata)["UploadId"]}
        try:
            parts: list[dict[str, Any]] = []
            digest = digest_of()
            while piece := body.read(PART):
                digest.update(piece)
                number = len(parts) + 1
                part = self.client.upload_part(**upload, PartNumber=number, Body=piece, ContentLength=len(piece))
                parts.append({"PartNumber": number, "ETag": part["ETag"]})
            if md5 and digest.hexdigest() != md5:
                raise Torn(path)
            there = None if if_match is None else self.head(path)
            if if_match is not None and (there.etag if there else "") != if_match:
                raise Changed(path)
            done = self.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        except BaseException:
            with suppress(Exception):
                self.client.abort_multipart_upload(**upload)
            raise
        return str(done["ETag"]).strip('"')

    def delete(self, path: str, *, if_match: str | None = None) -> None:
        """Delete exactly this object, if it exists. Raises `Changed` if it does not match `if_match`."""
        condition = {} if if_match is None else {"IfMatch": if_match}
        with self._explained():
            try:
                self.client.delete_object(Bucket=self.bucket, Key=self.prefix + path, **condition)
            except self.client.exceptions.ClientError as error:
                if _status(error) == 412:
                    raise Changed(path) from error
                if _status(error) != 404:
                    raise

    def copy(self, source: str, target: str) -> None:
        """Copy an object inside the store, with its metadata."""
        origin = {"Bucket": self.bucket, "Key": self.prefix + source}
        with self._explained():
            self.client.copy(origin, self.bucket, self.prefix + target)

    def copy_from(
        self, other: Prefix, source: str, target: str, *, if_match: str | None, metadata: dict[str, str] | None = None
    ) -> None:
        """Copy an object of another prefix of this bucket inside the store.

        Args:
            other: the other prefix.
            source: the object there.
            target: the object here; replaced if it exists.
            if_match: the ETag that the source must have; None for no condition.
            metadata: of the target; by default that of the source.

        Raises:
            Changed: the source does not match.
            NotFound: there is no source.
        """
        condition = {} if if_match is None else {"CopySourceIfMatch": if_match}
        replaced = {} if metadata is None else {"MetadataDirective": "REPLACE", "Metadata": metadata}
        origin = {"Bucket": other.bucket, "Key": other.prefix + source}
        place = {"Bucket": self.bucket, "Key": self.prefix + target}
        with self._explained():
            try:
                self.client.copy_object(**place, CopySource=origin, **condition, **replaced)
            except self.client.exceptions.ClientError as error:
                if _status(error) == 412:
                    raise Changed(source) from error
                raise

    def delete_folder(self, folder: str) -> None:
        """Delete everything below a folder, and its marker; "" is everything. Raises unless it is empty afterwards."""
        start = f"{self.prefix}{folder}/" if folder else self.prefix
        for _ in range(WIPE_ROUNDS):
            keys = list(self._keys(start))
            if not keys:
                return
            plain = [key for key in keys if not CONTROL.search(key)]
            for first in range(0, len(plain), BATCH):
                self._delete_batch(plain[first : first + BATCH])
            for key in keys:
                if CONTROL.search(key):
                    self.delete(key.removeprefix(self.prefix))
        raise WorkspaceError(
            f"s3://{self.bucket}/{start} still holds objects after {WIPE_ROUNDS} rounds of deleting: another client "
            "writes there. Stop the writer and delete again.",
            reason="mismatch",
        )

    def abort_uploads(self) -> None:
        """Delete leftovers of killed uploads."""
        with self._explained():
            pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=self.prefix)
            for upload in [upload for page in pages for upload in page.get("Uploads", ())]:
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])

    def digest(self, path: str) -> tuple[str, str]:
        """Read an object and return its ETag and the MD5 of its content, which may differ."""
        digest = digest_of()
        with self.reading(path) as (body, now, _):
            while piece := body.read(CHUNK):
                digest.update(piece)
        return now.etag, digest.hexdigest()

    def _keys(self, start: str) -> Iterator[str]:
        with self._explained():
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=start):
                yield from (row["Key"] for row in page.get("Contents", ()))

    def _delete_batch(self, keys: Sequence[str]) -> None:
        wanted = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        with self._explained():
            errors = self.client.delete_objects(Bucket=self.bucket, Delete=wanted).get("Errors") or ()
        if errors:
            first = errors[0]
            raise WorkspaceError(
                f"the object store refused to delete {len(errors)} of {len(keys)} objects, the first "
                f"{first.get('Key')!r:.200}: {first.get('Code')} {first.get('Message')!s:.200}. Nothing else was lost; "
                "delete again when it is allowed.",
                reason="refused",
            )

    def _sort_in(self, row: Any, found: dict[str, ObjectInfo], strange: list[str]) -> None:
        path = row["Key"][len(self.prefix) :]
        kind: Literal["file", "directory"] = "directory" if path.endswith("/") else "file"
        path = path.removesuffix("/")
        if not path:
            return  # the marker of the session itself
        if not is_path(path) or (kind == "directory" and row["Size"]):
            strange.append(path)
        elif not is_no_file_of_ours(path):
            found[path] = ObjectInfo(path, kind, row["Size"], row["ETag"].strip('"'), row["LastModified"])

    @contextmanager
    def _explained(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            if _status(error) == 404 and _code(error) != "NoSuchBucket":
                raise NotFound(f"no such file in s3://{self.bucket}/{self.prefix}") from error
            raise explain(error, self.bucket) from error
        except (BotoCoreError, RuntimeError) as error:  # RuntimeError: keys that had expired at their renewal
            raise explain(error, self.bucket) from error


def _range(offset: int, length: int | None) -> str:
    return f"bytes={offset}-{'' if length is None else offset + length - 1}"


def _status(error: Any) -> int | None:
    status: int | None = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code"))


def _base64(md5: str) -> str:
    from base64 import b64encode

    return b64encode(bytes.fromhex(md5)).decode()
