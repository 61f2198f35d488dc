"""The notebook's side of its tools, over the runner's HTTP API (docs/architecture.md)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import orjson

from session_widgets.answers import PLAIN, ask, is_far, pieces, tls
from session_widgets.errors import SandboxError, TransportError
from session_widgets.model import Endpoint
from session_widgets.transcript.records import Json

TIMEOUT = httpx.Timeout(30, connect=5)
SILENCE = httpx.Timeout(30, connect=5, read=40)  # heartbeats come every 15 s

MOST_ANSWER = 1 << 20
MOST_LINE = 64 << 20


class ToolChannel:
    """Registers the tools of one session, receives calls, and answers them."""

    def __init__(self, endpoint: Endpoint, session_id: str) -> None:
        self._path = f"/v1/tools/{session_id}"
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

    async def offer(self, tools: Sequence[Json]) -> tuple[str, str]:
        """Replace the tools; returns the address and token for an agent's tool server.

        Raises:
            TransportError: the runner does not answer.
            SandboxError: it refuses.
        """
        answer = await self._send("PUT", self._path, {"tools": list(tools)})
        body = orjson.loads(answer.content)
        return body["url"], body["token"]

    async def calls(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Yield `("call", {call, name, arguments})`, and `("over", {over})` once its client has gone.

        The first is `("ready", {})`. Ends with the stream; `TransportError` if it broke.
        """
        kind = ""
        try:
            async with self._http.stream("GET", f"{self._path}/calls", timeout=SILENCE) as answer:
                if answer.is_error:
                    raise SandboxError(f"the runner answered {answer.status_code} to the request for calls of tools")
                async for line in _lines(answer):
                    name, _, value = line.partition(": ")
                    if name == "event":
                        kind = value
                    elif name == "data":
                        yield kind, orjson.loads(value)
        except httpx.HTTPError as error:
            raise _broken(error) from error

    async def answer(self, call: str, result: Json) -> None:
        """Send the result of a call; it is dropped if the client has gone."""
        await self._send("POST", f"{self._path}/calls/{call}/result", result, allow=409)

    async def _send(self, method: str, path: str, body: Json, allow: int = 0) -> httpx.Response:
        headers = {"content-type": "application/json"}
        try:
            content = orjson.dumps(body)
            answer = await ask(self._http, method, path, most=MOST_ANSWER, content=content, headers=headers)
        except httpx.HTTPError as error:
            raise _broken(error) from error
        if answer.is_error and answer.status_code != allow:
            raise SandboxError(f"the runner answered {answer.status_code} to {method} {path}: {answer.text:.200}")
        return answer


async def _lines(answer: httpx.Response) -> AsyncIterator[str]:
    """Yield the lines of a stream; raise `TransportError` for an endless line."""
    begun = bytearray()
    async for piece in pieces(answer):
        *ends, rest = piece.split(b"\n")
        for end in ends:
            yield (begun + end).decode(errors="replace").removesuffix("\r")
            begun.clear()
        begun += rest
        if len(begun) > MOST_LINE:
            raise TransportError(f"the sandbox's runner sent a line of more than {MOST_LINE:,} bytes")


def _broken(error: httpx.HTTPError) -> TransportError:
    return TransportError(f"the connection to the sandbox's runner broke: {type(error).__name__} {error}".rstrip(" :"))
