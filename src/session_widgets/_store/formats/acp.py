"""Traffic of ACP as lines: bare JSON-RPC envelopes of both sides, or wrapped as `{dir, msg}` or by sandbox-agent's SDK.

The envelopes are folded as those of a live session are, so that both read alike. ACP counts tokens by turn, and agents
disagree on whether input from a cache is part of the input.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

from session_widgets._store.formats.contract import (
    Delegated,
    Entry,
    Format,
    Head,
    ModelCall,
    Prompt,
    Record,
    Said,
    SessionFacts,
    Source,
    ToolCall,
    ToolResult,
    TurnEnd,
    WholeSession,
    time_of,
)
from session_widgets._store.formats.writers import acp as writer
from session_widgets.transcript.envelopes import as_object, as_objects, as_text, permission_request_id, update_of
from session_widgets.transcript.fold import Fold
from session_widgets.transcript.notes import AgentStarted, Note, PermissionDecision, TurnEnded, TurnStarted
from session_widgets.transcript.records import Event, Json, Step, TurnRecord
from session_widgets.transcript.steps import FINAL_STATUSES

_OF_CLIENT = frozenset(
    {"initialize", "authenticate", "session/new", "session/load", "session/resume", "session/prompt"}
)
_UNTIMED = datetime(1970, 1, 1, tzinfo=UTC)
_INPUT = "as reported over ACP: input from a cache may be part of it"


class Acp(Format):
    """Lines of JSON-RPC envelopes of ACP."""

    name = "acp"
    writes: ClassVar[bool] = True

    def sniff(self, head: Head) -> bool:
        """Whether a line is a request that an ACP client sends first."""
        return any(as_text(_envelope(value).get("method")) in _OF_CLIENT for value in head.objects)

    def kind(self, value: Any) -> str | None:
        """Return the kind of update, else the method, else "response"."""
        said = _envelope(as_object(value))
        return as_text(update_of(said).get("sessionUpdate")) or as_text(said.get("method")) or "response"

    def read(self, records: Iterable[Record], source: Source) -> Iterator[Entry]:
        """Fold the envelopes, and turn each turn into entries."""
        reader = _Reader(source)
        for record in records:
            yield from reader.record(record.line, as_object(record.value))
        yield from reader.end()

    def write(self, session: WholeSession) -> Iterator[bytes]:
        """Yield the bytes of a file."""
        return writer.write(session)


def _envelope(value: Mapping[str, Any]) -> Json:
    for name in ("msg", "payload", "message"):
        if as_object(value.get(name)).get("jsonrpc") == "2.0":
            return as_object(value[name])
    return value if value.get("jsonrpc") == "2.0" else {}


@dataclass(slots=True)
class _Session:
    native: str
    fold: Fold
    line: int = 0
    at: datetime | None = None
    seq: int = 0
    turn: int = 0
    running: bool = False
    process: int = 0
    lines: list[int] = field(default_factory=list)


class _Reader:
    def __init__(self, source: Source) -> None:
        self._stem = source.stem
        self._agent: Json = {}
        self._processes = 0
        self._asked: dict[tuple[str, str], tuple[str, Json]] = {}
        self._sessions: dict[str, _Session] = {}
        self._places: dict[str, str] = {}
        self._options: dict[str, Json] = {}

    def record(self, line: int, value: Json) -> Iterator[Entry]:
        envelope = _envelope(value)
        if not envelope:
            return
        at = next((time_of(value[name]) for name in ("ts", "timestamp", "createdAt") if name in value), None)
        way, method, key = self._read(value, envelope)
        asked: Json = {}
        if as_text(envelope.get("method")) is not None:
            asked = as_object(envelope.get("params"))
            if "id" in envelope:
                self._asked[way, key] = (method, asked)
        else:
            method, asked = self._asked.pop(("in" if way == "out" else "out", key), ("", {}))
        result = as_object(envelope.get("result"))
        if method == "initialize" and result:
            self._agent = as_object(result.get("agentInfo"))
            self._processes += 1
        native = as_text(value.get("sessionId")) or as_text(asked.get("sessionId")) or as_text(result.get("sessionId"))
        if native is None:
            return
        if cwd := as_text(asked.get("cwd")):
            self._places[native] = cwd
            self._options[native] = result
        yield from self._in_session(native, line, at, way, method, envelope)

    def _read(self, value: Json, envelope: Json) -> tuple[str, str, str]:
        """Return direction, method and id of an envelope."""
        method, key = as_text(envelope.get("method")) or "", json.dumps(envelope.get("id"))
        told = as_text(value.get("dir")) or as_text(value.get("sender")) or as_text(value.get("direction"))
        if told in {"c2a", "client", "out"}:
            return "out", method, key
        if told in {"a2c", "agent", "in"}:
            return "in", method, key
        if method:
            of_agent = method in {"session/update", "session/request_permission", "elicitation/create"}
            return ("in" if of_agent or method.startswith(("fs/", "terminal/", "_")) else "out"), method, key
        answers_agent = ("in", key) in self._asked and "stopReason" not in as_object(envelope.get("result"))
        return ("out" if answers_agent or ("out", key) not in self._asked else "in"), method, key

    def _in_session(
        self, native: str, line: int, at: datetime | None, way: str, method: str, envelope: Json
    ) -> Iterator[Entry]:
        session = self._sessions.get(native)
        if session is None:
            session = self._sessions[native] = _Session(native, Fold(native))
        session.line, session.at = line, at
        is_response = "method" not in envelope
        kind = "error" if "error" in envelope else "response" if is_response else "request" if "id" in envelope else ""
        kind = kind or as_text(update_of(envelope).get("sessionUpdate")) or "notification"
        if way == "out" and method == "session/prompt" and kind == "request":
            yield from self._finish(session, "completed")
            self._start(session)
            session.turn, session.running = session.turn + 1, True
            prompt = as_objects(as_object(envelope.get("params")).get("prompt"))
            self._note(session, TurnStarted(prompt=prompt, idempotency_key=None, owner={}))
        if not session.running:
            return
        self._feed(session, "out" if way == "out" else "in", method or None, kind, envelope)
        if way == "out" and method == "session/request_permission" and kind == "response":
            outcome = as_object(as_object(envelope.get("result")).get("outcome"))
            selected = as_text(outcome.get("outcome")) == "selected"
            note = PermissionDecision(
                request_id=permission_request_id(session.fold.state.connection, envelope.get("id")),
                outcome="selected" if selected else "cancelled",
                option_id=as_text(outcome.get("optionId")),
                option_kind=None,
                decided_by="user",
                reason=None,
            )
            self._note(session, note)
        elif way == "in" and method == "session/prompt" and kind in {"response", "error"}:
            stopped = as_text(as_object(envelope.get("result")).get("stopReason"))
            ended = "failed" if kind == "error" else "cancelled" if stopped == "cancelled" else "completed"
            yield from self._finish(session, ended)

    def end(self) -> Iterator[Entry]:
        """Yield the turns that the file does not end."""
        for session in self._sessions.values():
            yield from self._finish(session, None)

    def _start(self, session: _Session) -> None:
        """Say which process answers: how usage is counted depends on the agent."""
        if session.process != self._processes:
            session.process = self._processes
            options = self._options.get(session.native, {})
            note = AgentStarted(
                connection=str(self._processes),
                agent_session_id=session.native,
                agent_info=self._agent,
                tier="fresh",
                config=as_objects(options.get("configOptions")),
                modes=as_object(options.get("modes")),
                models=as_object(options.get("models")),
            )
            self._note(session, note)

    def _note(self, session: _Session, note: Note) -> None:
        self._feed(session, "note", None, note.kind, note.encode())

    def _feed(self, session: _Session, direction: Any, method: str | None, kind: str, payload: Json) -> None:
        session.seq += 1
        session.lines.append(session.line)
        at = session.at or _UNTIMED
        turn = session.turn if session.running else None
        session.fold.feed(Event(session.native, session.seq, turn, at, direction, method, kind, payload))

    def _finish(self, session: _Session, status: Any) -> Iterator[Entry]:
        if not session.running:
            return
        if status is not None:
            self._note(session, TurnEnded(status=status))
        session.running = False
        turn = session.fold.turn(session.turn)
        name = as_text(self._agent.get("title")) or as_text(self._agent.get("name"))
        yield SessionFacts(
            line=session.line,
            at=_time(turn.started_at),
            native_id=session.native,
            harness=name,
            harness_version=as_text(self._agent.get("version")),
            cwd=self._places.get(session.native),
            model=turn.model,
        )
        call_id = f"acp/{session.native}/{session.turn}"
        for step in session.fold.steps_of(session.turn):
            yield from _entries(step, session, call_id)
        if turn.usage.quality not in {None, "none"} or turn.usage.cost is not None:
            yield _usage(turn, session.line, call_id)
        if status is not None:
            yield TurnEnd(
                line=session.line,
                at=_time(turn.ended_at),
                status=status,
                stop_reason=turn.stop_reason,
                error=turn.error,
            )
        session.fold.forget(session.turn)


def _time(at: datetime | None) -> datetime | None:
    return None if at == _UNTIMED else at


def _entries(step: Step, session: _Session, call_id: str) -> Iterator[Entry]:
    child = f"{session.native}/{step.turn}/{step.index}"
    parent = None if step.parent is None else f"{session.native}/{step.turn}/{step.parent}"
    where: dict[str, Any] = {
        "line": session.lines[step.first_seq - 1], "at": _time(step.started_at), "uid": child, "agent": parent,
    }  # fmt: skip
    last: dict[str, Any] = {"line": session.lines[step.last_seq - 1], "at": _time(step.ended_at)}
    if step.kind == "user":
        yield Prompt(**where, blocks=[{"type": "text", "text": step.text or ""}, *step.content])
    elif step.kind == "subagent":
        yield Delegated(**{**where, "agent": child}, text=step.text or step.title or "")
    elif step.kind == "tool_call":
        yield ToolCall(
            **where,
            tool_call_id=child,
            name=step.tool_name or "",
            kind=step.tool_kind or "other",
            title=step.title,
            raw_input=step.raw_input,
            paths=[path for place in step.locations if (path := as_text(place.get("path")))],
            content=step.content,
            call_id=call_id,
        )
        if step.status in FINAL_STATUSES:
            yield ToolResult(
                **last,
                tool_call_id=child,
                status=step.status,  # type: ignore[arg-type]  # a final status
                content=step.content,
                raw_output=step.raw_output,
                failure=step.failure,
                exit_code=step.exit_code,
            )
    elif step.kind in {"message", "thought", "plan", "notice", "error", "compaction", "question"}:
        yield Said(
            **where, kind=step.kind, text=step.text, entries=step.entries, content=step.content, call_id=call_id
        )  # fmt: skip


def _usage(turn: TurnRecord, line: int, call_id: str) -> ModelCall:
    usage = turn.usage
    return ModelCall(
        line=line,
        at=_time(turn.ended_at),
        call_id=call_id,
        model=turn.model,
        scope=usage.scope or "turn",
        last_only=usage.scope == "call",
        quality=usage.quality or "none",
        remark=usage.remark or _INPUT,
        uncached=usage.input_tokens,
        read=usage.cached_read_tokens,
        written=usage.cached_write_tokens,
        output=usage.output_tokens,
        reasoning=usage.thought_tokens,
        cost=None if usage.cost is None else Decimal(str(usage.cost)),
        currency=usage.currency,
    )
