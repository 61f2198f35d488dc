"""Files and processes of a workspace through a sandbox-agent 0.4 server, which has no jail and none of our extensions.

The server runs on this machine, or shares the directory: so paths, entry kinds and a turn's changes are checked here,
and only the bytes go through the server.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from session_widgets._sandboxes.paths import check_path
from session_widgets._sandboxes.runner_client import CHUNK, MOST_READ, RunnerClient
from session_widgets._sandboxes.shared_directory import MAX_FILES, compared, identities, true_kind
from session_widgets.errors import BadPath, ExecTimeout, LimitExceeded, NotFound, SandboxError, TransportError
from session_widgets.host.daemon import read_json, write_private
from session_widgets.host.manifest import Manifest, scan
from session_widgets.host.tree import TEMPORARY
from session_widgets.model import Endpoint, ExecResult, FileInfo
from session_widgets.transcript.records import FileChange

LONGEST_PAUSE = 0.2  # seconds
DRAINED_WITHIN = 2.0  # seconds
QUIET = 0.15  # seconds
LONGEST_END = 64 << 10  # bytes
INSIDE = """
if [ -n "$2" ]; then exec <"$2"; rm -f -- "$2"; else exec </dev/null; fi
/bin/sh -c "$1"; code=$?
printf %s "$3"; printf %s "$3" >&2
exit $code
"""
"""Runs a command with its input from a file, and marks the end of both outputs: the server reports the exit before
it has read the output."""
REPLACE = """
[ ! -d "$2" ] || exit 21
[ ! -f "$2" ] || chmod --reference="$2" -- "$1"
exec mv -f -- "$1" "$2"
"""


class SandboxAgentClient(RunnerClient):
    """`RunnerClient` for sandbox-agent.

    Args:
        endpoint: the server, with its token.
        workspace: directory that the server and this machine see under the same path.
        memory: file with the latest snapshot.
    """

    def __init__(self, endpoint: Endpoint, workspace: str, memory: Path) -> None:
        super().__init__(endpoint, workspace)
        self._memory = memory
        self._alive: set[str] = set()

    async def connections(self) -> list[str]:
        """Return the ids of the live agent connections; the server also lists dead ones.

        Each id is checked once: later the reader of its messages receives its end.
        """
        listed = await super().connections()
        unknown = [id for id in listed if id not in self._alive]
        lives = await asyncio.gather(*(self._lives(id) for id in unknown))
        self._alive |= {id for id, alive in zip(unknown, lives, strict=True) if alive}
        return [id for id in listed if id in self._alive]

    async def _lives(self, id: str) -> bool:
        """Whether the last of an agent's messages, which the server repeats, is not its exit."""
        held = b""
        timeout = httpx.Timeout(5, read=QUIET)
        headers = {"accept": "text/event-stream"}
        try:
            async with self._http.stream(
                "GET", f"/v1/acp/{quote(id, safe='')}", headers=headers, timeout=timeout
            ) as answer:
                async for piece in answer.aiter_raw():
                    held = held[-LONGEST_END:] + piece
        except httpx.ReadTimeout:
            pass
        except httpx.HTTPError as error:
            raise TransportError(f"the connection to sandbox-agent broke: {error!r:.200}") from error
        with suppress(orjson.JSONDecodeError, AttributeError):
            last = held.rstrip().rpartition(b"data:")[2]
            return bool(orjson.loads(last).get("method") != "_adapter/agent_exited")
        return True

    # Processes

    async def exec(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        timeout: float | None = 60,
    ) -> ExecResult:
        """Run `command` with `sh -c`; see `Sandbox.exec`. An exit by signal has the code 128 plus its number.

        `processes/run` is not used: it decodes the output, and neither its timeout nor a disconnected client kills the
        children of the command.
        """
        mark = f"<{secrets.token_hex(16)}>"
        given = await self._put_input(stdin)
        body = {
            "command": "setsid",
            "args": ["/bin/sh", "-c", INSIDE, "sh", command, given, mark],
            "cwd": self._absolute(cwd or ""),
            "env": dict(env or {}),
        }
        started = orjson.loads((await self._call("POST", "/v1/processes", json=body)).content)
        try:
            async with asyncio.timeout(timeout):
                return await self._result(started["id"], mark.encode())
        except TimeoutError as error:
            raise ExecTimeout(
                f"{command!r:.200} ran longer than {timeout:g} s and was killed. Pass a larger timeout= or None."
            ) from error
        finally:
            await asyncio.shield(asyncio.ensure_future(self._end(started)))

    async def _put_input(self, stdin: bytes | None) -> str:
        if stdin is None:
            return ""
        path = f"{self.workspace}/{TEMPORARY}{secrets.token_hex(8)}"
        await self._put(path, _pieces(stdin))
        return path

    async def _result(self, id: str, mark: bytes) -> ExecResult:
        process, loop = await self._exit(id), asyncio.get_running_loop()
        deadline = loop.time() + DRAINED_WITHIN
        while True:
            logs = orjson.loads((await self._call("GET", f"/v1/processes/{id}/logs")).content)["entries"]
            out, err = _joined(logs, "stdout"), _joined(logs, "stderr")
            if (mark in out and mark in err) or loop.time() > deadline:
                break
            await asyncio.sleep(0.005)
        out, err = out.partition(mark)[0], err.partition(mark)[0]
        code = process.get("exitCode")
        return ExecResult(
            code=-9 if code is None else code,  # the server does not report the signal
            out=out.decode(errors="replace"),
            err=err.decode(errors="replace"),
            out_bytes=out,
            err_bytes=err,
            truncated=bool(logs) and logs[0]["sequence"] != 1,
        )

    async def _exit(self, id: str) -> dict[str, Any]:
        """Wait until a process has exited: the stream of its logs does not tell."""
        pause = 0.002
        while (process := await self._process(id))["status"] == "running":
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
        return process

    async def _process(self, id: str) -> dict[str, Any]:
        process: dict[str, Any] = orjson.loads((await self._call("GET", f"/v1/processes/{id}")).content)
        return process

    async def _end(self, started: Mapping[str, Any]) -> None:
        """Kill a command with all its children, unless it has exited, and remove it from the server."""
        with suppress(SandboxError, BadPath):
            if (await self._process(started["id"]))["status"] == "running":
                await self._sh('kill -s KILL -- "-$1"', str(started["pid"]))
                await self._exit(started["id"])
            await self._call("DELETE", f"/v1/processes/{started['id']}")

    async def _sh(self, script: str, *arguments: str) -> int:
        """Run one of our short scripts and return its exit code."""
        body = {"command": "/bin/sh", "args": ["-c", script, "sh", *arguments]}
        answer = orjson.loads((await self._call("POST", "/v1/processes/run", json=body, wait=None)).content)
        code: int = answer["exitCode"]
        return code

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


def _joined(entries: list[dict[str, Any]], stream: str) -> bytes:
    return b"".join(b64decode(entry["data"]) for entry in entries if entry["stream"] == stream)


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data
