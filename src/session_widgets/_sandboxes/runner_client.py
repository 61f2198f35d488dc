"""Files and processes of a sandbox, over the runner's HTTP API (docs/architecture.md)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import httpx
import orjson

from session_widgets._sandboxes.paths import check_path
from session_widgets.answers import PLAIN, ask, is_far, pieces, tls, whole
from session_widgets.errors import (
    BadPath,
    ExecTimeout,
    LimitExceeded,
    NotFound,
    SandboxAuth,
    SandboxError,
    SandboxGone,
    SandboxNotRunning,
    TransportError,
)
from session_widgets.host.manifest import Manifest
from session_widgets.model import Endpoint, ExecResult, FileInfo
from session_widgets.transcript.records import FileChange

TIMEOUT = httpx.Timeout(30, connect=5)
CHUNK = 1 << 20
PAGE = 5_000
LATE_SECONDS = 30
"""For the answer, after a command was to be killed: the network may hold everything back."""
MOST_LISTED = 200_000
"""Entries of one listing; a runner lists 100,000."""
MOST_OUTPUT = 8 << 20
"""Bytes that `exec` returns of each of stdout and stderr."""
MOST_ANSWER = 64 << 20
MOST_EXEC = 256 << 20
"""Both outputs twice: as text, with up to six bytes a byte, and as base64."""
MOST_MANIFEST = 1 << 30
MOST_READ = 1 << 30
MOST_PROBLEM = 64 << 10
"""Limit of an error response."""
MANIFEST_SECONDS = 120
"""Enough to hash some 50 GB; a hanging runner blocks no longer than this."""


class RunnerClient:
    """Client of one runner. Paths are relative to the workspace.

    Args:
        endpoint: of the runner.
        workspace: its absolute path there.
        transport: sends the requests; None: over HTTP.
    """

    def __init__(self, endpoint: Endpoint, workspace: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.endpoint = endpoint
        self.workspace = workspace
        headers = {**PLAIN, **endpoint.headers}
        self._http = httpx.AsyncClient(
            base_url=endpoint.url,
            headers=headers,
            timeout=TIMEOUT,
            verify=tls(endpoint.url),
            trust_env=is_far(endpoint.url),
            transport=transport,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def health(self) -> dict[str, Any]:
        """Return the response of `GET /v1/health`: `status`, `nonce`, `version`, `pid`, `features`."""
        answer: dict[str, Any] = orjson.loads((await self._call("GET", "/v1/health")).content)
        return answer

    async def connections(self) -> list[str]:
        """Return the ids of the live agent connections."""
        body = orjson.loads((await self._call("GET", "/v1/acp")).content)
        return [server["serverId"] for server in body["servers"]]

    async def exec(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        timeout: float | None = 60,
    ) -> ExecResult:
        """Run `command` with `sh -c`; see `Sandbox.exec`."""
        body: dict[str, Any] = {
            "command": "/bin/sh",
            "args": ["-c", command],
            "cwd": self._absolute(cwd or ""),
            "env": dict(env or {}),
            "encoding": "base64",
            "maxOutputBytes": MOST_OUTPUT,
            "timeoutMs": 0 if timeout is None else max(1, round(timeout * 1000)),
        }
        if stdin is not None:
            body["stdin"] = b64encode(stdin).decode()
        wait = None if timeout is None else timeout + LATE_SECONDS
        try:
            ran = await self._call("POST", "/v1/processes/run", json=body, wait=wait, most=MOST_EXEC)
        except TransportError as error:
            if isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout):
                raise
            raise TransportError(
                f"{error}. The command may have run, or may still run; it is not sent again."
            ) from error
        answer = orjson.loads(ran.content)
        out, err = b64decode(answer["stdoutBase64"]), b64decode(answer["stderrBase64"])
        if answer["timedOut"]:
            raise ExecTimeout(
                f"{command!r:.200} ran longer than {timeout:g} s and was killed. Pass a larger timeout= or None."
            )
        return ExecResult(
            code=answer["exitCode"],
            out=out.decode(errors="replace"),
            err=err.decode(errors="replace"),
            out_bytes=out,
            err_bytes=err,
            truncated=answer["stdoutTruncated"] or answer["stderrTruncated"],
        )

    async def list(self, path: str = "", *, recursive: bool = False) -> list[FileInfo]:
        """Return the entries of a directory: directories first, then by name; by path when `recursive`."""
        found: list[FileInfo] = []
        while True:
            params = {
                "path": self._absolute(path),
                "recursive": str(recursive).lower(),
                "offset": str(len(found)),
                "limit": str(PAGE),
            }
            answer = await self._call("GET", "/v1/fs/entries", params=params)
            page = orjson.loads(answer.content)
            if len(page) > PAGE or len(found) > MOST_LISTED:
                raise TransportError(f"the runner lists {path or '.'!r} without an end")
            found += [self._info(entry) for entry in page]
            if len(page) < PAGE and answer.headers.get("x-truncated") == "true":
                raise LimitExceeded(
                    f"{path or '.'!r} holds more than {len(found):,} entries. List its folders one by one."
                )
            if len(page) < PAGE:
                return found

    async def stat(self, path: str) -> FileInfo:
        """Return one entry."""
        answer = await self._call("GET", "/v1/fs/stat", params={"path": self._absolute(path)})
        return self._info(orjson.loads(answer.content))

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of a file; fewer than `length` at its end, none after it."""
        if length == 0:
            return b""
        headers = {}
        if offset or length is not None:
            end = "" if length is None else str(offset + length - 1)
            headers["range"] = f"bytes={offset}-{end}"
        most = MOST_READ if length is None else length
        answer = await self._call(
            "GET", "/v1/fs/file", params=self._path(path), headers=headers, allow={416}, most=max(most, MOST_PROBLEM)
        )
        if len(answer.content) > most and not answer.is_error:
            raise TransportError(f"the runner sent more of {path!r} than the requested {most:,} bytes")
        return b"" if answer.status_code == 416 else answer.content

    async def write(self, path: str, data: bytes | AsyncIterator[bytes]) -> None:
        """Replace a file atomically, creating its parents."""
        headers = {"content-type": "application/octet-stream"}
        content = _pieces(data) if isinstance(data, bytes) else data
        await self._call("PUT", "/v1/fs/file", params=self._path(path), headers=headers, content=content, wait=None)

    async def upload(self, local: Path, path: str) -> None:
        """Copy a file of this machine into the workspace, in pieces."""

        async def pieces() -> AsyncIterator[bytes]:
            with local.open("rb") as source:
                while piece := source.read(CHUNK):
                    yield piece

        await self.write(path, pieces())

    async def download(self, path: str, local: Path) -> None:
        """Copy a workspace file to this machine, in pieces; `local` appears only when it is complete."""
        partial = local.with_name(f".{local.name}.partial")
        try:
            async with self._http.stream("GET", "/v1/fs/file", params=self._path(path)) as answer:
                if answer.is_error:
                    raise problem(await whole(answer, MOST_PROBLEM), self.workspace)
                with partial.open("wb") as target:
                    async for piece in pieces(answer):
                        target.write(piece)
            partial.replace(local)
        except httpx.HTTPError as error:
            raise broken(error) from error
        finally:
            partial.unlink(missing_ok=True)

    async def mkdir(self, path: str) -> None:
        """Create a directory and its parents; an existing one is not changed."""
        await self._call("POST", "/v1/fs/mkdir", params=self._path(path))

    async def move(self, source: str, target: str) -> None:
        """Rename; `BadPath` if the target exists."""
        body = {"from": self._absolute(check_path(source)), "to": self._absolute(check_path(target))}
        await self._call("POST", "/v1/fs/move", json=body)

    async def delete(self, path: str, *, recursive: bool = False) -> None:
        """Remove a file or directory; a directory that is not empty only if `recursive`."""
        params = self._path(path) | {"recursive": str(recursive).lower()}
        await self._call("DELETE", "/v1/fs/entry", params=params)

    async def snapshot(self, name: str) -> None:
        """Store the identity of every workspace file as snapshot `name`."""
        await self._call("PUT", f"/v1/fs/snapshots/{name}")

    async def changes(self, name: str) -> tuple[FileChange, ...]:
        """Return the changes since the snapshot `name`; raises `NotFound` if the runner does not have it."""
        answer = await self._call("GET", f"/v1/fs/snapshots/{name}/changes")
        return self.changes_of(orjson.loads(answer.content))

    def changes_of(self, body: Mapping[str, Any]) -> tuple[FileChange, ...]:
        """Return the changes that the runner reports, in a response or with an agent's answer."""
        return tuple(FileChange(self._relative(c["path"]), c["change"], c.get("size")) for c in body["changes"])

    async def manifest(self) -> Manifest:
        """Return the manifest of the workspace, with hashes; unchanged files are not read again."""
        answer = await self._call("POST", "/v1/fs/manifest", wait=MANIFEST_SECONDS, most=MOST_MANIFEST)
        return Manifest.from_json(orjson.loads(answer.content))

    def _absolute(self, path: str) -> str:
        relative = check_path(path, root=True)
        return f"{self.workspace}/{relative}" if relative else self.workspace

    def _path(self, path: str) -> dict[str, str]:
        return {"path": self._absolute(check_path(path))}

    def _relative(self, absolute: str) -> str:
        return absolute.removeprefix(self.workspace).lstrip("/")

    def _info(self, entry: Mapping[str, Any]) -> FileInfo:
        kind: Literal["file", "directory", "symlink", "other"] = entry["entryType"]
        if entry.get("symlink") or entry.get("special"):
            kind = "symlink" if entry["symlink"] else "other"
        path = self._relative(entry["path"])
        return FileInfo(
            path=path,
            name=path.rpartition("/")[2],
            type=kind,
            size=entry["size"],
            modified=datetime.fromisoformat(entry["modified"]),
        )

    async def _call(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
        content: bytes | AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        wait: float | None = 30,
        allow: frozenset[int] | set[int] = frozenset(),
        most: int = MOST_ANSWER,
    ) -> httpx.Response:
        sent = dict(headers or {})
        if json is not None:
            content, sent["content-type"] = orjson.dumps(json), "application/json"
        timeout = httpx.Timeout(wait, connect=5)
        if self._http.is_closed:  # found dead, and closed, by another user of it
            raise TransportError("the connection to the sandbox was closed.")
        try:
            answer = await ask(
                self._http, method, url, most=most, params=params, content=content, headers=sent, timeout=timeout
            )
        except httpx.HTTPError as error:
            raise broken(error) from error
        if answer.is_error and answer.status_code not in allow:
            raise problem(answer, self.workspace)
        return answer


