"""The events of one turn to its steps: what `fold.Fold` keeps for each turn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from session_widgets.transcript.envelopes import (
    as_object,
    as_objects,
    as_text,
    as_time,
    block_text,
    model_failed,
    permission_request_id,
    printed_by,
    quote,
    rpc_error_text,
    tool_fields,
    update_of,
)
from session_widgets.transcript.notes import (
    MemoryRestored,
    PermissionDecision,
    PersistStarted,
    QuestionAnswered,
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
    StepFailure,
    StepKind,
    TurnRecord,
)
from session_widgets.transcript.state import FoldState
from session_widgets.transcript.usage import Tally

TEXT_KINDS: Mapping[str, StepKind] = {"agent_message_chunk": "message", "agent_thought_chunk": "thought"}
SILENT = "The agent ended its turn without saying or doing anything: some do so when their model fails or refuses."
SPEECH = frozenset({"message", "thought", "tool_call", "question"})
FINAL_STATUSES = frozenset({"completed", "failed", "cancelled", "unfinished"})

_OF_STEPS = frozenset({*TEXT_KINDS, "tool_call", "tool_call_update", "plan", "available_commands_update"})
"""Updates that change nothing of a turn but its steps."""
_TELLS_HOME = frozenset({TurnStarted.kind, PersistStarted.kind, TurnEnded.kind})


@dataclass(frozen=True, slots=True)
class Change:
    """One step that an event made or altered; `append` is the new text when nothing but text was added."""

    turn: int
    index: int
    append: str | None = None


class GrowingStep:
    """A step under construction; its text is kept in pieces and joined when somebody looks."""

    __slots__ = ("_frozen", "_latest", "_new", "_parts", "_printed", "_screen", "kind", "message_id")

    def __init__(self, step: Step, message_id: str | None = None) -> None:
        self._frozen = step
        self._latest: Event | None = None
        self._parts: list[str] = []
        self._printed: list[str] = []
        self._screen: Json | None = None
        self._new: dict[str, Any] = {}
        self.kind = step.kind
        self.message_id = message_id

    def __getattr__(self, name: str) -> Any:
        return self._new[name] if name in self._new else getattr(self._frozen, name)

    def set(self, event: Event | None, **fields: Any) -> None:
        """Replace fields; `event` is what changed them, None if nothing happened to the step itself."""
        self._new.update(fields)
        self._latest = event or self._latest

    def grow(self, event: Event, text: str) -> None:
        """Add text at the end."""
        self._parts.append(text)
        self._latest = event

    def print(self, event: Event, text: str) -> None:
        """Add to what a command printed, which is told piece by piece; it stands behind the agent's own content."""
        self._printed.append(text)
        self._latest = event

    def snapshot(self) -> Step:
        """Return the step as it is now."""
        if self._parts:
            self._new["text"] = (self._frozen.text or "") + "".join(self._parts)
            self._parts = []
        if self._printed or (self._screen and "content" in self._new):
            content = self._new.get("content", self._frozen.content[: -1 if self._screen else None])
            before = self._screen["content"]["text"] if self._screen else ""
            text = {"type": "text", "text": before + "".join(self._printed)}
            self._screen, self._printed = {"type": "content", "content": text}, []
            self._new["content"] = (*content, self._screen)
        if self._latest is not None:
            self._new |= {"last_seq": self._latest.seq, "ended_at": self._latest.ts}
            self._latest = None
        if self._new:
            self._frozen = replace(self._frozen, **self._new)
            self._new = {}
        return self._frozen


