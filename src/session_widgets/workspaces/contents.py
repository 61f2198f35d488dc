"""The contents of a session's snapshots, each kept once: by MD5 and size, apart from the workspace.

All methods block. A process calls one at a time; processes exclude each other by a lock.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, Self
from uuid import uuid4

from session_widgets.errors import FilesNotKept, WorkspaceError
from session_widgets.host.daemon import locked
from session_widgets.host.directory import CHUNK, Directory
from session_widgets.host.manifest import Entry, Manifest, Occupied, md5
from session_widgets.workspaces.snapshot import KeptEntry, LeftOut, Snapshot, name_of, sort_out

PARTIAL = ".partial"
_NO_LINK = {errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}
"""Errors of a file system without hard links, or with too many."""

IsLate = Callable[[], bool]


class Contents(Protocol):
    """Where contents are kept."""

    def names(self) -> Collection[str]:
        """Return the names of the kept contents."""

    def keep(self, entries: Sequence[Entry], is_late: IsLate) -> dict[str, LeftOut]:
        """Copy the content of entries out of the workspace; return the paths that failed.

        Args:
            entries: files and links, each with another content.
            is_late: whether to stop: the rest has failed then.

        Raises:
            WorkspaceError: nothing can be kept.
        """

    def put(self, data: bytes) -> str:
        """Keep a content and return its name."""

    def read(self, name: str) -> bytes:
        """Return a content; raise `FilesNotKept` if it is not there, or damaged."""

    def delete(self, names: Iterable[str]) -> None:
        """Delete contents."""

    def link(self, other: Self, names: Iterable[str]) -> None:
        """Keep contents of another session of the same kind of place; missing ones are skipped."""

    def remove(self) -> None:
        """Delete everything."""


def keep_snapshot(contents: Contents, manifest: Manifest, is_late: IsLate) -> tuple[str, Snapshot]:
    """Keep the files of a manifest; return the name of the snapshot's list, and the snapshot.

    Raises:
        WorkspaceError: nothing can be kept.
    """
    entries, left = sort_out(manifest)
    present = contents.names()
    kept = [KeptEntry(one.path, one.kind, one.size, one.mode, one.md5) for one in entries]
    new = {entry.name: one for entry, one in zip(kept, entries, strict=True) if entry.name not in present}
    new.pop("", None)
    failed = contents.keep(list(new.values()), is_late) if new else {}
    lost = {name: failed[one.path] for name, one in new.items() if one.path in failed}
    left |= {entry.path: lost[entry.name] for entry in kept if entry.name in lost}
    snapshot = Snapshot({entry.path: entry for entry in kept if entry.name not in lost}, left)
    return contents.put(snapshot.encode()), snapshot


class DirectoryContents:
    """Contents in a directory of this machine, one file each, readable only by its owner.

    Args:
        place: the directory; created on use.
        source: the directory of the workspace.
    """

    def __init__(self, place: Path, source: Path) -> None:
        self.place = place
        self._source = source
        self._names: set[str] = set()
        self._partials: list[str] = []
        self._version: int | None = None

    def names(self) -> Collection[str]:
        """Return the names of the kept contents."""
        with suppress(FileNotFoundError):
            self._look()
        return self._names

    def keep(self, entries: Sequence[Entry], is_late: IsLate) -> dict[str, LeftOut]:
        """Copy contents, and check the MD5 of each while it is copied."""
        failed: dict[str, LeftOut] = {}
        with self._changing(), Directory(self._source) as source:
            for entry in entries:
                if is_late():
                    failed[entry.path] = "late"
                elif not self._copy(source, entry):
                    failed[entry.path] = "changed"
        return failed

    def put(self, data: bytes) -> str:
        """Keep a content and return its name."""
        name = name_of(data)
        if name not in self.names():
            with self._changing():
                self._write(name, iter([data]))
        return name

    def read(self, name: str) -> bytes:
        """Return a content; raise `FilesNotKept` if it is not there, or damaged."""
        try:
            data = (self.place / name).read_bytes()
        except FileNotFoundError:
            raise FilesNotKept(f"the content {name} is not in {self.place}: it was deleted there.") from None
        if name_of(data) != name:
            raise FilesNotKept(f"the content {self.place / name} is damaged.")
        return data

    def delete(self, names: Iterable[str]) -> None:
        """Delete contents."""
        with self._changing():
            for name in names:
                (self.place / name).unlink(missing_ok=True)
                self._names.discard(name)

    def link(self, other: Self, names: Iterable[str]) -> None:
        """Keep contents of another session as hard links; contents never change."""
        with self._changing():
            for name in names:
                if name not in self._names:
                    with suppress(FileNotFoundError):
                        self._link(other.place / name, name)

    def _link(self, source: Path, name: str) -> None:
        try:
            os.link(source, self.place / name)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            self._write(name, iter([source.read_bytes()]))
        self._names.add(name)

    def remove(self) -> None:
        """Delete everything."""
        if self.place.exists():
            shutil.rmtree(self.place)
        self._names, self._version = set(), None

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self.place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.place.mkdir(mode=0o700, exist_ok=True)
        try:
            with locked(self.place):
                self._look()
                for left in self._partials:  # of killed processes
                    (self.place / left).unlink(missing_ok=True)
                try:
                    yield
                finally:
                    self._version = self.place.stat().st_mtime_ns
        except OSError as error:
            raise WorkspaceError(
                f"the files of the turn cannot be kept in {self.place}: {error.strerror}.", reason="disk"
            ) from error

    def _look(self) -> None:
        """List the directory again if another process has changed it."""
        version = self.place.stat().st_mtime_ns
        if version != self._version:
            with os.scandir(self.place) as found:
                sizes = {one.name: one.stat(follow_symlinks=False).st_size for one in found}
            self._names = {name for name, size in sizes.items() if name.endswith(f"-{size}")}
            self._partials = [name for name in sizes if name.endswith(PARTIAL)]
            self._version = version

    def _copy(self, source: Directory, entry: Entry) -> bool:
        """Copy one content; False if it is no longer that of the entry."""
        name = f"{entry.md5}-{entry.size}"
        try:
            if entry.kind == "link":
                target = source.read_link(entry.path)
                return name_of(target) == name and self._write(name, iter([target]))
            handle = source.descriptor(entry.path)
        except (OSError, Occupied):
            return False
        try:
            info = os.fstat(handle)
            if not stat.S_ISREG(info.st_mode) or info.st_size != entry.size:
                return False
            return self._write(name, _pieces(handle, entry.size))
        finally:
            os.close(handle)

    def _write(self, name: str, pieces: Iterator[bytes]) -> bool:
        """Write a file, complete or not at all; False if the content has another name."""
        partial = self.place / f"{uuid4().hex}{PARTIAL}"
        digest, size = md5(), 0
        try:
            with open(partial, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as target:
                for piece in pieces:
                    digest.update(piece)
                    size += len(piece)
                    target.write(piece)
            if f"{digest.hexdigest()}-{size}" != name:
                return False
            partial.replace(self.place / name)
        finally:
            partial.unlink(missing_ok=True)
        self._names.add(name)
        return True


def _pieces(handle: int, size: int) -> Iterator[bytes]:
    """Read a file that a program may lengthen meanwhile."""
    left = size + 1
    while left > 0 and (piece := os.read(handle, min(CHUNK, left))):
        yield piece
        left -= len(piece)
