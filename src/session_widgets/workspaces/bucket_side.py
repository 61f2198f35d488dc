"""A bucket as the durable side: converts entries to objects, and back."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from typing import IO, cast

from session_widgets.errors import WorkspaceError
from session_widgets.host.directory import CHUNK
from session_widgets.host.manifest import Entry, Readable
from session_widgets.host.object_metadata import MAX_LINK, entry_of, is_target, metadata_of
from session_widgets.progress import Progress
from session_widgets.workspaces.bucket_location import BucketLocation
from session_widgets.workspaces.durable import NoLink
from session_widgets.workspaces.objects import Changed, Listing, ObjectInfo
from session_widgets.workspaces.small import LARGEST


class BucketSide:
    """See `durable.DurableSide`."""

    noun = "the bucket"
    distant = True

    def __init__(self, objects: BucketLocation) -> None:
        self._objects = objects
        self.location = objects.location

    def reach(self, progress: Progress) -> None:
        """Prepare the store."""
        self._objects.reach(progress)

    def acquire(self) -> bool:
        """Acquire the lease; a bucket without one is new."""
        return self._objects.acquire()

    def check(self) -> None:
        """Check the lease."""
        self._objects.lease.check()

    def release(self) -> None:
        """Release the lease."""
        self._objects.lease.release()

    def take_over(self) -> None:
        """Acquire the lease, whatever its holder."""
        self._objects.lease.acquire(forced=True)

    def tidy(self) -> None:
        """Abort killed uploads."""
        with suppress(WorkspaceError):  # keys without the right to list uploads are otherwise sufficient
            self._objects.prefix.abort_uploads()

    def listing(self) -> Listing:
        """Return all objects."""
        return self._objects.prefix.listing()

    def digest(self, path: str) -> tuple[str, str]:
        """Read an object."""
        return self._objects.prefix.digest(path)

    @contextmanager
    def reading(self, info: ObjectInfo) -> Iterator[tuple[Entry, Readable, ObjectInfo]]:
        """Open an object; without metadata it is a file that was modified when it was stored."""
        with self._objects.prefix.reading(info.path, info.size) as (body, now, metadata):
            entry = entry_of(info.path, now.size, now.modified.timestamp(), metadata)
            if entry.kind == "file":
                yield entry, body, now
                return
            target = body.read(MAX_LINK + 1)
            if not is_target(target):
                raise NoLink(now.etag)
            yield replace(entry, size=len(target)), BytesIO(target), now

    def put(self, entry: Entry, body: Readable, etag: str) -> str:
        """Store an object."""
        if entry.kind == "directory":  # SeaweedFS has it already: it creates the folders of a file
            return self._put(entry, b"", None)
        if entry.size <= LARGEST:
            return self._put_file(entry, body.read(entry.size + 1), etag)
        if _is_file(body):
            return self._put_file(entry, cast("IO[bytes]", body), etag)
        with tempfile.TemporaryFile() as spool:  # boto3 reads a body twice
            while piece := body.read(CHUNK):
                spool.write(piece)
            spool.seek(0)
            return self._put_file(entry, spool, etag)

    def _put_file(self, entry: Entry, body: bytes | IO[bytes], etag: str) -> str:
        try:
            return self._put(entry, body, etag)
        except Changed:
            if etag or self._objects.prefix.head(entry.path) is not None:
                raise
            return self._put(entry, body, None)  # SeaweedFS treats an earlier folder as an object

    def _put(self, entry: Entry, body: bytes | IO[bytes], if_match: str | None) -> str:
        return self._objects.prefix.put(
            key_of(entry), body, entry.size, metadata=metadata_of(entry), md5=entry.md5, if_match=if_match
        )

    def delete(self, entry: Entry, etag: str) -> None:
        """Delete an object."""
        self._objects.prefix.delete(key_of(entry), if_match=etag)


def key_of(entry: Entry) -> str:
    """Return the key of an entry's object, below the session's prefix."""
    return f"{entry.path}/" if entry.kind == "directory" else entry.path


def _is_file(body: Readable) -> bool:
    try:
        cast("IO[bytes]", body).fileno()
    except (AttributeError, OSError):  # it comes from a sandbox
        return False
    return True
