"""Contents of snapshots in a directory of this machine."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self
from uuid import uuid4

from session_widgets.errors import FilesNotKept
from session_widgets.host.directory import CHUNK, Directory
from session_widgets.host.manifest import Entry, Occupied, md5
from session_widgets.workspaces.contents import IsLate, KeptNames, checked
from session_widgets.workspaces.contract import Workspace
from session_widgets.workspaces.restoring import fill_directory
from session_widgets.workspaces.snapshot import LeftOut, Snapshot, name_of

PARTIAL = ".partial"
_NO_LINK = {errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}
"""Errors of a file system without hard links, or with too many."""


class DirectoryContents(KeptNames):
    """Contents in a directory of this machine, one file each, readable only by its owner.

    Args:
        place: the directory; created on use.
        source: the directory of the workspace.
    """

    def __init__(self, place: Path, source: Path) -> None:
        super().__init__(place)
        self._source = source
        self._partials: list[str] = []

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
            data = (self.place / checked(name)).read_bytes()
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
                        self._link(other.place / checked(name), name)

    def _link(self, source: Path, name: str) -> None:
        try:
            os.link(source, self.place / name)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            self._write(name, iter([source.read_bytes()]))
        self._names.add(name)

    def fill(self, snapshot: Snapshot, space: Workspace) -> None:
        """Write the files of a snapshot into the directory of a new session."""
        fill_directory(space, snapshot, self)

    def remove(self) -> None:
        """Delete everything."""
        if self.place.exists():
            shutil.rmtree(self.place)
        self._names, self._version = set(), None

    def _list(self) -> set[str]:
        with os.scandir(self.place) as found:
            sizes = {one.name: one.stat(follow_symlinks=False).st_size for one in found}
        self._partials = [name for name in sizes if name.endswith(PARTIAL)]
        return {name for name, size in sizes.items() if name.endswith(f"-{size}")}

    def _tidy(self) -> None:
        for left in self._partials:
            (self.place / left).unlink(missing_ok=True)
        self._partials = []

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
