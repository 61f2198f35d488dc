"""Records as rows of the derived tables, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from session_widgets.context import Context
from session_widgets.model import (
    FileChange,
    PermissionOption,
    PermissionState,
    SessionRecord,
    Step,
    TurnRecord,
    Usage,
)
from session_widgets.store.payload import decode, encode
from session_widgets.turn_fold import PermissionRecord

Row = dict[str, Any]

_TOKENS = tuple(field.name for field in fields(Usage) if field.name.endswith("_tokens"))
_SAME_IN_SESSION = (
    *("harness", "sandbox", "workspace", "title", "model", "mode", "effort", "status"),
    *("sandbox_ref", "connection", "agent_session_id", "turns", "created_at", "updated_at"),
)
_SAME_IN_STEP = (
    *("session_id", "turn", "kind", "status", "text", "tool_call_id", "title", "tool_kind"),
    *("first_seq", "last_seq", "started_at", "ended_at"),
)


def session_row(session_id: str, context: Context, origin: str, last_seq: int, turns: int) -> Row:
    """Return the row of a session; `origin` tells it from one of the same name that was deleted."""
    facts = {name: getattr(context.session, name) for name in _SAME_IN_SESSION} if context.session else {}
    identity = {"session_id": session_id, "origin": origin, "last_seq": last_seq, "context": encode(context)}
    return {**facts, **identity, "turns": turns}


def turn_row(record: TurnRecord, first_seq: int, context: Context) -> Row:
    """Return the row of a turn; `context` is what it began with. The text comes with its end."""
    ended = record.ended_at is not None
    return {
        "session_id": record.session_id,
        "turn": record.index,
        "first_seq": first_seq,
        "context": encode(context),
        "status": record.status,
        "prompt": encode(record.prompt),
        "text": record.text if ended else None,
        "stop_reason": record.stop_reason,
        "error": record.error,
        "tier": record.tier,
        "started_at": record.started_at,
        "ended_at": record.ended_at,
        "durable_at": record.durable_at,
        "durability_error": record.durability_error,
        "idempotency_key": record.idempotency_key,
        "owner": None if record.owner is None else encode(record.owner),
        **_usage_row(record.usage),
        "context_used": record.usage.context_used,
        "context_size": record.usage.context_size,
    }


def step_row(step: Step) -> Row:
    """Return the row of a step."""
    return {
        "session_id": step.session_id,
        "turn": step.turn,
        "step": step.index,
        "kind": step.kind,
        "status": step.status,
        "text": step.text,
        "tool_call_id": step.tool_call_id,
        "title": step.title,
        "tool_kind": step.tool_kind,
        "content": encode(step.content),
        "locations": encode(step.locations),
        "raw_input": None if step.raw_input is None else encode(step.raw_input),
        "raw_output": None if step.raw_output is None else encode(step.raw_output),
        "entries": encode(step.entries),
        "permission": None if step.permission is None else encode(step.permission),
        "first_seq": step.first_seq,
        "last_seq": step.last_seq,
        "started_at": step.started_at,
        "ended_at": step.ended_at,
    }


def permission_row(session_id: str, record: PermissionRecord) -> Row:
    """Return the row of a permission request."""
    state = record.state
    return {
        "session_id": session_id,
        "request_id": state.request_id,
        "turn": record.turn,
        "step": record.step,
        "options": encode(state.options),
        "requested_at": record.requested_at,
        "decided_at": record.decided_at,
        "outcome": state.outcome,
        "option_id": state.option_id,
        "option_kind": next((option.kind for option in state.options if option.id == state.option_id), None),
        "decided_by": state.decided_by,
        "reason": state.reason,
    }


def llm_call_row(record: TurnRecord, model: str | None) -> Row | None:
    """ACP counts tokens per prompt, so a live turn is one call; None if the agent counted nothing."""
    usage = _usage_row(record.usage)
    if all(usage[name] is None for name in _TOKENS) and usage["cost"] is None:
        return None
    return {
        "llm_call_id": f"{record.session_id}/{record.index}",
        "session_id": record.session_id,
        "turn": record.index,
        "model": model,
        **usage,
        "ended_at": record.ended_at,
    }


def file_change_row(record: TurnRecord, change: FileChange) -> Row:
    """Return the row of one file that a turn changed."""
    return {"session_id": record.session_id, "turn": record.index, **asdict(change)}


def read_session(row: Mapping[str, Any]) -> SessionRecord | None:
    """Return a row of `sessions` as a record; None for one that was never opened."""
    return context_of(row["context"]).session


def read_turn(row: Mapping[str, Any], files: tuple[FileChange, ...]) -> TurnRecord:
    """Return a row of `turns`, with the files from elsewhere, as a record."""
    cost = row["cost"]
    counts = {name: row[name] for name in (*_TOKENS, "context_used", "context_size", "currency")}
    same = ("session_id", "status", "started_at", "ended_at", "stop_reason", "tier", "durable_at", "durability_error")
    return TurnRecord(
        index=row["turn"],
        prompt=tuple(decode(row["prompt"])),
        text=row["text"] or "",
        usage=Usage(**counts, cost=None if cost is None else float(cost)),
        files=files,
        error=row["error"],
        idempotency_key=row["idempotency_key"],
        owner=decode(row["owner"]),
        **{name: row[name] for name in same},
    )


def read_step(row: Mapping[str, Any]) -> Step:
    """Return a row of `steps` as a record."""
    values = {name: row[name] for name in _SAME_IN_STEP}
    values |= {name: tuple(decode(row[name])) for name in ("content", "locations", "entries")}
    values |= {name: decode(row[name]) for name in ("raw_input", "raw_output")}
    return Step(index=row["step"], permission=_permission(decode(row["permission"])), **values)


def context_of(text: str) -> Context:
    """Return the context that `encode` wrote."""
    value = decode(text)
    if (session := value["session"]) is not None:
        times = {name: datetime.fromisoformat(session[name]) for name in ("created_at", "updated_at")}
        value["session"] = SessionRecord(**{**session, **times})
    if value["cost"] is not None:
        value["cost"] = Decimal(value["cost"])
    return Context(**value)


def _usage_row(usage: Usage) -> Row:
    counts = {name: getattr(usage, name) for name in _TOKENS}
    return {**counts, "cost": None if usage.cost is None else str(usage.cost), "currency": usage.currency}


def _permission(value: dict[str, Any] | None) -> PermissionState | None:
    if value is None:
        return None
    return PermissionState(**{**value, "options": tuple(PermissionOption(**option) for option in value["options"])})
