"""Turns the events of one turn into steps, for `fold.Fold`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from session_widgets.transcript.envelopes import (
    as_object,
    as_objects,
    as_text,
    as_time,
    block_text,
    permission_request_id,
    quote,
    rpc_error_text,
)
from session_widgets.transcript.notes import (
    MemoryRestored,
    PermissionDecision,
    PersistStarted,
    QuestionAnswered,
    SandboxStarted,
    TurnEnded,
    TurnStarted,
    read_note,
)
from session_widgets.transcript.permissions import Asked, PermissionRecord
from session_widgets.transcript.records import (
    Event,
    Json,
    PermissionOption,
    PermissionState,
    Step,
    StepKind,
    TurnRecord,
)
from session_widgets.transcript.state import FoldState
from session_widgets.transcript.steps import FINAL_STATUSES, Change, Steps, without_text
from session_widgets.transcript.updates import OF_STEPS, Updates

REACHES = "The network of this sandbox is restricted; the agent also reaches its model, at "
SILENT = "The agent ended its turn without saying or doing anything: some do so when their model fails or refuses."
SPEECH = frozenset({"message", "thought", "tool_call", "question", "subagent"})
_LEFT_OPEN: Mapping[StepKind, str] = {"question": "cancelled", "message": "completed", "thought": "completed"}
"""Final status of a step that is open at the end of its turn; in other turns it is the turn's."""
_TELLS_HOME = frozenset({TurnStarted.kind, PersistStarted.kind, TurnEnded.kind})


