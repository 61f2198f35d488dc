"""The session's workspace: through its sandbox, or at its location without one."""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from session_widgets._sandboxes.paths import check_path
from session_widgets._sessions.blocking import blocking
from session_widgets._sessions.loop import anywhere
from session_widgets.errors import BadPath, BadValue
from session_widgets.model import FileInfo
from session_widgets.workspaces import FileAccess

CHUNK = 4 << 20
ZIP_BEGINS = datetime(1980, 1, 1, tzinfo=UTC)


class AsyncFiles:
    """`Session.files` with every method awaitable. Lives on the private loop."""

    def __init__(self, access: Callable[[], Awaitable[FileAccess]], settled: Callable[[], Awaitable[None]]) -> None:
        """Take an access to the files, and a wait until they may change."""
        self._access = access
        self._settled = settled

    async def _changing(self) -> FileAccess:
        await self._settled()
        return await self._access()

    @anywhere
    async def list(self, path: str = "", recursive: bool = False) -> list[FileInfo]:
        """Return the entries of a directory: directories first, then by name."""
        path = check_path(path, root=True)
        return await (await self._access()).list(path, recursive=recursive)

    @anywhere
    async def stat(self, path: str) -> FileInfo:
        """Return one entry: its type, size in bytes, and time of modification."""
        path = check_path(path, root=True)
        return await (await self._access()).stat(path)

    @anywhere
    async def read_bytes(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return `length` bytes from `offset`, all by default; fewer at the end of the file."""
        path = check_path(path)
        if offset < 0 or (length is not None and length < 0):
            raise BadValue(f"offset and length count bytes from 0; got offset={offset}, length={length}.")
        return await (await self._access()).read(path, offset, length)

    @anywhere
    async def read_text(self, path: str) -> str:
        """Return a UTF-8 file as text; raises `BadPath` if it is not UTF-8."""
        data = await self.read_bytes(path)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise BadPath(
                f"{path!r} is not UTF-8 text (byte {error.start} is 0x{data[error.start]:02x}). Use read_bytes()."
            ) from None

    @anywhere
    async def write(self, path: str, data: str | bytes) -> None:
        """Replace or create a file, atomically; text is stored as UTF-8. Creates missing directories."""
        path = check_path(path)
        await (await self._changing()).write(path, data.encode() if isinstance(data, str) else data)

    @anywhere
    async def upload(self, local: str | Path, path: str) -> None:
        """Copy a file of this machine into the workspace."""
        path, source = check_path(path), Path(local).expanduser()
        if not source.is_file():
            raise BadPath(f"upload() takes a file of this machine; {str(source)!r} is none.")
        await (await self._changing()).upload(source, path)

    @anywhere
    async def download(self, path: str, local: str | Path) -> Path:
        """Copy a workspace file to this machine, to `local` or, if that is a directory, into it. Returns its path."""
        path, target = check_path(path), Path(local).expanduser()
        if target.is_dir():
            target = target / path.rpartition("/")[2]
        if not target.parent.is_dir():
            raise BadPath(f"download() needs an existing directory; {str(target.parent)!r} is none.")
        await (await self._access()).download(path, target)
        return target

    @anywhere
    async def zip(self, local: str | Path, path: str = "") -> Path:
        """Pack a directory, everything by default, into a zip file of this machine. Returns its path."""
        path, target = check_path(path, root=True), Path(local).expanduser()
        access = await self._access()
        partial = target.with_name(f".{target.name}.partial")
        try:
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
                for info in await access.list(path, recursive=True):
                    if info.type == "file":
                        await _pack(archive, access, info)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return target

    @anywhere
    async def mkdir(self, path: str) -> None:
        """Create a directory and its parents; an existing one is not changed."""
        path = check_path(path)
        await (await self._changing()).mkdir(path)

    @anywhere
    async def move(self, source: str, target: str) -> None:
        """Rename a file or directory; raises `BadPath` if the target exists."""
        source, target = check_path(source), check_path(target)
        await (await self._changing()).move(source, target)

    @anywhere
    async def delete(self, path: str, recursive: bool = False) -> None:
        """Delete a file or a directory; a directory with entries only if `recursive`. There is no undo."""
        path = check_path(path)
        await (await self._changing()).delete(path, recursive=recursive)


async def _pack(archive: zipfile.ZipFile, access: FileAccess, info: FileInfo) -> None:
    """Copy a file into an archive, in pieces."""
    moment = max(info.modified or datetime.now(UTC), ZIP_BEGINS)
    entry = zipfile.ZipInfo(info.path, moment.timetuple()[:6])
    entry.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(entry, "w", force_zip64=True) as packed:
        offset = 0
        while piece := await access.read(info.path, offset, CHUNK):
            await asyncio.to_thread(packed.write, piece)
            offset += len(piece)


class Files:
    """The files of a workspace. Paths are relative to it: "src/a.py".

    Every method raises `BadPath` for a path that is absolute, contains ".." or NUL, or leaves the workspace by a
    link, and `NotFound` for a missing one.
    """

    def __init__(self, files: AsyncFiles) -> None:
        self._files = files

    list = blocking(AsyncFiles.list, "_files")
    stat = blocking(AsyncFiles.stat, "_files")
    read_text = blocking(AsyncFiles.read_text, "_files")
    read_bytes = blocking(AsyncFiles.read_bytes, "_files")
    write = blocking(AsyncFiles.write, "_files")
    upload = blocking(AsyncFiles.upload, "_files")
    download = blocking(AsyncFiles.download, "_files")
    zip = blocking(AsyncFiles.zip, "_files")
    mkdir = blocking(AsyncFiles.mkdir, "_files")
    move = blocking(AsyncFiles.move, "_files")
    delete = blocking(AsyncFiles.delete, "_files")
