"""Access to the files of a workspace: by a sandbox's runner, in a directory of this host, or in a bucket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from session_widgets.model import FileInfo


class FileAccess(Protocol):
    """The files of one session. Paths are relative, and were checked."""

    async def list(self, path: str = "", *, recursive: bool = False) -> list[FileInfo]:
        """Return the entries of a directory: directories first, then by name; by path when `recursive`."""

    async def stat(self, path: str) -> FileInfo:
        """Return one entry."""

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of a file; fewer than `length` at its end, none after it."""

    async def write(self, path: str, data: bytes | AsyncIterator[bytes]) -> None:
        """Replace a file atomically, creating its parents."""

    async def upload(self, local: Path, path: str) -> None:
        """Copy a file of this machine into the workspace."""

    async def download(self, path: str, local: Path) -> None:
        """Copy a file to this machine, in pieces; `local` appears only when it is complete."""

    async def mkdir(self, path: str) -> None:
        """Create a directory and its parents; an existing one is not changed."""

    async def move(self, source: str, target: str) -> None:
        """Rename; `BadPath` if the target exists."""

    async def delete(self, path: str, *, recursive: bool = False) -> None:
        """Remove a file or directory; a directory that is not empty only if `recursive`."""
