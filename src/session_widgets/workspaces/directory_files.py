"""The files of a directory of this host, without a sandbox.

Links are followed inside of the directory only, as the runner does it (`host/jail.py`); what is written goes to the
resolved place, through no link.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Literal, ParamSpec, TypeVar

from session_widgets.errors import BadPath, LimitExceeded, NotFound
from session_widgets.host.directory import CHUNK, Directory
from session_widgets.host.jail import InvalidPath, Jail, Place, make_directory
from session_widgets.host.manifest import Occupied, Readable
from session_widgets.host.tree import Walk
from session_widgets.model import FileInfo

P = ParamSpec("P")
T = TypeVar("T")

MAX_ENTRIES = 100_000
MAX_READ = 1 << 30
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_WORDS = {
    errno.ENOENT: "no such file or directory",
    errno.ENOTDIR: "path is not a directory",
    errno.EISDIR: "path is a directory",
    errno.ELOOP: "too many symbolic links",
    errno.ENOTEMPTY: "directory is not empty; pass recursive=True to remove it with its content",
}
_KINDS: dict[int, Literal["file", "directory", "symlink", "other"]] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
}


class DirectoryFiles:
    """See `file_access.FileAccess`. New entries get the directory's owner.

    Args:
        root: the directory.
        managed: whether it is created by the first write, and empty until then.
    """

    def __init__(self, root: Path, *, managed: bool) -> None:
        self._root = root
        self._managed = managed

    async def stat(self, path: str) -> FileInfo:
        """Return one entry; of a link the size and time of its target."""
        return await self._do(self._stat, path)

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of a file, at most `MAX_READ` at once."""
        return await self._do(self._read, path, offset, length)

    async def write(self, path: str, data: bytes | AsyncIterator[bytes]) -> None:
        """Replace or create a file."""
        body = data if isinstance(data, bytes) else b"".join([piece async for piece in data])
        await self._do(self._write, path, BytesIO(body))

    async def upload(self, local: Path, path: str) -> None:
        """Copy a file of this machine into the workspace."""
        with local.open("rb") as source:
            await self._do(self._write, path, source)

    async def download(self, path: str, local: Path) -> None:
        """Copy a file to this machine."""
        await asyncio.to_thread(self._download, path, local)

    async def mkdir(self, path: str) -> None:
        """Create a directory and its parents."""
        await self._do(self._mkdir, path)

    async def move(self, source: str, target: str) -> None:
        """Rename a file, a directory or a link itself."""
        await self._do(self._move, source, target)

    async def delete(self, path: str, *, recursive: bool = False) -> None:
        """Remove a file, a link itself, or a directory."""
        await self._do(self._delete, path, recursive)

    async def _do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        def run() -> T:
            with self._told(str(args[0])):
                return work(*args, **kwargs)

        return await asyncio.to_thread(run)

    @contextmanager
    def _opened(self, *, make: bool = False) -> Iterator[tuple[Jail, Directory]]:
        if make and self._managed:
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with Directory(self._root) as directory:
            jail = Jail(self._root, directory.owner)
            try:
                yield jail, directory
            finally:
                jail.close()

    @property
    def _is_still_empty(self) -> bool:
        return self._managed and not self._root.exists()

    def _list(self, path: str, recursive: bool) -> list[FileInfo]:
        if not path and self._is_still_empty:
            return []
        walk = Walk(MAX_ENTRIES, recursive=recursive)
        with self._opened() as (jail, _):
            with jail.locate(path) as place:
                directory = place.open_directory()
                try:
                    walk.run(directory)
                finally:
                    os.close(directory)
            found = [self._info(jail, f"{path}/{one.path}" if path else one.path, one.info) for one in walk.found]
        if walk.truncated:
            raise LimitExceeded(f"{path or '.'!r} holds more than {len(found):,} entries. List its folders one by one.")
        if recursive:
            return sorted(found, key=lambda info: info.path)
        return sorted(found, key=lambda info: (info.type != "directory", info.name))

    def _stat(self, path: str) -> FileInfo:
        if not path and self._is_still_empty:
            return FileInfo("", "", "directory", 0, None)
        with self._opened() as (jail, _), jail.locate(path, follow=False) as place:
            info = place.stat()
            if stat.S_ISLNK(info.st_mode):
                with jail.locate(path) as target:  # one that leads outside is refused
                    target.stat()
            return self._info(jail, path, info)

    def _info(self, jail: Jail, path: str, info: os.stat_result) -> FileInfo:
        kind = _KINDS.get(stat.S_IFMT(info.st_mode), "other")
        if kind == "symlink":
            with suppress(OSError, InvalidPath), jail.locate(path) as place:
                info = place.stat()
        shown = os.fsencode(path).decode(errors="replace")
        modified = datetime.fromtimestamp(info.st_mtime, UTC)
        return FileInfo(shown, shown.rpartition("/")[2], kind, info.st_size, modified)

    def _read(self, path: str, offset: int, length: int | None) -> bytes:
        with self._file(path) as (handle, info):
            left = max(0, info.st_size - offset)
            if min(left, left if length is None else length) > MAX_READ:
                raise LimitExceeded(
                    f"{path!r} has {info.st_size:,} bytes; one read gives {MAX_READ:,} at most. Pass a smaller length= "
                    "or use download()."
                )
            with open(handle, "rb", closefd=False) as file:
                file.seek(offset)
                return file.read(MAX_READ if length is None else length)

    def _download(self, path: str, local: Path) -> None:
        partial = local.with_name(f".{local.name}.partial")
        with ExitStack() as stack:
            with self._told(path):
                handle, _ = stack.enter_context(self._file(path))
            try:
                with open(handle, "rb", closefd=False) as body, partial.open("wb") as target:
                    shutil.copyfileobj(body, target, CHUNK)
                partial.replace(local)
            finally:
                partial.unlink(missing_ok=True)

    @contextmanager
    def _file(self, path: str) -> Iterator[tuple[int, os.stat_result]]:
        with self._opened() as (jail, _):
            with jail.locate(path) as place:
                handle, info = place.open_file()
            try:
                yield handle, info
            finally:
                os.close(handle)

    def _write(self, path: str, body: Readable) -> None:
        with self._opened(make=True) as (jail, directory):
            with jail.locate(path, create=True) as place:
                mode = _mode(place)
                inside = place.path.removeprefix(jail.root).lstrip("/")
            directory.write(inside, body, mode, None)
            directory.fsync(inside)
            directory.fsync(inside.rpartition("/")[0])

    def _mkdir(self, path: str) -> None:
        with self._opened(make=True) as (jail, directory), jail.locate(path, create=True) as place:
            make_directory(place.name, place.directory, directory.owner)
            if not stat.S_ISDIR(place.stat().st_mode):
                raise BadPath(f"path exists and is not a directory: {path}")

    def _move(self, source: str, target: str) -> None:
        with self._opened() as (jail, _), jail.locate(source, follow=False) as old:
            old.stat()  # before anything is created at the target
            with jail.locate(target, follow=False, create=True) as new:
                if _exists(new):
                    raise BadPath(f"destination already exists: {target}")
                os.rename(old.name, new.name, src_dir_fd=old.directory, dst_dir_fd=new.directory)

    def _delete(self, path: str, recursive: bool) -> None:
        with self._opened() as (jail, _), jail.locate(path, follow=False) as place:
            if not stat.S_ISDIR(place.stat().st_mode):
                os.unlink(place.name, dir_fd=place.directory)
            elif recursive:
                shutil.rmtree(place.name, dir_fd=place.directory)
            else:
                os.rmdir(place.name, dir_fd=place.directory)

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        """Turn errors about `path` into those of every access to files."""
        try:
            yield
        except (BadPath, LimitExceeded):
            raise
        except InvalidPath as error:
            raise BadPath(str(error).replace(f"{self._root}/", "")) from error
        except Occupied as error:
            raise BadPath(f"another program writes there: {path}") from error
        except OSError as error:
            words = f"{_WORDS.get(error.errno or 0, error.strerror)}: {path}"
            if error.errno == errno.ENOENT:
                raise NotFound(words) from error
            raise (LimitExceeded if error.errno in _NO_SPACE else BadPath)(words) from error

    async def list(self, path: str = "", *, recursive: bool = False) -> list[FileInfo]:
        """Return the entries of a directory."""
        return await self._do(self._list, path, recursive)


def _mode(place: Place) -> int:
    """Return the mode of the file that is written: that of an existing one stays."""
    try:
        info = place.stat()
    except FileNotFoundError:
        return 0o644
    if not stat.S_ISREG(info.st_mode):
        raise InvalidPath(f"path is not a file: {place.path}")
    return stat.S_IMODE(info.st_mode)


def _exists(place: Place) -> bool:
    try:
        place.stat()
    except FileNotFoundError:
        return False
    return True
