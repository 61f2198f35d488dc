"""One tool call on the wire: from `tool_call` to its last `tool_call_update`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from session_widgets.demo.jsonrpc import Json
from session_widgets.demo.reply import Reply, TurnCancelled
from session_widgets.errors import BadPath

Content = list[Json]
OPTIONS = (
    {"optionId": "once", "name": "Allow once", "kind": "allow_once"},
    {"optionId": "session", "name": "Allow all of this kind in this session", "kind": "allow_always"},
    {"optionId": "no", "name": "Reject", "kind": "reject_once"},
    {"optionId": "never", "name": "Reject all of this kind in this session", "kind": "reject_always"},
)


class Refused(Exception):
    """A tool call was refused; the message names who refused."""


class ToolCall:
    """A tool call of a turn; made, and in the end closed, by `tool_call`."""

    def __init__(self, reply: Reply, name: str, kind: str, title: str, raw_input: Json) -> None:
        self._reply = reply
        self._id = reply.next_id("call")
        self._opening: Json = {
            "toolCallId": self._id,
            "name": name,
            "title": title,
            "kind": kind,
            "status": "pending",
            "rawInput": raw_input,
        }
        self._kind = kind
        self.status: str | None = None

    async def open(self, *, path: str | None = None, content: Content | None = None) -> None:
        """Announce the call; `path` is the absolute path it is about."""
        self._opening["content"] = content or []
        self._opening["locations"] = [{"path": path}] if path else []
        self.status = "pending"
        await self._reply.record({"sessionUpdate": "tool_call", **self._opening})

    async def permit(self, *, free_modes: Sequence[str]) -> None:
        """Return when the call may go on: at once in one of `free_modes`, else when the user has allowed it.

        Raises:
            Refused: the user or the mode refused.
            TurnCancelled: the client cancelled the turn instead of an answer.
        """
        session = self._reply.session
        if session.memory.settings.mode == "plan":
            raise Refused("Plan mode only reads.")
        if session.memory.settings.mode in free_modes:
            return
        answer = session.standing_answers.get(self._kind)
        if answer is None:
            kind = await self.ask(OPTIONS)
            answer = "allow" if kind.startswith("allow") else "reject"
            if kind.endswith("always"):
                session.standing_answers[self._kind] = answer
        if answer == "reject":
            raise Refused("The user rejected it.")

    async def ask(self, options: Sequence[dict[str, str]]) -> str:
        """Ask the user for permission; see `Reply.ask`."""
        return await self._reply.ask({**self._opening, "status": self.status}, options)

    async def begin(self) -> None:
        """Report that the work has started."""
        await self._update("in_progress")

    async def progress(self, content: Content) -> None:
        """Show `content` so far; it replaces what was shown before, and is not remembered."""
        await self._update("in_progress", content=content)

    async def finish(
        self, status: Literal["completed", "failed"], *, content: Content | None = None, raw_output: Any = None
    ) -> None:
        """Close the call."""
        if self.status is None:
            await self.open()
        changes = {"content": content, "rawOutput": raw_output}
        await self._update(status, **{name: value for name, value in changes.items() if value is not None})

    async def _update(self, status: str, **changes: Any) -> None:
        self.status = status
        update = {"sessionUpdate": "tool_call_update", "toolCallId": self._id, "status": status, **changes}
        send: Callable[[Json], Awaitable[None]]
        send = self._reply.update if status == "in_progress" else self._reply.record
        await send(update)


@asynccontextmanager
async def tool_call(reply: Reply, name: str, kind: str, title: str, raw_input: Json) -> AsyncIterator[ToolCall]:
    """Make a call of the tool `name`; whatever ends the block closes it. A failed one does not end the turn."""
    call = ToolCall(reply, name, kind, title, raw_input)
    try:
        yield call
    except Refused as refusal:
        await call.finish("failed", content=text_content(str(refusal)))
        await reply.say(f"{refusal} So I went on without: {title}")
    except (BadPath, OSError, ValueError) as error:
        await call.finish("failed", content=text_content(str(error)))
    except (asyncio.CancelledError, TurnCancelled):
        await call.finish("failed", content=text_content("Cancelled."))
        raise


def text_content(text: str) -> Content:
    """Return tool call content that shows `text`."""
    return [{"type": "content", "content": {"type": "text", "text": text}}]


def diff_content(path: str, old: str | None, new: str) -> Content:
    """Return tool call content that shows a change of the file at the absolute `path`; `old` is None for a new one."""
    return [{"type": "diff", "path": path, "oldText": old, "newText": new}]
