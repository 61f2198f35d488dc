"""Events of an imported session, made from its steps: what an agent would have sent, so that a chat can draw it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from session_widgets.transcript.envelopes import as_object
from session_widgets.transcript.notes import Note, SessionOpened, TurnEnded, TurnStarted
from session_widgets.transcript.records import Event, Json, SessionRecord, Step, TurnRecord

_CHUNKS = {"message": "agent_message_chunk", "thought": "agent_thought_chunk"}
ENDED = "The file ends within this turn."


def events_of(record: SessionRecord, turns: Sequence[TurnRecord], steps: Sequence[Step]) -> list[Event]:
    """Return the events of a session, with `seq` from 1.

    Args:
        record: of the session.
        turns: all of its turns.
        steps: all of its steps, in order.
    """
    made = _Events(record)
    opened = SessionOpened(
        harness=record.harness,
        sandbox="",
        workspace=record.workspace,
        attachment="",
        title=record.title,
        model=record.model,
        mode=None,
        effort=None,
    )
    made.note(opened, None, record.created_at)
    of_turn: dict[int, list[Step]] = {}
    for step in steps:
        of_turn.setdefault(step.turn, []).append(step)
    for turn in turns:
        made.note(TurnStarted(prompt=turn.prompt, idempotency_key=None, owner={}), turn.index, turn.started_at)
        for step in of_turn.get(turn.index, ()):
            if step.kind != "error" or step.text != turn.error:  # the end of the turn has that one
                made.step(step)
        status, error = turn.status, turn.error
        if status == "unfinished":
            status, error = "failed", ENDED
        end = turn.ended_at or turn.started_at
        made.note(
            TurnEnded(status=status, stop_reason=turn.stop_reason, error=error, files=turn.files), turn.index, end
        )
    return made.events


class _Events:
    def __init__(self, record: SessionRecord) -> None:
        self.events: list[Event] = []
        self._session = record.id
        self._agent = record.agent_session_id or record.id

    def note(self, note: Note, turn: int | None, ts: datetime) -> None:
        """Add a note."""
        self._add(turn, ts, "note", None, note.kind, note.encode())

    def step(self, step: Step) -> None:
        """Add the updates of a step."""
        sender = self._agent if step.parent is None else self._child(step.turn, step.parent)
        for update in _updates(step, self._child(step.turn, step.index)):
            params = {"sessionId": sender, "update": update}
            envelope = {"jsonrpc": "2.0", "method": "session/update", "params": params}
            self._add(step.turn, step.started_at, "in", "session/update", update["sessionUpdate"], envelope)

    def _child(self, turn: int, index: int) -> str:
        return f"{self._agent}/{turn}/{index}"

    def _add(
        self, turn: int | None, ts: datetime, direction: Any, method: str | None, kind: str, payload: Json
    ) -> None:
        self.events.append(Event(self._session, len(self.events) + 1, turn, ts, direction, method, kind, payload))


def _updates(step: Step, child: str) -> Iterator[Json]:
    """Yield the updates of a step; `child` is the session of the subagent that it may be."""
    text: dict[str, Any] = {"type": "text", "text": step.text or ""}
    match step.kind:
        case "message" | "thought":
            yield {"sessionUpdate": _CHUNKS[step.kind], "messageId": f"{step.turn}/{step.index}", "content": text}
        case "tool_call":
            yield _call(step)
        case "plan":
            yield {"sessionUpdate": "plan", "entries": list(step.entries)}
        case "compaction":
            name = f"{step.turn}/{step.index}"
            yield {"sessionUpdate": "compaction_update", "compactionId": name, "status": "completed", "summary": [text]}
        case "subagent":
            yield {"sessionUpdate": "subagent_update", "sessionId": child, "state": {"state": "running"}}
            yield {"sessionUpdate": "session_message", "recipientSessionId": child, "content": [text]}
            yield {"sessionUpdate": "subagent_update", "sessionId": child, "state": {"state": "idle"}}
        case "notice" | "error":
            severity = "error" if step.kind == "error" else "info"
            yield {"sessionUpdate": "notice", "title": step.text or "", "severity": severity}


def _call(step: Step) -> Json:
    status = step.status if step.status in {"completed", "failed"} else "in_progress"
    update: dict[str, Any] = {
        "sessionUpdate": "tool_call",
        "toolCallId": f"{step.turn}/{step.index}",
        "title": step.title or "",
        "kind": step.tool_kind or "other",
        "status": status,
        "content": list(step.content),
        "locations": list(step.locations),
        "rawInput": step.raw_input,
    }
    if step.tool_name:
        update["name"] = step.tool_name
    if step.exit_code is not None:
        update["_meta"] = {"terminal_exit": {"exit_code": step.exit_code}}
    if as_object(step.raw_output):
        update["rawOutput"] = step.raw_output
    return update
