"""A session written by hand, event by event."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from session_widgets.transcript.fold import Fold
from session_widgets.transcript.records import Event, Step
from session_widgets.transcript.steps import Change

T0 = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


class Script:
    """A session written by hand, folded as it is written."""

    def __init__(self) -> None:
        self.fold = Fold("s")
        self.seq = 0
        self.changes: list[Change] = []
        self.events: list[Event] = []
        self.note("session_opened", turn=None, harness="demo", sandbox="local", workspace="/w", title="t")
        self.note("agent_started", turn=None, connection="c1", agent_session_id="a1")
        self.note("turn_started", prompt=[{"type": "text", "text": "go"}])

    def event(self, direction: Any, method: str | None, kind: str, payload: dict[str, Any], turn: int | None) -> None:
        self.seq += 1
        ts = T0 + timedelta(seconds=self.seq)
        self.events.append(Event("s", self.seq, turn, ts, direction, method, kind, payload))
        self.changes = self.fold.feed(self.events[-1])

    def note(self, kind: str, /, *, turn: int | None = 1, **fields: Any) -> None:
        self.event("note", None, kind, fields, turn)

    def update(self, kind: str, /, *, turn: int | None = 1, **fields: Any) -> None:
        payload = {"method": "session/update", "params": {"update": {"sessionUpdate": kind, **fields}}}
        self.event("in", "session/update", kind, payload, turn)

    def say(self, text: Any, kind: str = "agent_message_chunk", **fields: Any) -> None:
        self.update(kind, content={"type": "text", "text": text}, **fields)

    def ask(self, rpc_id: object, tool: dict[str, Any]) -> None:
        options = [
            {"optionId": "yes", "name": "Yes", "kind": "allow_once"},
            {"optionId": "no", "name": "No", "kind": "reject_once"},
        ]
        payload = {"id": rpc_id, "params": {"toolCall": tool, "options": options}}
        self.event("in", "session/request_permission", "request", payload, 1)

    def answer(self, kind: str = "response", **body: Any) -> None:
        self.event("in", "session/prompt", kind, {"id": "p", **body}, 1)

    def end(self, status: str = "completed", **fields: Any) -> None:
        self.note("turn_ended", status=status, **fields)

    @property
    def steps(self) -> list[Step]:
        """The steps after the user's."""
        return list(self.fold.steps[1:])


def at(seq: int) -> Any:
    return T0 + timedelta(seconds=seq)