class TurnFold:
    """One turn under construction.

    Attributes:
        home: where the session's files were kept while it ran, and how they got there.
        handed_over: whether the agent was told of earlier turns with its prompt.
    """

    def __init__(self, session_id: str, index: int, ts: datetime, state: FoldState) -> None:
        harness = state.session.harness if state.session else None
        self._record = TurnRecord(
            session_id=session_id, index=index, status="running", prompt=(), started_at=ts, harness=harness
        )
        self.revision = 0
        self.tally = Tally()
        self.steps: list[GrowingStep] = []
        self.asked = Asked()
        self._tools: dict[str, int] = {}
        self._plan: int | None = None
        self._questions: dict[str, int] = {}
        self._changes: dict[int, Change] = {}
        self._kinds: set[StepKind] = set()
        self._interrupted = False
        self._model_failed = False
        self._cancelling = False
        self.home = ("", "directory")
        self.handed_over = False

    def feed(self, event: Event, state: FoldState, spent: tuple[str, Decimal] | None) -> list[Change]:
        """Take the next event.

        Args:
            event: of this turn.
            state: as it is with this event.
            spent: what the event says was spent: currency and amount.
        """
        if spent is not None:
            self.tally.spend(*spent)
        if event.kind not in _OF_STEPS:
            self.revision += 1
            if not self._ended:
                self._set(model=state.model)
        self._changes = {}
        self.asked.touched.clear()
        if event.direction == "note":
            self._note(event)
            if event.kind in _TELLS_HOME and state.session is not None:
                self.home = (state.session.workspace, state.session.attachment)
        elif event.direction == "in":
            self._envelope(event, state)
        elif event.method == "session/cancel":
            self._cancelling = True
        return list(self._changes.values())

    def record(self, *, text: bool = True) -> TurnRecord:
        """Return what is known of the turn, without its text if that is not wanted."""
        said = (step.snapshot().text or "" for step in (self.steps if text else ()) if step.kind == "message")
        spoke, tools = bool(self._kinds & SPEECH), bool(self._kinds & {"tool_call", "question"})
        return replace(
            self._record,
            text="\n\n".join(said),
            usage=self.tally.usage(self._record.status, spoke=spoke, tools=tools),
            model=self.tally.model or self._record.model,
            waited_s=self.asked.waited_s,
        )

    def pending(self) -> list[Step]:
        """Return the tool steps that wait for a permission."""
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
            self._session_update(event)
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
            self._say(event, "error", text)
        elif event.method == "_adapter/agent_exited":
            self._say(event, "error", f"The agent exited{_exit(params)}.{quote(as_text(params.get('stderr')))}")
        elif event.method == "_adapter/invalid_stdout":
            self._say(event, "notice", f"The agent printed something that is no message.{quote(params.get('raw'))}")

    def _session_update(self, event: Event) -> None:
        update = update_of(event.payload)
        kind = event.kind
        if kind in TEXT_KINDS:
            if "_meta" in update and self.tally.apply_call(update):
                self.revision += 1
            self._chunk(event, TEXT_KINDS[kind], update)
        elif kind in {"tool_call", "tool_call_update"}:
            # Claude Code may ask for permission before the text that leads to the tool call: its step then stands
            # above that text, and does not part it from what follows.
            self._interrupted |= kind == "tool_call"
            if tool_call_id := as_text(update.get("toolCallId")):
                self._tool(event, tool_call_id, update)
        elif kind == "plan":
            self._planned(event, as_objects(update.get("entries")))
        elif kind == "usage_update":
            self.tally.apply_update(update)
        elif kind == "session_info_update":
            self._model_failed = model_failed(update, self._model_failed)

    def _started(self, event: Event, note: TurnStarted) -> None:
        blocks = tuple(note.prompt)
        self._set(prompt=blocks, started_at=event.ts, idempotency_key=note.idempotency_key, owner=note.owner)
        self._say(event, "user", "\n".join(map(block_text, blocks)), content=_without_text(blocks))

    def _chunk(self, event: Event, kind: StepKind, update: Json) -> None:
        block, message_id = as_object(update.get("content")), as_text(update.get("messageId"))
        text = block_text(block) if block else ""
        if not text:
            return
        last = self.steps[-1] if self.steps else None
        other = message_id and last and last.message_id and message_id != last.message_id
        if last is None or last.kind != kind or other or self._interrupted:
            self._interrupted = False
            status = "completed" if self._ended else "running"
            self._add(event, kind, message_id=message_id, status=status, text=text, content=_without_text([block]))
            return
        last.message_id = last.message_id or message_id
        last.grow(event, text)
        if block.get("type") == "text":
            self._changes[len(self.steps) - 1] = Change(self._record.index, len(self.steps) - 1, text)
        else:
            last.set(event, content=(*last.content, block))
            self._changed(len(self.steps) - 1)

    def _tool(self, event: Event, tool_call_id: str, update: Json) -> int:
        index = self._tools.get(tool_call_id)
        if index is None:
            status = "unfinished" if self._ended else "pending"
            index = self._add(event, "tool_call", status=status, tool_call_id=tool_call_id, waited_s=0.0)
            self._tools[tool_call_id] = index
        else:
            self._changed(index)
        fields = tool_fields(update)
        if self._ended and fields.get("status") not in FINAL_STATUSES:
            fields.pop("status", None)
        self.steps[index].set(event, **fields)
        if "status" in fields and self.steps[index].failure != "rejected":
            cause: StepFailure = "interrupted" if self._cancelling else "error"
            self.steps[index].set(None, failure=cause if fields["status"] == "failed" else None)
        if printed := printed_by(update):
            self.steps[index].print(event, printed)
        return index

    def _planned(self, event: Event, entries: Sequence[Json]) -> None:
        if self._plan is None:
            self._plan = self._add(event, "plan", status="completed", entries=entries)
        else:
            self.steps[self._plan].set(event, entries=entries)
            self._changed(self._plan)

    def _ask(self, event: Event, params: Json, connection: str) -> None:
        request_id = permission_request_id(connection, event.payload.get("id"))
        tool = as_object(params.get("toolCall"))
        index = self._tool(event, as_text(tool.get("toolCallId")) or f"permission {request_id}", tool)
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
        self._changed(step)

    def _show_permission(self, index: int) -> None:
        shown = self.asked.shown_on(index)
        self.steps[index].set(None, permission=shown, waited_s=self.asked.waited_for(index))
        if shown.verdict == "rejected":
            self.steps[index].set(None, failure="rejected")

    def _question(self, event: Event, params: Json, request_id: str) -> None:
        said = {"mode": params.get("mode"), "schema": params.get("requestedSchema"), "url": params.get("url")}
        asked = {"request_id": request_id} | {name: value for name, value in said.items() if value is not None}
        text = as_text(params.get("message")) or ""
        index = self._add(event, "question", status="pending", text=text, raw_input=asked, waited_s=0.0)
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
        self._changed(index)

    def _heard(self, index: int, event: Event) -> None:
        """A question is over: take the time that it waited."""
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
        self._close_steps(event)
        if self._record.error and not any(step.kind == "error" for step in self.steps):
            self._say(event, "error", self._record.error)
        if self._record.status == "completed" and self._model_failed:
            self._set(failure="model_error")
        if self._record.status == "completed" and all(step.kind == "user" for step in self.steps):
            self._set(failure=self._record.failure or "no_answer")
            self._say(event, "notice", SILENT)

    def _close_steps(self, event: Event) -> None:
        """Say what became of everything that was still open; nothing is called completed that was not."""
        left = {"failed": "failed", "cancelled": "cancelled"}.get(self._record.status, "unfinished")
        for place in self.asked.open():
            self._close(event, place, outcome="cancelled", reason="the turn ended")
        for index, step in enumerate(self.steps):
            if step.status not in FINAL_STATUSES:
                step.set(None, status={"tool_call": left, "question": "cancelled"}.get(step.kind, "completed"))
                if step.kind == "tool_call" and left == "failed" and step.failure is None:
                    step.set(None, failure="interrupted")
                if step.kind == "question":
                    self._heard(index, event)
                self._changed(index)

    def _say(self, event: Event, kind: StepKind, text: str, content: Sequence[Json] = ()) -> None:
        self._add(event, kind, status="completed", text=text, content=content)

    def _add(self, event: Event, kind: StepKind, *, message_id: str | None = None, **fields: Any) -> int:
        """Begin a step; the text that was running, if any, has ended with it."""
        if kind not in self._kinds:
            self._kinds.add(kind)
            self.revision += 1
        if self.steps and self.steps[-1].status == "running" and self.steps[-1].kind != "tool_call":
            self.steps[-1].set(None, status="completed")
            self._changed(len(self.steps) - 1)
        index = len(self.steps)
        step = Step(
            session_id=self._record.session_id,
            turn=self._record.index,
            index=index,
            kind=kind,
            first_seq=event.seq,
            last_seq=event.seq,
            started_at=event.ts,
            ended_at=event.ts,
            **fields,
        )
        self.steps.append(GrowingStep(step, message_id))
        self._changed(index)
        return index

    def _changed(self, index: int) -> None:
        self._changes[index] = Change(self._record.index, index)


def _without_text(blocks: Iterable[Json]) -> tuple[Json, ...]:
    return tuple(block for block in blocks if block.get("type") != "text")


def _exit(params: Json) -> str:
    code, signal = params.get("code"), params.get("signal")
    return f" by signal {signal}" if signal is not None else f" with code {code}" if code is not None else ""
