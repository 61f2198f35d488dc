"""The files of a session directly in its bucket, without a sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from session_widgets.errors import BadPath, LimitExceeded, NotFound, WorkspaceTaken
from session_widgets.host.manifest import can_be_key
from session_widgets.model import FileInfo
from session_widgets.progress import silent
from session_widgets.workspaces.bucket_location import BucketLocation
from session_widgets.workspaces.objects import ObjectInfo, parents

P = ParamSpec("P")
T = TypeVar("T")

MAX_READ = 256 << 20
CHUNK = 1 << 20
PLAIN = {"mode": "33188"}


class ObjectFiles:
    """The methods of `RunnerClient` without a sandbox; a link is read as the text of its target."""

    def __init__(self, objects: BucketLocation) -> None:
        self._objects = objects

    async def stat(self, path: str) -> FileInfo:
        """Return one entry."""
        return await self._do(self._stat, _named(path))

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of a file; fewer than `length` at its end. At most `MAX_READ` at once."""
        if length is None or length > MAX_READ:
            size = (await self.stat(path)).size - offset
            if min(size, size if length is None else length) > MAX_READ:
                raise LimitExceeded(
                    f"{path!r} has {size:,} bytes; one read gives {MAX_READ:,} at most. Pass a smaller length=, or use "
                    "download()."
                )
        return await self._do(self._read, _named(path), offset, length)

    async def write(self, path: str, data: bytes | AsyncIterator[bytes]) -> None:
        """Replace or create a file."""
        body = data if isinstance(data, bytes) else b"".join([piece async for piece in data])
        await self._do(self._write, _named(path), body)

    async def upload(self, local: Path, path: str) -> None:
        """Copy a file of this machine into the workspace."""
        await self._do(self._upload, local, _named(path))

    async def download(self, path: str, local: Path) -> None:
        """Copy a file to this machine, in pieces; `local` appears only when it is complete."""
        await self._do(self._download, _named(path), local)

    async def mkdir(self, path: str) -> None:
        """Create a folder; an existing one is not changed."""
        await self._do(self._mkdir, _named(path))

    async def move(self, source: str, target: str) -> None:
        """Rename a file or folder; `BadPath` if the target exists."""
        await self._do(self._move, _named(source), _named(target))

    async def delete(self, path: str, *, recursive: bool = False) -> None:
        """Remove exactly this file or folder; a folder that is not empty only if `recursive`."""
        await self._do(self._delete, _named(path), recursive)

    def _list(self, path: str, recursive: bool) -> list[FileInfo]:
        found = self._below(path) if recursive else self._directly_in(path)
        if path and not found and not self._is_folder(path):
            raise BadPath(f"{path!r} is a file, not a folder.") if self._head(path) else NotFound(f"no folder {path!r}")
        if recursive:
            return sorted(found, key=lambda info: info.path)
        return sorted(found, key=lambda info: (info.type != "directory", info.name))

    def _below(self, path: str) -> list[FileInfo]:
        start = f"{path}/" if path else ""
        infos = [_file(i) for i in self._objects.prefix.listing().objects.values() if i.path.startswith(start)]
        folders = {
            folder for info in infos for folder in parents(info.path) if folder.startswith(start) and folder != path
        }
        known = {info.path for info in infos}
        return infos + [_folder(folder) for folder in folders - known]

    def _directly_in(self, path: str) -> list[FileInfo]:
        found: list[FileInfo] = []
        token = None
        while True:
            page = self._objects.prefix.page(path, token=token)
            found += [_folder(folder) for folder in page.folders]
            found += [_file(info) for info in page.files]
            token = page.token
            if token is None:
                return found

    async def _do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it in a thread, with the store running."""
        await asyncio.to_thread(self._objects.reach, silent)
        return await asyncio.to_thread(work, *args, **kwargs)

    def _stat(self, path: str) -> FileInfo:
        info = self._head(path) if path else None
        if info is not None:
            return _file(info)
        if not path or self._is_folder(path):
            return _folder(path)
        raise NotFound(f"no such file: {path!r}")

    def _head(self, path: str) -> ObjectInfo | None:
        return self._objects.prefix.head(path)

    def _is_folder(self, path: str) -> bool:
        page = self._objects.prefix.page(path, limit=1)
        return bool(page.files or page.folders or page.token) or self._head(f"{path}/") is not None

    def _read(self, path: str, offset: int, length: int | None) -> bytes:
        return self._objects.prefix.get(path, offset, length)

    def _write(self, path: str, data: bytes) -> None:
        self._check_place(path)
        if self._is_folder(path):
            raise BadPath(f"{path!r} is a folder.")
        self._objects.prefix.put(path, data, len(data), metadata=PLAIN, if_match=None)

    def _upload(self, local: Path, path: str) -> None:
        self._check_place(path)
        with local.open("rb") as body:
            size = local.stat().st_size
            self._objects.prefix.put(path, body, size, metadata=PLAIN, if_match=None)

    def _download(self, path: str, local: Path) -> None:
        partial = local.with_name(f".{local.name}.partial")
        try:
            with self._objects.prefix.reading(path) as (body, _, _), partial.open("wb") as target:
                while piece := body.read(CHUNK):
                    target.write(piece)
            partial.replace(local)
        finally:
            partial.unlink(missing_ok=True)

    def _mkdir(self, path: str) -> None:
        self._check_place(path)
        if self._head(path) is not None:
            raise BadPath(f"{path!r} is a file.")
        if not self._is_folder(path):
            self._make(f"{path}/")

    def _make(self, key: str) -> None:
        self._objects.prefix.put(key, b"", 0, metadata={"mode": "16877"}, if_match=None)

    def _move(self, source: str, target: str) -> None:
        self._check_place(target)
        if self._head(target) is not None or self._is_folder(target):
            raise BadPath(f"{target!r} exists already.")
        prefix = self._objects.prefix
        if self._head(source) is not None:
            prefix.copy(source, target)
            prefix.delete(source)
            return
        sources = self._keys_in(source)
        if not sources:
            raise NotFound(f"no such file: {source!r}")
        for key in sources:
            if key.endswith("/"):
                self._make(target + key[len(source) :])
            else:
                prefix.copy(key, target + key[len(source) :])
        for key in sources:
            prefix.delete(key)
        while (empty := [key for key in self._keys_in(source) if key.endswith("/")]) and empty != sources:
            for key in empty:  # folders that become empty
                prefix.delete(key)
            sources = empty

    def _keys_in(self, folder: str) -> list[str]:
        """Return the keys of the files in a folder, and of its empty folders, itself included."""
        below = (i for i in self._objects.prefix.listing().objects.values() if f"{i.path}/".startswith(f"{folder}/"))
        return [f"{info.path}/" if info.kind == "directory" else info.path for info in below]

    def _delete(self, path: str, recursive: bool) -> None:
        self._check_writer()
        prefix = self._objects.prefix
        if prefix.head(path) is not None:
            prefix.delete(path)
            return
        if not self._is_folder(path):
            raise NotFound(f"no such file: {path!r}")
        page = prefix.page(path, limit=2)
        if (page.files or page.folders) and not recursive:
            raise BadPath(f"{path!r} is not empty. Pass recursive=True to remove it with its content.")
        prefix.delete_folder(path)

    def _check_place(self, path: str) -> None:
        """Refuse a path below a file: a bucket can have both, a directory cannot."""
        self._check_writer()
        for parent in parents(path):
            if self._head(parent) is not None:
                raise BadPath(f"{path!r} cannot be made: {parent!r} is a file.")

    def _check_writer(self) -> None:
        """Raise `WorkspaceTaken` if another installation holds the lease."""
        held = self._objects.lease.read()
        if held is not None and self._objects.lease.is_others(held):
            raise WorkspaceTaken(f"{self._objects.location} is worked on by {held.holder}; write when it is parked.")

    async def list(self, path: str = "", *, recursive: bool = False) -> list[FileInfo]:
        """Return the entries of a folder: folders first, then by name; by path when `recursive`."""
        return await self._do(self._list, _named(path), recursive)


def _named(path: str) -> str:
    """Return a path that can be a key: SeaweedFS treats a backslash as a slash, and so as another file."""
    if not can_be_key(path):
        raise BadPath(f"{path!r:.120} cannot be in a bucket: it holds a backslash, is not UTF-8, or is too long.")
    return path


def _file(info: ObjectInfo) -> FileInfo:
    return FileInfo(info.path, info.path.rpartition("/")[2], info.kind, info.size, info.modified)


def _folder(path: str) -> FileInfo:
    return FileInfo(path, path.rpartition("/")[2], "directory", 0, None)
