"""Builds the derived rows of one imported session from its entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from session_widgets._store.formats.contract import (
    Abandoned,
    Changed,
    Delegated,
    Entry,
    ModelCall,
    Prompt,
    Said,
    SessionFacts,
    ToolCall,
    ToolResult,
    TurnEnd,
)
from session_widgets._store.importing.model_calls import context_of, merged, tokens_of, usage_of
from session_widgets._store.payload import encode
from session_widgets._store.rows import Row
from session_widgets.transcript.envelopes import block_text
from session_widgets.transcript.records import Json, SessionRecord
from session_widgets.transcript.state import FoldState
from session_widgets.transcript.steps import without_text
from session_widgets.transcript.tool_input import script_of

TITLE = 200
"""Limit of a title, in characters."""


@dataclass(slots=True)
class _Turn:
    index: int
    line: int
    started_at: datetime | None
    ended_at: datetime | None
    prompt: Sequence[Json] = ()
    steps: int = 0
    last: str = ""
    status: str | None = None
    stop_reason: str | None = None
    error: str | None = None
    text: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)


class SessionBuilder:
    """The rows of one session.

    Args:
        session_id: of the session in the store.
        native_id: the program's own id.
        format_name: of the file.
    """

    def __init__(self, session_id: str, native_id: str, format_name: str) -> None:
        self.session_id = session_id
        self.native_id = native_id
        self.parent: tuple[str, str] | None = None
        self.abandoned: frozenset[str] = frozenset()
        self._format = format_name
        self._facts = SessionFacts(line=0, native_id=native_id)
        self._rows: dict[str, list[Row]] = {"turns": [], "steps": [], "llm_calls": [], "file_changes": []}
        self._turn: _Turn | None = None
        self._turns = 0
        self._open: dict[str, Row] = {}
        self._ends: dict[int, str] = {}
        self._calls: dict[str, ModelCall] = {}
        self._places: dict[str, tuple[int, bool]] = {}
        self._agents: dict[str, tuple[int, int]] = {}
        self._first: datetime | None = None
        self._last: datetime | None = None
        self._model: str | None = None

    def feed(self, entry: Entry) -> None:
        """Apply the next entry."""
        if entry.at is not None:
            self._first = min(self._first or entry.at, entry.at)
            self._last = max(self._last or entry.at, entry.at)
        match entry:
            case SessionFacts():
                self._learn(entry)
            case Prompt():
                self._prompt(entry)
            case Said():
                self._said(entry)
            case Delegated():
                row = self._step(entry, "subagent", text=entry.text)
                self._agents[entry.agent or ""] = (row["turn"], row["step"])
            case ToolCall():
                self._tool_call(entry)
            case ToolResult():
                self._tool_result(entry)
            case ModelCall():
                self._model_call(entry)
            case Changed():
                self._in_turn(entry).files.setdefault(entry.path, entry.change)
            case TurnEnd():
                self._end(entry)
            case Abandoned():
                self.abandoned |= entry.uids

    def taken(self) -> dict[str, list[Row]]:
        """Return the finished rows since the last call, by table."""
        rows, self._rows = self._rows, {name: [] for name in self._rows}
        return rows

    def finish(self) -> None:
        """Close what is open; the usage of all calls is known now."""
        self._close_turn()
        for row in self._open.values():
            how = self._ends.get(row["turn"], "")
            row["status"] = how if how in {"cancelled", "failed"} else "unfinished"
            row["failure"] = "interrupted" if how == "failed" else row["failure"]
            self._rows["steps"].append(row)
        self._open = {}
        self._rows["llm_calls"] += [self._call_row(call) for call in self._calls.values()]
        self._calls = {}

    def session_row(self, modified: datetime, lines: int) -> Row:
        """Return the row of the session, without `origin`.

        Args:
            modified: time of the file, for a session without times.
            lines: number of lines in its file.
        """
        facts = self._facts
        first, last = self._first or modified, self._last or modified
        record = SessionRecord(
            id=self.session_id,
            harness=facts.harness or "",
            sandbox="",
            workspace=facts.cwd or "",
            created_at=first,
            updated_at=last,
            title=facts.title,
            model=facts.model or self._model,
            turns=self._turns,
            status="imported",
            agent_session_id=self.native_id,
        )
        return {
            "session_id": self.session_id,
            "last_seq": lines,
            "context": encode(FoldState(session=record, agent_session_id=self.native_id)),
            "harness": facts.harness,
            "title": facts.title,
            "model": record.model,
            "workspace": facts.cwd,
            "status": "imported",
            "agent_session_id": self.native_id,
            "turns": self._turns,
            "created_at": first,
            "updated_at": last,
            "format": self._format,
            "harness_version": facts.harness_version,
            "git_branch": facts.git_branch,
            "agent_id": facts.agent_id,
        }

    def _learn(self, entry: SessionFacts) -> None:
        names = ("harness", "harness_version", "title", "model", "cwd", "git_branch", "agent_id")
        new: dict[str, Any] = {name: value for name in names if (value := getattr(entry, name)) is not None}
        if "title" in new:
            new["title"] = " ".join(new["title"].split())[:TITLE]
        self._facts = replace(self._facts, **new)
        if entry.parent and entry.relation and entry.parent != self.native_id:
            self.parent = (entry.parent, entry.relation)

    def _in_turn(self, entry: Entry) -> _Turn:
        if self._turn is None:
            self._turns += 1
            self._turn = _Turn(self._turns, entry.line, entry.at, entry.at)
        self._turn.started_at = self._turn.started_at or entry.at
        if entry.at is not None and (self._turn.ended_at is None or entry.at > self._turn.ended_at):
            self._turn.ended_at = entry.at
        return self._turn

    def _prompt(self, entry: Prompt) -> None:
        before = self._turn
        if before is not None and (before.prompt or before.last or before.calls or before.status):
            self._close_turn()
        turn = self._in_turn(entry)
        turn.prompt = entry.blocks
        text = "\n".join(map(block_text, entry.blocks))
        if entry.blocks:
            self._step(entry, "user", text=text, content=encode(without_text(tuple(entry.blocks))))
        if self._facts.title is None and text.strip():
            self._facts = replace(self._facts, title=" ".join(text.split())[:TITLE])

    def _said(self, entry: Said) -> None:
        row = self._step(entry, entry.kind, text=entry.text)
        row["llm_call_id"] = entry.call_id
        if entry.entries:
            row["entries"] = encode(entry.entries)
        if entry.content:
            row["content"] = encode(entry.content)
        if entry.kind == "message" and entry.agent is None and self._turn is not None:
            self._turn.text.append(entry.text or "")
        if entry.kind == "error" and self._turn is not None:
            self._turn.error = entry.text

    def _step(self, entry: Any, kind: str, **fields: Any) -> Row:
        """Add a step; a finished one is among the rows at once."""
        turn = self._in_turn(entry)
        parent = self._agents.get(entry.agent) if entry.agent is not None else None
        row: Row = {
            **_STEP,
            "session_id": self.session_id,
            "turn": turn.index,
            "step": turn.steps,
            "kind": kind,
            "first_seq": entry.line,
            "last_seq": entry.line,
            "started_at": entry.at,
            "ended_at": entry.at,
            "uid": entry.uid,
            "parent_uid": entry.parent_uid,
            "agent_id": entry.agent or self._facts.agent_id,
            "parent": parent[1] if parent and parent[0] == turn.index else None,
            "copied": entry.copied or None,
            **fields,
        }
        turn.steps += 1
        if kind not in {"notice", "plan"} and entry.agent is None:
            turn.last = kind
        if kind != "tool_call":
            self._rows["steps"].append(row)
        return row

    def _tool_call(self, entry: ToolCall) -> None:
        row = self._step(
            entry,
            "tool_call",
            status="in_progress",
            tool_call_id=entry.tool_call_id,
            title=entry.title or entry.name,
            tool_kind=entry.kind,
            tool_name=entry.name,
            locations=encode([{"path": path} for path in entry.paths]),
            content=encode(entry.content),
            raw_input=None if entry.raw_input is None else encode(entry.raw_input),
            command=script_of(entry.raw_input),
            llm_call_id=entry.call_id,
        )
        if before := self._open.pop(entry.tool_call_id, None):  # an id that is used again, for example by a copy
            before["status"] = "unfinished"
            self._rows["steps"].append(before)
        self._open[entry.tool_call_id] = row

    def _tool_result(self, entry: ToolResult) -> None:
        row = self._open.pop(entry.tool_call_id, None)
        if row is None:
            return
        self._in_turn(entry)
        row["status"] = entry.status or ("completed" if entry.failure is None else "failed")
        row["failure"] = entry.failure
        row["exit_code"] = entry.exit_code
        row["last_seq"] = entry.line
        row["ended_at"] = entry.at or row["ended_at"]
        if entry.content:
            row["content"] = encode(entry.content)
        if entry.raw_output is not None:
            row["raw_output"] = encode(entry.raw_output)
        self._rows["steps"].append(row)

    def _model_call(self, entry: ModelCall) -> None:
        before = self._calls.get(entry.call_id)
        if before is None:
            turn = self._in_turn(entry)
            turn.calls.append(entry.call_id)
            self._calls[entry.call_id] = entry
            self._places[entry.call_id] = (turn.index, entry.copied)
        else:
            self._calls[entry.call_id] = merged(before, entry)
        if entry.agent is None and entry.model:
            self._model = entry.model

    def _end(self, entry: TurnEnd) -> None:
        if self._turn is None:
            return
        turn = self._in_turn(entry)
        if turn.status in {None, "completed"}:
            turn.status = entry.status
        turn.stop_reason = entry.stop_reason or turn.stop_reason
        turn.error = entry.error or turn.error

    def _close_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is None:
            return
        status = turn.status or {"message": "completed", "error": "failed"}.get(turn.last, "unfinished")
        self._ends[turn.index] = status
        calls = [self._calls[call_id] for call_id in turn.calls]
        own = [call for call in calls if call.agent is None]
        self._rows["turns"].append({
            "session_id": self.session_id,
            "turn": turn.index,
            "first_seq": turn.line,
            "context": "",
            "status": status,
            "prompt": encode(turn.prompt),
            "text": "\n\n".join(turn.text),
            "stop_reason": turn.stop_reason,
            "error": turn.error if status == "failed" else None,
            "harness": self._facts.harness,
            "model": (own[-1].model if own else None) or self._facts.model,
            "started_at": turn.started_at,
            "ended_at": turn.ended_at,
            **usage_of(calls),
            "context_used": context_of(own),
        })  # fmt: skip
        self._rows["file_changes"] += [
            {"session_id": self.session_id, "turn": turn.index, "path": path, "change": change}
            for path, change in turn.files.items()
        ]

    def _call_row(self, call: ModelCall) -> Row:
        turn, copied = self._places[call.call_id]
        return {
            "llm_call_id": call.call_id,
            "session_id": self.session_id,
            "turn": turn,
            "harness": self._facts.harness,
            "agent_id": call.agent or self._facts.agent_id,
            "provider": call.provider,
            "model": call.model,
            "model_requested": call.model_requested,
            **tokens_of(call),
            "written_5m_tokens": call.written_5m,
            "written_1h_tokens": call.written_1h,
            "cost": call.cost,
            "currency": call.currency,
            "usage_scope": call.scope,
            "usage_quality": call.quality,
            "usage_remark": call.remark,
            "stop_reason": call.stop_reason,
            "ttft_s": call.ttft_s,
            "duration_s": call.duration_s,
            "copied": copied or None,
            "ended_at": call.at,
        }


_STEP: Mapping[str, Any] = {
    **dict.fromkeys(("text", "tool_call_id", "title", "tool_kind", "tool_name", "parent", "command", "exit_code")),
    **dict.fromkeys(("raw_input", "raw_output", "failure", "llm_call_id")),
    "status": "completed",
    "content": "[]",
    "locations": "[]",
    "entries": "[]",
}