def problem(answer: httpx.Response, workspace: str) -> SandboxError | BadPath:
    """Return the error of an `application/problem+json` response."""
    kind = ""
    try:
        body = orjson.loads(answer.content)
        kind = str(body.get("type", "")).rpartition(":")[2]
        detail = str(body.get("detail") or body["title"]).removeprefix("invalid request: ").removeprefix("not found: ")
    except (ValueError, KeyError, AttributeError):
        detail = answer.text[:500] or answer.reason_phrase
    detail = detail.replace(f"{workspace}/", "")
    status = answer.status_code
    if not kind and status not in {401, 413, 429}:  # a proxy in between refused it, whatever the request was
        return TransportError(f"something between here and the runner answered HTTP {status}: {detail}")
    if kind == "stopping":
        return TransportError(detail, unsent=True)
    if kind == "sandbox_gone":
        return SandboxGone("the runner is no longer this session's: it was released, or another session has it.")
    if kind == "sandbox_parked":
        return SandboxNotRunning(detail)
    if kind in {"taken", "not_empty"}:
        return SandboxError(detail)
    if status == 404 and kind.endswith("not_found"):  # a missing route, or a proxy, does not mean a missing file
        return NotFound(detail)
    if status in {400, 403, 409, 412}:
        return BadPath(detail)
    if status == 401:
        return SandboxAuth(f"the runner refused our token: {detail}")
    if status in {413, 429, 507}:
        return LimitExceeded(detail)
    return SandboxError(f"the runner answered {status}: {detail}")


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), CHUNK):
        yield data[start : start + CHUNK]


def broken(error: httpx.HTTPError) -> TransportError:
    """Return the error of a broken connection."""
    return TransportError(f"the connection to the sandbox's runner broke: {type(error).__name__} {error}".rstrip(" :"))
