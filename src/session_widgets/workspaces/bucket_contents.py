"""Contents of snapshots in the bucket of the workspace, copied there by the store itself."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from session_widgets.errors import FilesNotKept, NotFound, WorkspaceError
from session_widgets.host.daemon import installation
from session_widgets.host.directory import Directory
from session_widgets.host.manifest import Entry, Occupied
from session_widgets.host.object_metadata import metadata_of
from session_widgets.progress import silent
from session_widgets.workspaces.bucket import Prefix
from session_widgets.workspaces.bucket_location import BucketLocation
from session_widgets.workspaces.contents import IsLate, KeptNames, checked
from session_widgets.workspaces.contract import Workspace
from session_widgets.workspaces.objects import Changed
from session_widgets.workspaces.parallel import in_parallel
from session_widgets.workspaces.restoring import fill_directory
from session_widgets.workspaces.snapshot import KeptEntry, LeftOut, Snapshot, name_of

PLAIN = {"mode": "33152"}
WEED = "fuse:weed"
"""It keeps permission bits, links and empty directories where only itself finds them."""


class BucketContents(KeptNames):
    """Contents beside the session's objects: `.contents/<session>/<installation>/<MD5>-<size>`.

    Args:
        place: a directory of this machine with the lock.
        objects: the session's objects.
        source: the directory of the workspace on this machine: some mounts keep no links in the bucket.
    """

    def __init__(self, place: Path, objects: BucketLocation, source: Path) -> None:
        super().__init__(place)
        self._objects = objects
        self._source = source

    @property
    def _kept(self) -> Prefix:
        """The objects of this installation: its transcript alone knows which of them are needed."""
        everything = self._objects.contents
        return Prefix(everything.client, everything.bucket, f"{everything.prefix}{installation(self._objects.home)}/")

    def names(self) -> Collection[str]:
        """Return the names of the kept contents."""
        self._objects.reach(silent)
        return super().names()

    def keep(self, entries: Sequence[Entry], is_late: IsLate) -> dict[str, LeftOut]:
        """Copy objects inside the store, each on the condition that it still has the content."""
        failed: dict[str, LeftOut] = {}
        kept = self._kept

        def keep(entry: Entry) -> None:
            if is_late():
                failed[entry.path] = "late"
            elif not self._copy(kept, entry):
                failed[entry.path] = "changed"

        with self._changing():
            in_parallel(keep, entries)
            self._names |= {f"{one.md5}-{one.size}" for one in entries if one.path not in failed}
        return failed

    def put(self, data: bytes) -> str:
        """Keep a content and return its name."""
        name = name_of(data)
        if name not in self.names():
            with self._changing():
                self._kept.put(name, data, len(data), metadata=PLAIN, if_match=None)
                self._names.add(name)
        return name

    def read(self, name: str) -> bytes:
        """Return a content; raise `FilesNotKept` if it is not there, or damaged."""
        self._objects.reach(silent)
        try:
            data = self._kept.get(checked(name))
        except NotFound:
            raise FilesNotKept(f"the content {name} is not beside {self._objects.location}: it was deleted.") from None
        if name_of(data) != name:
            raise FilesNotKept(f"the content {name} beside {self._objects.location} is damaged.")
        return data

    def delete(self, names: Iterable[str]) -> None:
        """Delete contents."""
        self._objects.reach(silent)
        with self._changing():
            unwanted = list(names)
            in_parallel(self._kept.delete, unwanted)
            self._names.difference_update(unwanted)

    def link(self, other: Self, names: Iterable[str]) -> None:
        """Copy contents of another session in the same bucket."""
        kept, theirs = self._kept, other._kept

        def copy(name: str) -> None:
            with suppress(NotFound):
                kept.copy_from(theirs, checked(name), name, if_match=None)
                self._names.add(name)

        self._objects.reach(silent)
        with self._changing():
            in_parallel(copy, [name for name in names if name not in self._names])

    def fill(self, snapshot: Snapshot, space: Workspace) -> None:
        """Let the store copy the files of a snapshot to the location of a new session, under its lease."""
        if space.attachment == WEED:
            fill_directory(space, snapshot, self)
            return
        target = space.objects
        assert target is not None, "a fork is in the same bucket"
        target.reach(silent)
        target.acquire()
        kept, now = self._kept, time.time_ns()

        def copy(entry: KeptEntry) -> None:
            told = metadata_of(Entry(entry.path, entry.kind, entry.size, entry.mode, now, entry.md5))
            if entry.kind == "directory":
                target.prefix.put(f"{entry.path}/", b"", 0, metadata=told, if_match=None)
                return
            try:
                target.prefix.copy_from(kept, checked(entry.name), entry.path, if_match=None, metadata=told)
            except NotFound:
                raise FilesNotKept(f"the content of {entry.path!r:.200} was deleted.") from None

        in_parallel(copy, list(snapshot.entries.values()))
        target.lease.release()

    def remove(self) -> None:
        """Delete everything; a deleted bucket has nothing."""
        self._objects.reach(silent)
        try:
            self._objects.contents.delete_folder("")
        except WorkspaceError as error:
            if error.reason != "missing":
                raise
        if self.place.exists():
            shutil.rmtree(self.place)
        self._names, self._version = set(), None

    def _list(self) -> set[str]:
        found = self._kept.listing().objects.values()
        return {one.path for one in found if one.path.endswith(f"-{one.size}")}

    def _copy(self, kept: Prefix, entry: Entry) -> bool:
        """Copy one content; False if the object has another one."""
        name, session = f"{entry.md5}-{entry.size}", self._objects.prefix
        try:
            try:
                kept.copy_from(session, entry.path, name, if_match=entry.md5)
            except Changed:
                etag, digest = session.digest(entry.path)  # that of an upload in parts is not an MD5
                if digest != entry.md5:
                    return entry.kind == "link" and self._copy_link(kept, entry, name)
                kept.copy_from(session, entry.path, name, if_match=etag)
        except (Changed, NotFound):
            return entry.kind == "link" and self._copy_link(kept, entry, name)
        return True

    def _copy_link(self, kept: Prefix, entry: Entry, name: str) -> bool:
        """Keep the target of a link that is only in the mounted directory."""
        try:
            with Directory(self._source) as source:
                target = source.read_link(entry.path)
        except (OSError, Occupied):
            return False
        if name_of(target) != name:
            return False
        kept.put(name, target, len(target), metadata=PLAIN, if_match=None)
        return True
