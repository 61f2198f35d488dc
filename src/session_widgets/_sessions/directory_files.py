"""Reads a directory of this machine while no sandbox runs: the files of a parked session, without starting it."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from session_widgets._sandboxes.paths import check_path
from session_widgets._sessions.loop import private_loop
from session_widgets.errors import BadPath, NotFound
from session_widgets.host.tree import Found, Walk
from session_widgets.model import FileInfo

MAX_ENTRIES = 20_000
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_KINDS: dict[int, Literal["file", "directory", "symlink", "other"]] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
}
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


class Looking(Protocol):
    """Access to files: `FileAccess`, or `DirectoryFiles` without a sandbox."""

    async def list(self, path: str = "") -> list[FileInfo]: ...
    async def stat(self, path: str) -> FileInfo: ...
    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes: ...


class DirectoryFiles:
    """The files below a directory. No link is followed: an agent may have made it, to any target."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def _list(self, path: str) -> list[FileInfo]:
        with self._opened(path, _DIRECTORY) as fd:
            walk = Walk(MAX_ENTRIES, recursive=False)
            walk.run(fd, f"{path}/" if path else "")
        found = sorted(walk.found, key=lambda entry: (not entry.is_directory, entry.name))
        return [_info(entry) for entry in found]

    async def list(self, path: str = "") -> list[FileInfo]:
        """Return the entries of a directory: directories first, then by name."""
        return await asyncio.to_thread(self._list, path)

    async def stat(self, path: str) -> FileInfo:
        """Return one entry."""
        return await asyncio.to_thread(self._stat, path)

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return `length` bytes of a file from `offset`, all by default."""
        return await asyncio.to_thread(self._read, path, offset, length)

    def _stat(self, path: str) -> FileInfo:
        folder, _, name = path.rpartition("/")
        with self._opened(folder, _DIRECTORY) as fd:
            try:
                return _info(Found(path, name, os.stat(name or ".", dir_fd=fd, follow_symlinks=False)))
            except OSError as error:
                raise _told(path, error) from None

    def _read(self, path: str, offset: int, length: int | None) -> bytes:
        with self._opened(path, _FILE) as fd:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise BadPath(f"{path!r} is not a file.")
            with open(fd, "rb", closefd=False) as file:
                file.seek(offset)
                return file.read(-1 if length is None else length)

    @contextmanager
    def _opened(self, path: str, flags: int) -> Iterator[int]:
        """Open `path` component by component."""
        *folders, last = path.split("/") if path else ["."]
        try:
            fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
            for name, how in (*((folder, _DIRECTORY) for folder in folders), (last, flags)):
                try:
                    below = os.open(name, how, dir_fd=fd)
                finally:
                    os.close(fd)
                fd = below
        except OSError as error:
            raise _told(path, error) from None
        try:
            yield fd
        finally:
            os.close(fd)


class WatchedFiles:
    """A panel's view of the files; blocks, and starts no sandbox."""

    def __init__(self, access: Callable[[], Awaitable[Looking]]) -> None:
        self._access = access

    def list(self, path: str = "") -> list[FileInfo]:
        """Return the entries of a directory."""
        path = check_path(path, root=True)

        async def look() -> list[FileInfo]:
            return await (await self._access()).list(path)

        return private_loop().run(look())

    def stat(self, path: str) -> FileInfo:
        """Return one entry."""
        path = check_path(path, root=True)

        async def look() -> FileInfo:
            return await (await self._access()).stat(path)

        return private_loop().run(look())

    def read_bytes(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return `length` bytes of a file from `offset`, all by default."""
        path = check_path(path)

        async def look() -> bytes:
            return await (await self._access()).read(path, offset, length)

        return private_loop().run(look())


def _told(path: str, error: OSError) -> NotFound | BadPath:
    if isinstance(error, FileNotFoundError):
        return NotFound(f"no file or directory {path!r}")
    return BadPath(f"{path!r} cannot be read while the session is parked: {error.strerror}.")


def _info(entry: Found) -> FileInfo:
    info = entry.info
    kind = _KINDS.get(stat.S_IFMT(info.st_mode), "other")
    return FileInfo(entry.path, entry.name, kind, info.st_size, datetime.fromtimestamp(info.st_mtime, UTC))
