"""Notebook tools for the agents of this sandbox: definitions, listeners, and open calls."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from session_widgets.runner.problems import Problem, conflict

MAX_CALLS = 32
GRACE_SECONDS = 10
NOT_ATTACHED = "the notebook that offers this tool is not attached; it has to open the session, with its tools, again"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Offered:
    """A tool as MCP describes it, with the timeout of its calls."""

    described: Json
    seconds: float


@dataclass(eq=False, slots=True)
class Call:
    """An open call."""

    id: str
    listener: asyncio.Queue[Json]
    result: asyncio.Future[Json]


@dataclass(slots=True)
class Board:
    """The tools of one session. The latest listening notebook receives the calls."""

    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    tools: Mapping[str, Offered] = field(default_factory=dict)
    listeners: list[asyncio.Queue[Json]] = field(default_factory=list)
    calls: dict[str, Call] = field(default_factory=dict)

    @contextmanager
    def listening(self) -> Iterator[asyncio.Queue[Json]]:
        """Receive the calls from now on; at the end, unanswered calls fail."""
        mine = asyncio.Queue[Json]()
        self.listeners.append(mine)
        try:
            yield mine
        finally:
            self.listeners.remove(mine)
            for call in tuple(self.calls.values()):
                if call.listener is mine and not call.result.done():
                    call.result.set_result(failure(NOT_ATTACHED))


class Boards:
    """The boards of all sessions that use this runner."""

    def __init__(self) -> None:
        self._boards: dict[str, Board] = {}
        self._numbers = count(1)

    def offer(self, session: str, tools: Sequence[Offered]) -> Board:
        """Replace a session's tools; its token stays valid, because running agents may use it."""
        board = self._boards.setdefault(session, Board())
        board.tools = {tool.described["name"]: tool for tool in tools}
        return board

    def get(self, session: str) -> Board:
        """Return a session's board; raise `Problem` if it has no tools."""
        board = self._boards.get(session)
        if board is None:
            raise Problem(404, "not_found", f"session {session!r:.140} offers no tools")
        return board

    def admits(self, method: str, path: str, token: bytes) -> bool:
        """Whether `token` is that of an agent's tool server, in one of its few allowed requests."""
        head, _, rest = path.partition("/v1/tools/")
        session, _, action = rest.partition("/")
        board = self._boards.get(session)
        if head or board is None or (method, action) not in {("GET", ""), ("POST", "calls")}:
            return False
        return hmac.compare_digest(token, board.token.encode())

    async def call(self, board: Board, name: str, arguments: Json) -> Json:
        """Forward a call to the notebook and return its result; raise `Problem` without a tool or a free slot."""
        tool = board.tools.get(name)
        if tool is None:
            raise Problem(404, "not_found", f"there is no tool {name!r:.80}")
        if not board.listeners:
            return failure(NOT_ATTACHED)
        if len(board.calls) >= MAX_CALLS:
            raise conflict(f"{MAX_CALLS} calls of tools are under way; wait for one to end")
        listener = board.listeners[-1]
        call = Call(str(next(self._numbers)), listener, asyncio.get_running_loop().create_future())
        board.calls[call.id] = call
        listener.put_nowait({"call": call.id, "name": name, "arguments": arguments})
        try:
            async with asyncio.timeout(tool.seconds + GRACE_SECONDS):
                return await call.result
        except TimeoutError:
            return failure(f"the notebook has not answered for {tool.seconds + GRACE_SECONDS:g} s")
        finally:
            del board.calls[call.id]
            listener.put_nowait({"over": call.id})


def failure(text: str) -> Json:
    """Return MCP's result of a failed call."""
    return {"content": [{"type": "text", "text": text}], "isError": True}
