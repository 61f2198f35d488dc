"""One tool call on the wire: from `tool_call` to its last `tool_call_update`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from session_widgets.harnesses.demo.turn import Turn

Content = list[dict[str, Any]]
Answer = Literal["allow", "reject"]
OPTIONS = (
    {"optionId": "once", "name": "Allow once", "kind": "allow_once"},
    {"optionId": "session", "name": "Allow all of this kind in this session", "kind": "allow_always"},
    {"optionId": "no", "name": "Reject", "kind": "reject_once"},
    {"optionId": "never", "name": "Reject all of this kind in this session", "kind": "reject_always"},
)


class Refused(Exception):
    """A tool call may not be carried out; the message says who refused."""


class ToolCall:
    """A tool call of a turn; made, and in the end closed, by `Turn.tool`."""

    def __init__(self, turn: Turn, id_: str, kind: str, title: str, raw_input: dict[str, Any]) -> None:
        self._turn = turn
        self._opening: dict[str, Any] = {
            "toolCallId": id_,
            "title": title,
            "kind": kind,
            "status": "pending",
            "rawInput": raw_input,
        }
        self._id = id_
        self._kind = kind
        self.status: str | None = None

    async def open(self, *, path: str | None = None, content: Content | None = None) -> None:
        """Announce the call; `path` is the absolute path it is about."""
        self._opening["content"] = content or []
        self._opening["locations"] = [{"path": path}] if path else []
        self.status = "pending"
        await self._turn.record({"sessionUpdate": "tool_call", **self._opening})

    async def permit(self, *, free_modes: Sequence[str]) -> None:
        """Return when the call may go on: at once in one of `free_modes`, else when the user has allowed it.

        Raises:
            Refused: the user or the mode refused.
            TurnCancelled: the client cancelled the turn instead of an answer.
        """
        session = self._turn.session
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
        """Ask the user for permission; see `Turn.ask`."""
        return await self._turn.ask({**self._opening, "status": self.status}, options)

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
        send: Callable[[dict[str, Any]], Awaitable[None]]
        send = self._turn.update if status == "in_progress" else self._turn.record
        await send(update)


def text_content(text: str) -> Content:
    """Return tool call content that shows `text`."""
    return [{"type": "content", "content": {"type": "text", "text": text}}]


def diff_content(path: str, old: str | None, new: str) -> Content:
    """Return tool call content that shows a change of the file at the absolute `path`; `old` is None for a new one."""
    return [{"type": "diff", "path": path, "oldText": old, "newText": new}]
