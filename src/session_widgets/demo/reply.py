"""The agent's output in one turn: text, plans, updates, and requests to the client."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Sequence
from typing import Any

from session_widgets.demo.capabilities import Capabilities
from session_widgets.demo.jsonrpc import Connection, Json, RequestError
from session_widgets.demo.memory import count_words
from session_widgets.demo.session import Session

MESSAGE, THOUGHT = "agent_message_chunk", "agent_thought_chunk"
_WORD = re.compile(r"\s*\S+\s*|\s+")
_BREATH = 64  # chunks between two looks at what the client says


class TurnCancelled(Exception):
    """The client answered a permission request with `cancelled`."""


class Reply:
    """The agent's side of one turn.

    said: number of words so far, by kind of chunk.
        session: the session it belongs to.
        client: the client's capabilities.
        said: how many words were said so far, by kind of chunk.
    """

    def __init__(self, session: Session, connection: Connection, client: Capabilities) -> None:
        self.session = session
        self.client = client
        self.said = {MESSAGE: 0, THOUGHT: 0}
        self._connection = connection
        self._text: list[str] = []  # of the message or thought that is being said
        self._text_kind: str | None = None
        self._ids = 0

    async def say(self, text: str, *, kind: str = MESSAGE) -> None:
        """Stream a message (or a thought) word by word; it follows an earlier one as a new paragraph."""
        words = _WORD.findall(text)
        if self._text_kind == kind and words:
            words[0] = f"\n\n{words[0]}"
        for word in words:
            await self.chunk(kind, word)

    async def chunk(self, kind: str, text: str) -> None:
        """Send one chunk of a message or thought."""
        if self._text_kind != kind:
            self.remember_text()
            self._text_kind = kind
        self._text.append(text)
        self.said[kind] += count_words(text)
        if len(self._text) % _BREATH == 0:
            await asyncio.sleep(0)
        await self.update({"sessionUpdate": kind, "content": {"type": "text", "text": text}})

    async def show_plan(self, entries: Sequence[str], done: int) -> None:
        """Publish a plan with its first `done` entries completed."""
        statuses = ["completed"] * done + ["in_progress"] + ["pending"] * len(entries)
        shown = [
            {"content": entry, "priority": "medium", "status": status}
            for entry, status in zip(entries, statuses, strict=False)
        ]
        await self.record({"sessionUpdate": "plan", "entries": shown})

    async def update(self, update: Json) -> None:
        """Send a session update, unless the client is gone."""
        with contextlib.suppress(ConnectionError):
            await self._connection.notify("session/update", {"sessionId": self.session.id, "update": update})

    async def record(self, update: Json) -> None:
        """Send a session update that `session/load` is to replay."""
        self.remember_text()
        self.session.memory.append({"type": "update", "update": update})
        await self.update(update)

    async def request(self, method: str, params: Json) -> Any:
        """Send the client a request of this session, and return its result."""
        return await self._connection.request(method, {"sessionId": self.session.id, **params})

    async def ask(self, tool_call: Json, options: Sequence[dict[str, str]]) -> str:
        """Ask the user for permission; return the kind of the option chosen, `reject_once` for anything else.

        Raises:
            TurnCancelled: the outcome is `cancelled`.
        """
        try:
            answer = await self.request("session/request_permission", {"toolCall": tool_call, "options": list(options)})
        except RequestError:
            return "reject_once"
        match answer:
            case {"outcome": {"outcome": "cancelled"}}:
                raise TurnCancelled
            case {"outcome": {"outcome": "selected", "optionId": chosen}}:
                return next((option["kind"] for option in options if option["optionId"] == chosen), "reject_once")
        return "reject_once"

    def next_id(self, what: str) -> str:
        """Return an id for another `what` (a word) of this turn."""
        self._ids += 1
        return f"{what}_{self.session.id[:8]}_{self.session.memory.turns}_{self._ids}"

    def remember_text(self) -> None:
        """Make one record of the chunks said since the last one."""
        if self._text:
            update = {"sessionUpdate": self._text_kind, "content": {"type": "text", "text": "".join(self._text)}}
            self._text = []
            self.session.memory.append({"type": "update", "update": update})
        self._text_kind = None
