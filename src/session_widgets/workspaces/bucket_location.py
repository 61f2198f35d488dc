"""Common parts of every workspace in a bucket: location, lease, and the connection, made at first use."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from session_widgets.errors import BadValue, WorkspaceError, WorkspaceTaken
from session_widgets.host.daemon import installation
from session_widgets.progress import Progress
from session_widgets.workspaces.bucket import Prefix
from session_widgets.workspaces.connect import Connection, connect
from session_widgets.workspaces.lease import FOLDER, Lease
from session_widgets.workspaces.objects import Listing
from session_widgets.workspaces.small import SmallObjects

SCHEME = "s3://"
CONTENTS = ".contents"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_SEGMENT = re.compile(r"[A-Za-z0-9!_.*'()=+@ -]{1,255}")


@dataclass(frozen=True)
class BucketLocation:
    """A session's location in a bucket: "s3://bucket/prefix/session".

    Attributes:
        home: the directory of this store's sessions.
        data: the data directory of this installation, which may contain an embedded store.
        folder: the prefix above the sessions, without "/" at its ends; may be empty.
    """

    home: Path
    data: Path
    session_id: str
    bucket: str
    folder: str

    @classmethod
    def place(cls, home: Path, data: Path, session_id: str, url: str) -> BucketLocation:
        """Read "s3://bucket/prefix", the folder of the session's own prefix."""
        bucket, _, folder = url.removeprefix(SCHEME).partition("/")
        folder = folder.strip("/")
        good = _BUCKET.fullmatch(bucket) and all(_is_segment(part) for part in folder.split("/") if folder)
        if not url.startswith(SCHEME) or not good:
            raise BadValue(
                f"a workspace in a bucket reads 's3://bucket/prefix', such as 's3://lab/sessions'; got {url!r:.200}."
            )
        return cls(home, data, session_id, bucket, folder)

    @property
    def location(self) -> str:
        """Location of the session's files: "s3://bucket/prefix/session"."""
        return f"{SCHEME}{self.bucket}/{self._folder}{self.session_id}"

    @property
    def _folder(self) -> str:
        return f"{self.folder}/" if self.folder else ""

    @cached_property
    def connection(self) -> Connection:
        """The client of the bucket."""
        return connect(self.bucket, self.data)

    def reach(self, progress: Progress) -> None:
        """Prepare the store: start an embedded one, and read refused keys again."""
        embedded = self.connection.embedded
        if embedded is not None and not embedded.running:
            embedded.start(progress)
        if self.connection.refused.is_set():
            self.__dict__.pop("connection", None)
            self.prefix.client = self._siblings.client = self.contents.client = self.connection.client
            self.prefix.small = SmallObjects(self.connection)
        elif self.prefix.small is not None:
            self.prefix.small.try_again()

    @cached_property
    def prefix(self) -> Prefix:
        """The session's own objects."""
        small = SmallObjects(self.connection)
        return Prefix(self.connection.client, self.bucket, f"{self._folder}{self.session_id}/", small)

    @cached_property
    def contents(self) -> Prefix:
        """The contents of the session's snapshots, beside its own objects."""
        return Prefix(self.connection.client, self.bucket, f"{self._folder}{CONTENTS}/{self.session_id}/")

    def acquire(self) -> bool:
        """Acquire the lease; return whether there was a lease before.

        Raises:
            WorkspaceTaken: another installation holds it, or the location is inside another session's or around one, so
                that each would take the other's files for its own.
        """
        known = self.lease.acquire()
        if not known and (other := self._overlapping()):
            self.lease.remove()
            raise WorkspaceTaken(f"{self.location} and the session {other} would share objects. Use another prefix.")
        return known

    def _overlapping(self) -> str | None:
        """Return a session whose objects are around these, or among them."""
        if self.prefix.page(FOLDER, limit=1).files:
            return f"below {self.location}"
        above = ""
        for name in filter(None, self.folder.split("/")):
            if Prefix(self.connection.client, self.bucket, above).head(f"{FOLDER}/{name}.json"):
                return f"{SCHEME}{self.bucket}/{above}{name}"
            above += f"{name}/"
        return None

    def wipe(self) -> None:
        """Delete all of them, and leftovers of killed uploads."""
        self.prefix.delete_folder("")
        with suppress(WorkspaceError):  # keys without the right to list uploads are otherwise sufficient
            self.prefix.abort_uploads()

    def listing(self) -> Listing:
        """List them; valid only if no other installation wrote there meanwhile."""
        listing = self.prefix.listing()
        self.lease.check()
        return listing

    @cached_property
    def lease(self) -> Lease:
        """The lease of these objects."""
        return Lease(self._siblings, self.session_id, installation(self.home))

    @cached_property
    def _siblings(self) -> Prefix:
        return Prefix(self.connection.client, self.bucket, self._folder)


def _is_segment(part: str) -> bool:
    return part not in {"", ".", ".."} and bool(_SEGMENT.fullmatch(part))
