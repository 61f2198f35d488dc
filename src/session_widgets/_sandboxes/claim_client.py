"""The claim of a runner on another machine: `/v1/machine`, `/v1/session` and `/v1/harnesses` (docs/architecture.md)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import orjson

from session_widgets._sandboxes.runner_client import broken, problem
from session_widgets.answers import PLAIN, ask, is_far, tls
from session_widgets.errors import NotFound, SandboxError, TransportError
from session_widgets.host.tar_stream import END, header, padding
from session_widgets.model import Endpoint, Machine
from session_widgets.progress import Progress

TIMEOUT = httpx.Timeout(60, connect=10)
EMPTYING = httpx.Timeout(600, connect=10)
MOST_ANSWER = 1 << 20
PIECE = 1 << 20
HEADER = "session-widgets-claim"
"""Names the claim that a request is for: a runner that another session holds refuses it."""


class NoClaim(SandboxError):
    """What answers there is no runner that a session can claim."""


class ClaimClient:
    """Client of a runner that sessions claim."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._http = httpx.AsyncClient(
            base_url=endpoint.url,
            headers={**PLAIN, **endpoint.headers},
            timeout=TIMEOUT,
            verify=tls(endpoint.url),
            trust_env=is_far(endpoint.url),
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def machine(self) -> Machine:
        """Return the machine that the runner describes."""
        told = await self._ask("GET", "/v1/machine")
        texts = {name: told.get(name) for name in ("root", "python", "path", "platform", "cache", "harnesses")}
        node = told.get("node")
        if not all(isinstance(text, str) for text in texts.values()) or not isinstance(node, str | None):
            raise TransportError(f"{self.endpoint.url} describes its machine in another form.")
        known = {name: str(text) for name, text in texts.items()}
        if not all(known[name].startswith("/") for name in ("root", "python", "cache", "harnesses")):
            raise TransportError(f"{self.endpoint.url} describes its machine without absolute paths.")
        folder = known.pop("harnesses")
        return Machine(**known, node=node, harnesses="uploaded", harness_folder=folder)

    async def claim(self, made: Mapping[str, Any], *, new: bool) -> None:
        """Claim the runner, or start the session's work again after it was parked.

        Args:
            made: `id`, `session`, `owner`, `agents`, `env` and `idleSeconds`.
            new: whether the claim may be the first one; otherwise `SandboxGone` is raised for a runner without it.
        """
        await self._ask("PUT", "/v1/session", json={**made, "new": new})

    async def holder(self) -> Mapping[str, Any]:
        """Return who holds the runner: `id`, `session`, `owner`, `created`, `state`; raises `SandboxGone` if none."""
        return await self._ask("GET", "/v1/session")

    async def park(self, id: str) -> None:
        """Kill all processes of the session; its files stay."""
        await self._ask("POST", "/v1/session/park", params={"id": id}, timeout=EMPTYING)

    async def release(self, id: str) -> None:
        """Kill all processes of the session and remove its files."""
        await self._ask("DELETE", "/v1/session", params={"id": id}, timeout=EMPTYING)

    async def upload(self, name: str, folder: Path, progress: Progress) -> None:
        """Upload an installed harness, unless the runner has it. A broken upload leaves nothing there."""
        try:
            await self._ask("GET", f"/v1/harnesses/{name}")
        except NotFound:
            await self._ask("PUT", f"/v1/harnesses/{name}", content=_archive(name, folder, progress), timeout=EMPTYING)

    async def _ask(self, method: str, url: str, **options: Any) -> Mapping[str, Any]:
        try:
            answer = await ask(self._http, method, url, most=MOST_ANSWER, **options)
        except httpx.ConnectError as error:
            raise TransportError(
                f"no runner answers at {self.endpoint.url}. Is it started (session-widgets runner DIR), and is the "
                "tunnel to it open (ssh -L)?"
            ) from error
        except httpx.HTTPError as error:
            raise broken(error) from error
        if answer.is_error:
            refused = problem(answer, "")
            if answer.status_code == 404 and not isinstance(refused, NotFound):
                raise NoClaim(
                    f"what answers at {self.endpoint.url} is no runner that a session can claim, or one of another "
                    "release. Start it with: session-widgets runner DIR"
                )
            raise refused
        if not answer.content:
            return {}
        try:
            told = orjson.loads(answer.content)
        except orjson.JSONDecodeError as error:
            raise TransportError(f"what answers at {self.endpoint.url} is no runner.") from error
        if not isinstance(told, dict):
            raise TransportError(f"what answers at {self.endpoint.url} is no runner.")
        return told


async def _archive(name: str, folder: Path, progress: Progress) -> AsyncIterator[bytes]:
    """Yield a directory as an archive, a piece at a time."""
    paths = await asyncio.to_thread(lambda: sorted(folder.rglob("*")))
    total = await asyncio.to_thread(lambda: sum(path.lstat().st_size for path in paths))
    pieces, sent = _collected(_members(folder, paths)), 0
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece
        sent += len(piece)
        progress(f"Uploading {name} to the sandbox: {sent / 1e6:.0f} of {total / 1e6:.0f} MB")


def _members(folder: Path, paths: list[Path]) -> Iterator[bytes]:
    for path in paths:
        name, info = path.relative_to(folder).as_posix(), path.lstat()
        if path.is_symlink():
            yield header(name, mode=0o777, target=os.fsdecode(path.readlink()))
        elif path.is_file():
            yield header(name, mode=info.st_mode & 0o777, size=info.st_size)
            with path.open("rb") as file:
                while piece := file.read(PIECE):
                    yield piece
            yield padding(info.st_size)
    yield END


def _collected(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Join small pieces."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        if len(waiting) >= PIECE:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)
