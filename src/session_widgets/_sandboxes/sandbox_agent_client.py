"""Files and processes of a workspace through a sandbox-agent 0.4 server, which has no jail and none of our extensions.

The server runs on this machine, or shares the directory: so paths, entry kinds and a turn's changes are checked here,
and only the bytes go through the server.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import orjson

from session_widgets._sandboxes.paths import check_path
from session_widgets._sandboxes.runner_client import CHUNK, MOST_READ
from session_widgets._sandboxes.sandbox_agent_processes import SandboxAgentProcesses
from session_widgets._sandboxes.shared_directory import MAX_FILES, compared, identities, true_kind
from session_widgets.errors import BadPath, LimitExceeded, NotFound, SandboxError
from session_widgets.host.daemon import read_json, write_private
from session_widgets.host.manifest import Manifest, scan
from session_widgets.host.tree import TEMPORARY
from session_widgets.model import Endpoint, FileInfo
from session_widgets.transcript.records import FileChange

REPLACE = """
[ ! -d "$2" ] || exit 21
[ ! -f "$2" ] || chmod --reference="$2" -- "$1"
exec mv -f -- "$1" "$2"
"""


class SandboxAgentClient(SandboxAgentProcesses):
    """`RunnerClient` for sandbox-agent.

    Args:
        endpoint: the server, with its token.
        workspace: directory that the server and this machine see under the same path.
        memory: file with the latest snapshot.
    """

    def __init__(self, endpoint: Endpoint, workspace: str, memory: Path) -> None:
        super().__init__(endpoint, workspace)
        self._memory = memory

    async def _put_input(self, stdin: bytes | None) -> str:
        if stdin is None:
            return ""
        path = f"{self.workspace}/{TEMPORARY}{secrets.token_hex(8)}"
        await self._put(path, _pieces(stdin))
        return path

    # Files

    async def list(self, path: str = "", *, recursive: bool = False) -> list[FileInfo]:
        """Return the entries of a directory: directories first, then by name; by path when `recursive`."""
        entries = await self._entries(path)
        if not recursive:
            return sorted(entries, key=lambda info: (info.type != "directory", info.name))
        found, waiting = [*entries], [info for info in entries if info.type == "directory"]
        while waiting:
            below = await self._entries(waiting.pop().path)
            found += below
            waiting += [info for info in below if info.type == "directory"]
            if len(found) > MAX_FILES:
                raise LimitExceeded(f"{path or '.'!r} holds more than {MAX_FILES:,} entries. List its folders.")
        return sorted(found, key=lambda info: info.path)

    async def _entries(self, path: str) -> Sequence[FileInfo]:
        answer = await self._call("GET", "/v1/fs/entries", params={"path": self._existing(path)})
        known = [self._info(entry) for entry in orjson.loads(answer.content) if TEMPORARY not in entry["name"]]
        return [true_kind(info, self.workspace) for info in known]

    async def stat(self, path: str) -> FileInfo:
        """Return one entry."""
        answer = await self._call("GET", "/v1/fs/stat", params={"path": self._existing(path, last=False)})
        return true_kind(self._info(orjson.loads(answer.content)), self.workspace)

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of a file; fewer than `length` at its end, none after it."""
        absolute = self._existing(check_path(path))
        if length == 0:
            return b""
        if not offset and length is None:
            params = {"path": absolute}
            return (await self._call("GET", "/v1/fs/file", params=params, wait=None, most=MOST_READ)).content
        if Path(absolute).is_dir():
            raise BadPath(f"{path!r} is a directory.")
        ending = "" if length is None else ' | head -c "$LENGTH"'  # the server reads only whole files
        env = {"FILE": absolute, "OFFSET": str(offset + 1), "LENGTH": str(length)}
        result = await self.exec(f'tail -c "+$OFFSET" -- "$FILE"{ending}', env=env, timeout=None)
        if result.truncated:
            raise LimitExceeded("sandbox-agent keeps 10 MB of output: read less at once.")
        return result.out_bytes

    async def write(self, path: str, data: bytes | AsyncIterator[bytes]) -> None:
        """Replace a file atomically, creating its parents. Files above the server's 2 MiB are sent in pieces."""
        absolute = self._absolute(check_path(path))
        parent = absolute.rpartition("/")[0]
        partial = f"{parent}/{TEMPORARY}{secrets.token_hex(8)}"
        pieces = _pieces(data) if isinstance(data, bytes) else data
        try:
            await self._put(partial, pieces)
            if code := await self._sh(REPLACE, partial, absolute):
                what = "is a directory" if code == 21 else "could not be replaced"
                raise BadPath(f"{path!r} {what}.")
        except BaseException:
            with suppress(SandboxError, BadPath):
                await asyncio.shield(self._call("DELETE", "/v1/fs/entry", params={"path": partial}))
            raise

    async def _put(self, absolute: str, pieces: AsyncIterator[bytes]) -> None:
        await self._call("PUT", "/v1/fs/file", params={"path": absolute}, content=b"")
        piece = f"{absolute}.piece"
        first = True
        async for data in pieces:
            for start in range(0, len(data), CHUNK):
                target = absolute if first else piece
                part = data[start : start + CHUNK]
                await self._call("PUT", "/v1/fs/file", params={"path": target}, content=part)
                if not first and await self._sh(
                    'cat -- "$2" >> "$1"; code=$?; rm -f -- "$2"; exit $code', absolute, piece
                ):
                    raise SandboxError("a piece of the file could not be appended: is the disk full?")
                first = False

    async def move(self, source: str, target: str) -> None:
        """Rename; `BadPath` if the target exists."""
        body = {"from": self._existing(check_path(source), last=False), "to": self._absolute(check_path(target))}
        await self._call("POST", "/v1/fs/move", json=body)

    async def delete(self, path: str, *, recursive: bool = False) -> None:
        """Remove a file or directory; a directory that is not empty only if `recursive`."""
        absolute = self._existing(check_path(path), last=False)
        place = Path(absolute)
        if place.is_symlink():  # the server would follow it
            if await self._sh('exec rm -f -- "$1"', absolute):
                raise BadPath(f"{path!r} could not be removed.")
            return
        if not recursive and place.is_dir() and any(place.iterdir()):
            raise BadPath(f"{path!r} is a directory that is not empty. Pass recursive=True.")
        params = {"path": absolute, "recursive": str(recursive).lower()}
        await self._call("DELETE", "/v1/fs/entry", params=params)

    # Operations that the server lacks, done in the shared directory

    async def snapshot(self, name: str) -> None:
        """Store the identity of every workspace file as snapshot `name`; only the latest is kept."""
        files = await asyncio.to_thread(identities, Path(self.workspace))
        await asyncio.to_thread(write_private, self._memory, {"name": name, "files": files})

    async def changes(self, name: str) -> tuple[FileChange, ...]:
        """Return the changes since the snapshot `name`; raises `NotFound` if a later one exists."""
        before = await asyncio.to_thread(read_json, self._memory)
        if before is None or before["name"] != name:
            raise NotFound(f"snapshot {name}")
        now = await asyncio.to_thread(identities, Path(self.workspace))
        return compared(before["files"], now)

    async def manifest(self) -> Manifest:
        """Return the manifest of the workspace, with hashes."""
        return await asyncio.to_thread(scan, Path(self.workspace))

    def _absolute(self, path: str, *, last: bool = True) -> str:
        """Return the path for the server, if no link on the way leads out of the workspace.

        Args:
            path: relative to the workspace.
            last: whether the entry itself must not lead out either.
        """
        absolute = super()._absolute(path)
        root = os.path.realpath(self.workspace)
        resolved = os.path.realpath(absolute if last or absolute == self.workspace else absolute.rpartition("/")[0])
        if resolved != root and not resolved.startswith(f"{root}/"):
            raise BadPath(f"{path!r} leads out of the workspace by a link.")
        return absolute

    def _existing(self, path: str, *, last: bool = True) -> str:
        absolute = self._absolute(path, last=last)
        if not os.path.lexists(absolute):
            raise NotFound(f"{path!r} does not exist.")
        return absolute


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data
