"""The files of a sandbox-agent server that shares none with this machine.

Its own file API has no conditions, modes, links, hashes and no jail. So each request for a file is answered by a
program (`host/file_service.py`) that the server runs with its machine's Python; contents travel through the server's
file API, in pieces below its limit.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import secrets
import tempfile
import zipfile
from base64 import b64decode
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import httpx

from session_widgets import host
from session_widgets._sandboxes.runner_client import CHUNK, broken, problem
from session_widgets.answers import PLAIN, blocking_whole, tls
from session_widgets.errors import SandboxError, TransportError
from session_widgets.model import Endpoint

TIMEOUT = httpx.Timeout(330, connect=10)
MOST_SAID = 8 << 20
LONGEST_RUN_MS = 300_000
"""The most that sandbox-agent allows."""
MODULES = ("__init__", "tree", "manifest", "directory", "host_tree", "jail", "tar_stream", "file_service")
START = """
import sys
if sys.version_info < (3, 11):
    sys.exit(f"Python 3.11 or newer is needed, and this is {sys.version.split()[0]}")
from session_widgets.host.file_service import main
sys.exit(main(sys.argv[1]))
"""


@cache
def service_archive() -> bytes:
    """Return the program, as Python runs it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py"), START)
        archive.writestr(zipfile.ZipInfo("session_widgets/__init__.py"), "")
        for name in MODULES:
            text = (Path(host.__path__[0]) / f"{name}.py").read_bytes()
            archive.writestr(zipfile.ZipInfo(f"session_widgets/host/{name}.py"), text, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


class SandboxAgentFiles(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers requests for `/v1/fs` and `/v1/tree` by the program, and passes others on to the server.

    Args:
        endpoint: the server.
        folder: absolute directory there, with `workspace` and all that the program needs.
    """

    def __init__(self, endpoint: Endpoint, folder: str) -> None:
        self._folder = folder
        self._program = f"{folder}/service-{hashlib.sha256(service_archive()).hexdigest()[:12]}.zip"
        self._http = httpx.Client(
            base_url=endpoint.url,
            headers={**PLAIN, **endpoint.headers},
            timeout=TIMEOUT,
            verify=tls(endpoint.url),
            trust_env=False,
        )
        self._others = httpx.AsyncHTTPTransport(verify=tls(endpoint.url))

    # What the server is used for

    def make(self) -> None:
        """Make an empty folder with the program. Raises `SandboxError` if the machine lacks what that needs."""
        code, said = self._sh('rm -rf -- "$1" && umask 077 && mkdir -p -- "$1/workspace"', self._folder)
        if code:
            raise SandboxError(f"the sandbox-agent cannot make {self._folder}: {said:.200}")
        self.put(self._program, [service_archive()])
        self.ask("GET /v1/fs/stat", {"path": ""})

    def exists(self) -> bool:
        """Whether the folder is there; the program of another release is replaced."""
        if self._sh('[ -d "$1/workspace" ]', self._folder)[0]:
            return False
        if self._sh('[ -f "$1" ]', self._program)[0]:
            self.put(self._program, [service_archive()])
        return True

    def stop(self) -> None:
        """Kill the processes that work in the workspace."""
        self.ask("POST /v1/stop", {})

    def remove(self) -> None:
        """Remove the folder."""
        self._sh('exec rm -rf -- "$1"', self._folder)

    def put(self, path: str, pieces: Iterable[bytes]) -> None:
        """Write a small file."""
        try:
            with self._http.stream("PUT", "/v1/fs/file", params={"path": path}, content=b"".join(pieces)) as stream:
                self._checked(blocking_whole(stream, MOST_SAID))
        except httpx.HTTPError as error:
            raise broken(error) from error

    def put_input(self, data: bytes) -> str:
        """Store the input of a command and return its path."""
        path = self._temporary()
        self.put(path, [data[:CHUNK]])
        for start in range(CHUNK, len(data), CHUNK):
            self.put(f"{path}.piece", [data[start : start + CHUNK]])
            if self._sh('cat -- "$1.piece" >> "$1"; code=$?; rm -f -- "$1.piece"; exit $code', path)[0]:
                raise SandboxError("a piece of the input could not be appended: is the disk full?")
        return path

    def ask(self, name: str, params: dict[str, str], body: Iterable[bytes] = ()) -> httpx.Response:
        """Let the program answer a request; raises the error of a bad answer."""
        answer = self._answer(name, params, body)
        answer.read()
        return self._checked(answer)

    # As the transport of a client

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request of a blocking client."""
        assert isinstance(request.stream, httpx.SyncByteStream)
        name, params = _named(request)
        return self._answer(name, params, request.stream)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request of an async client."""
        if not request.url.path.startswith("/v1/fs/"):
            return await self._others.handle_async_request(request)
        assert isinstance(request.stream, httpx.AsyncByteStream)
        with tempfile.SpooledTemporaryFile(CHUNK) as body:
            async for piece in request.stream:
                body.write(piece)
            body.seek(0)

            content = iter(lambda: body.read(CHUNK), b"")
            found = await asyncio.to_thread(self._answer, *_named(request), content)
        if isinstance(found.stream, httpx.ByteStream):
            return found
        return httpx.Response(found.status_code, stream=_InThread(found))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    async def aclose(self) -> None:
        """Close the connections."""
        self._http.close()
        await self._others.aclose()

    def _answer(self, name: str, params: dict[str, str], body: Iterable[bytes]) -> httpx.Response:
        transfer = self._temporary()
        pieces = 0
        request = {"name": name, "folder": self._folder, "params": params, "transfer": transfer}
        long: httpx.Response | None = None
        try:
            for piece in _sized(body):
                self.put(f"{transfer}.{pieces}", [piece])
                pieces += 1
            words = (self._program, json.dumps({**request, "pieces": pieces}))
            code, said = self._sh('exec python3 -I "$@"', *words)
            if code:
                raise SandboxError(f"the sandbox-agent's machine needs python3 3.11 for its files: {said[-300:]}")
            try:
                told = json.loads(said)
                status, value, content = int(told["status"]), told["value"], b64decode(told["content"])
            except (ValueError, TypeError, LookupError) as error:
                raise TransportError("the sandbox-agent sent no answer about its files") from error
            if value is not None or status != 200:
                content = json.dumps(value).encode()
            if not told["long"]:
                return httpx.Response(status, stream=httpx.ByteStream(content))
            wanted = self._http.build_request("GET", "/v1/fs/file", params={"path": f"{transfer}.out"})
            long = self._http.send(wanted, stream=True)
            return httpx.Response(long.status_code, stream=_Streamed(long))
        except httpx.HTTPError as error:
            raise broken(error) from error
        finally:
            if pieces or long is not None:
                with suppress(SandboxError):
                    self._sh('rm -f -- "$1".*', transfer)

    def _temporary(self) -> str:
        return f"{self._folder}/transfer-{secrets.token_hex(8)}"

    def _sh(self, script: str, *words: str) -> tuple[int, str]:
        args = ["-c", script, "sh", *words]
        body = {"command": "/bin/sh", "args": args, "timeoutMs": LONGEST_RUN_MS, "cwd": "/"}
        try:
            with self._http.stream("POST", "/v1/processes/run", json=body) as stream:
                answer = self._checked(blocking_whole(stream, MOST_SAID)).json()
        except httpx.HTTPError as error:
            raise broken(error) from error
        if answer["timedOut"]:
            raise TransportError("the sandbox-agent took more than five minutes for its files")
        return answer["exitCode"], answer["stdout"] or answer["stderr"]

    def _checked(self, answer: httpx.Response) -> httpx.Response:
        if answer.is_error:
            raise problem(answer, f"{self._folder}/workspace")
        return answer


class _Streamed(httpx.SyncByteStream):
    """The body of another response."""

    def __init__(self, answer: httpx.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        return self._answer.iter_raw()

    def close(self) -> None:
        self._answer.close()


class _InThread(httpx.AsyncByteStream):
    """The body of a response of a blocking client."""

    def __init__(self, answer: httpx.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = self._answer.iter_raw(CHUNK)
        while piece := await asyncio.to_thread(next, pieces, b""):
            yield piece

    async def aclose(self) -> None:
        await asyncio.to_thread(self._answer.close)


def _named(request: httpx.Request) -> tuple[str, dict[str, str]]:
    """Return the name of an operation, and its parameters."""
    path, params = request.url.path, dict(request.url.params)
    if path.startswith("/v1/fs/snapshots/"):
        params["name"] = unquote(path.split("/")[4])
        path = "/v1/fs/snapshots"
    if wanted := request.headers.get("range"):
        start, _, end = wanted.removeprefix("bytes=").partition("-")
        params["offset"] = start
        if end:
            params["length"] = str(int(end) - int(start) + 1)
    return f"{request.method} {path}", params


def _sized(body: Iterable[bytes]) -> Iterator[bytes]:
    """Yield pieces of the size that the server accepts."""
    waiting = bytearray()
    for piece in body:
        waiting += piece
        while len(waiting) >= CHUNK:
            yield bytes(waiting[:CHUNK])
            del waiting[:CHUNK]
    if waiting:
        yield bytes(waiting)
