"""`/v1/tools`: connects the notebook's tools with the tool server of an agent (`runner/tools.py`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from session_widgets.runner.bodies import read_object, unless_disconnected
from session_widgets.runner.config import Config
from session_widgets.runner.problems import conflict, invalid
from session_widgets.runner.sse import HEARTBEAT, HEARTBEAT_SECONDS, event_stream, frame
from session_widgets.runner.tool_boards import Board, Boards, Offered


class ToolRoutes:
    """Calls arrive by POST, reach the notebook by an event stream, and results return by POST."""

    def __init__(self, config: Config, boards: Boards) -> None:
        self._config = config
        self._boards = boards
        self.routes = [
            Route("/v1/tools/{session}", self.offer, methods=["PUT"]),
            Route("/v1/tools/{session}", self.list, methods=["GET"]),
            Route("/v1/tools/{session}/calls", self.call, methods=["POST"]),
            Route("/v1/tools/{session}/calls", self.listen, methods=["GET"]),
            Route("/v1/tools/{session}/calls/{call}/result", self.answer, methods=["POST"]),
        ]

    async def offer(self, request: Request) -> Response:
        """Register the tools; returns the address and token for an agent's tool server."""
        tools = [_offered(tool) for tool in _list((await self._body(request)).get("tools"))]
        session = request.path_params["session"]
        board = self._boards.offer(session, tools)
        if (confinement := self._config.confinement) is not None:
            return _json({"url": f"{confinement.address}/v1/tools/{session}", "token": board.token})
        host, port = request.scope["server"][0], request.scope["server"][1]
        inside = "127.0.0.1" if self._config.host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared, not bound
        place = f"[{inside}]" if ":" in inside else inside
        return _json({"url": f"http://{place}:{port}/v1/tools/{session}", "token": board.token})

    async def list(self, request: Request) -> Response:
        """List the tools as MCP does."""
        board = self._board(request)
        return _json({"tools": [tool.described for tool in board.tools.values()]})

    async def call(self, request: Request) -> Response:
        """Call a tool; open until its answer. A client that disconnects abandons the call."""
        board, body = self._board(request), await self._body(request)
        name, arguments = body.get("name"), body.get("arguments")
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise invalid("name must be text and arguments an object")
        result = await unless_disconnected(request, self._boards.call(board, name, arguments))
        return _json(result)

    async def listen(self, request: Request) -> Response:
        """Stream the calls to the notebook: `call` for each, `over` when its client has gone."""
        return event_stream(_follow(self._board(request)))

    async def answer(self, request: Request) -> Response:
        """Receive the result of a call."""
        board, result = self._board(request), await self._body(request)
        call = board.calls.get(request.path_params["call"])
        if call is None or call.result.done():
            raise conflict("this call was abandoned")
        call.result.set_result(result)
        return Response(status_code=204)

    def _board(self, request: Request) -> Board:
        return self._boards.get(request.path_params["session"])

    async def _body(self, request: Request) -> dict[str, Any]:
        return await read_object(request, "max_envelope_bytes", self._config.limits.max_envelope_bytes)


async def _follow(board: Board) -> AsyncIterator[bytes]:
    with board.listening() as calls:
        yield frame("ready", b"{}")
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    item = await calls.get()
            except TimeoutError:
                yield HEARTBEAT
            else:
                yield frame("call" if "call" in item else "over", orjson.dumps(item))


def _offered(tool: object) -> Offered:
    if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
        raise invalid("a tool must be an object with a name")
    seconds = tool.pop("timeoutSeconds", None)
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or seconds <= 0:
        raise invalid("timeoutSeconds must be a number above 0")
    return Offered(tool, seconds)


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise invalid("tools must be a list")
    return value


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