class TurnFold:
    """One turn under construction.

    Attributes:
        home: location of the session's files during the turn, and their attachment.
        handed_over: whether its prompt carried a history.
    """

    def __init__(self, session_id: str, index: int, ts: datetime, state: FoldState) -> None:
        harness = state.session.harness if state.session else None
        self._record = TurnRecord(
            session_id=session_id, index=index, status="running", prompt=(), started_at=ts, harness=harness
        )
        self._steps = Steps(session_id, index)
        self._updates = Updates(self._steps)
        self._revision = 0
        self.steps = self._steps.list
        self.tally = self._steps.agent.tally
        self.asked = Asked()
        self._questions: dict[str, int] = {}
        self.home = ("", "directory")
        self.handed_over = False
        self._own: set[int] = set()

    @property
    def revision(self) -> int:
        """A number that grows with every change of the record but its text."""
        return self._revision + self._steps.revision + self._updates.revision

    def feed(self, event: Event, state: FoldState, spent: tuple[str, Decimal] | None) -> list[Change]:
        """Apply the next event.

        Args:
            event: of this turn.
            state: at this event.
            spent: cost in the event: currency and amount.
        """
        if spent is not None:
            self.tally.spend(*spent)
        if event.kind not in OF_STEPS:
            self._revision += 1
            if not self._ended:
                self._set(model=state.model)
        self._steps.changes = {}
        self.asked.touched.clear()
        if event.direction == "note":
            self._note(event)
            if event.kind in _TELLS_HOME and state.session is not None:
                self.home = (state.session.workspace, state.session.attachment)
        elif event.direction == "in":
            self._envelope(event, state)
        elif event.method == "session/cancel":
            self._updates.cancelling = True
        return list(self._steps.changes.values())

    def record(self, *, text: bool = True) -> TurnRecord:
        """Return the turn's record, on demand without its text."""
        kinds, shown = self._steps.kinds, self.steps if text else ()
        said = (step.snapshot().text or "" for step in shown if step.kind == "message" and step.parent is None)
        spoke, tools = bool(kinds & SPEECH), bool(kinds & {"tool_call", "question", "subagent"})
        return replace(
            self._record,
            text="\n\n".join(said),
            usage=self.tally.usage(self._record.status, spoke=spoke, tools=tools),
            model=self.tally.model or self._record.model,
            waited_s=self.asked.waited_s,
        )

    def pending(self) -> list[Step]:
        """Return the tool steps with an open permission request."""
        return [s.snapshot() for s in self.steps if s.permission is not None and s.permission.outcome is None]

    @property
    def _ended(self) -> bool:
        return self._record.status != "running"

    def _set(self, **fields: Any) -> None:
        self._record = replace(self._record, **fields)

    def _note(self, event: Event) -> None:
        match read_note(event.kind, event.payload):
            case TurnStarted() as note:
                self._started(event, note)
            case SandboxStarted() as note if note.model_hosts:
                self._own.add(self._steps.say(event, "notice", REACHES + ", ".join(note.model_hosts)))
            case MemoryRestored() as note:
                self._set(tier=note.tier)
                self.handed_over = self.handed_over or note.handed_over
            case PersistStarted():
                self._set(saving=not self._ended)
            case PermissionDecision() as note:
                self._decided(event, note)
            case QuestionAnswered() as note:
                self._question_over(event, note)
            case TurnEnded() as note:
                self._end(event, note)

    def _envelope(self, event: Event, state: FoldState) -> None:
        if event.method == "session/update":
            self._updates.feed(event)
            return
        params = as_object(event.payload.get("params"))
        if event.method == "session/request_permission" and event.kind == "request":
            self._ask(event, params, state.connection)
        elif event.method == "elicitation/create" and event.kind == "request":
            self._question(event, params, permission_request_id(state.connection, event.payload.get("id")))
        elif event.method == "session/prompt" and event.kind == "response":
            self._answered(as_object(event.payload.get("result")), state.agent)
        elif event.method == "session/prompt" and event.kind == "error":
            text = rpc_error_text(event.payload.get("error"))
            self._set(error=text)
            self._steps.say(event, "error", text)
        elif event.method == "_adapter/agent_exited":
            self._steps.say(event, "error", f"The agent exited{_exit(params)}.{quote(as_text(params.get('stderr')))}")
        elif event.method == "_adapter/invalid_stdout":
            self._steps.say(
                event, "notice", f"The agent printed something that is no message.{quote(params.get('raw'))}"
            )

    def _started(self, event: Event, note: TurnStarted) -> None:
        blocks = tuple(note.prompt)
        self._set(prompt=blocks, started_at=event.ts, idempotency_key=note.idempotency_key, owner=note.owner)
        self._steps.say(event, "user", "\n".join(map(block_text, blocks)), content=without_text(blocks))

    def _ask(self, event: Event, params: Json, connection: str) -> None:
        request_id = permission_request_id(connection, event.payload.get("id"))
        tool = as_object(params.get("toolCall"))
        tool_call_id = as_text(tool.get("toolCallId")) or f"permission {request_id}"
        index = self._updates.tool(event, self._updates.speaker(event.payload), tool_call_id, tool)
        options = tuple(
            PermissionOption(*(as_text(option.get(name)) or "" for name in ("optionId", "name", "kind")))
            for option in as_objects(params.get("options"))
        )
        state = PermissionState(request_id, options)
        self.asked.ask(PermissionRecord(self._record.index, index, event.seq, event.ts, state))
        self._show_permission(index)

    def _decided(self, event: Event, note: PermissionDecision) -> None:
        said = {"option_id": note.option_id, "decided_by": note.decided_by, "reason": note.reason}
        for place in self.asked.open(note.request_id):
            self._close(event, place, outcome=note.outcome, **said)

    def _close(self, event: Event, place: int, **answer: Any) -> None:
        step = self.asked.close(place, replace(self.asked.records[place].state, **answer), event.ts)
        self.steps[step].set(event)
        self._show_permission(step)
        self._steps.changed(step)

    def _show_permission(self, index: int) -> None:
        shown = self.asked.shown_on(index)
        self.steps[index].set(None, permission=shown, waited_s=self.asked.waited_for(index))
        if shown.verdict == "rejected":
            self.steps[index].set(None, failure="rejected")

    def _question(self, event: Event, params: Json, request_id: str) -> None:
        said = {"mode": params.get("mode"), "schema": params.get("requestedSchema"), "url": params.get("url")}
        asked = {"request_id": request_id} | {name: value for name, value in said.items() if value is not None}
        text = as_text(params.get("message")) or ""
        index = self._steps.add(event, "question", status="pending", text=text, raw_input=asked, waited_s=0.0)
        self._questions[request_id] = index
        self.asked.hold(index, event.ts)

    def _question_over(self, event: Event, note: QuestionAnswered) -> None:
        index = self._questions.get(note.request_id)
        if index is None:
            return
        status = {"refused": "failed", "cancel": "cancelled"}.get(note.action or "", "completed")
        said = {
            "action": note.action,
            "content": note.content,
            "answered_by": note.answered_by,
            "reason": note.reason,
        }
        if self.steps[index].status == "pending":
            self._heard(index, event)
        self.steps[index].set(event, status=status, raw_output=said)
        self._steps.changed(index)

    def _heard(self, index: int, event: Event) -> None:
        """A question ended: add its waiting time."""
        self.asked.release(index, event.ts)
        self.steps[index].set(None, waited_s=self.asked.waited_for(index))

    def _answered(self, result: Json, agent: str) -> None:
        self._set(stop_reason=as_text(result.get("stopReason")) or self._record.stop_reason)
        self.tally.apply_answer(result, agent)

    def _end(self, event: Event, note: TurnEnded) -> None:
        self._set(
            status=note.status,
            ended_at=event.ts,
            saving=False,
            stop_reason=note.stop_reason or self._record.stop_reason,
            files=tuple(note.files),
            error=note.error or self._record.error,
            durable_at=as_time(note.durable_at),
            durability_error=note.durability_error,
        )
        self._updates.ended = self._ended
        self._close_steps(event)
        if self._record.error and not any(step.kind == "error" for step in self.steps):
            self._steps.say(event, "error", self._record.error)
        if self._record.status == "completed" and self._updates.model_failed:
            self._set(failure="model_error")
        if self._record.status == "completed" and all(
            step.kind == "user" or index in self._own for index, step in enumerate(self.steps)
        ):
            self._set(failure=self._record.failure or "no_answer")
            self._steps.say(event, "notice", SILENT)

    def _close_steps(self, event: Event) -> None:
        """Close everything that is still open, without calling it completed."""
        left = {"failed": "failed", "cancelled": "cancelled"}.get(self._record.status, "unfinished")
        for place in self.asked.open():
            self._close(event, place, outcome="cancelled", reason="the turn ended")
        for index, step in enumerate(self.steps):
            if step.status not in FINAL_STATUSES:
                step.set(None, status=_LEFT_OPEN.get(step.kind, left))
                if step.kind == "tool_call" and left == "failed" and step.failure is None:
                    step.set(None, failure="interrupted")
                if step.kind == "question":
                    self._heard(index, event)
                self._steps.changed(index)


def _exit(params: Json) -> str:
    code, signal = params.get("code"), params.get("signal")
    return f" by signal {signal}" if signal is not None else f" with code {code}" if code is not None else ""
