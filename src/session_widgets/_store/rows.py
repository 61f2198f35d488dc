"""Converts records to rows of the derived tables, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from session_widgets._store.payload import decode, encode
from session_widgets.transcript.permissions import PermissionRecord
from session_widgets.transcript.records import (
    FileChange,
    PermissionOption,
    PermissionState,
    SessionRecord,
    Step,
    TurnRecord,
    Usage,
)
from session_widgets.transcript.state import FoldState
from session_widgets.transcript.tool_input import script_of
from session_widgets.transcript.usage import by_currency

Row = dict[str, Any]

_TOKENS = tuple(field.name for field in fields(Usage) if field.name.endswith("_tokens"))
_SAME_IN_SESSION = (
    *("harness", "sandbox", "workspace", "title", "model", "mode", "effort", "status"),
    *("sandbox_ref", "connection", "agent_session_id", "turns", "created_at", "updated_at"),
    *("forked_from", "forked_at_turn"),
)
_SAME_IN_STEP = (
    *("session_id", "turn", "kind", "status", "text", "tool_call_id", "title", "tool_kind"),
    *("first_seq", "last_seq", "started_at", "ended_at", "waited_s", "failure", "exit_code"),
    *("tool_name", "parent"),
)


def session_row(session_id: str, context: FoldState, origin: str, last_seq: int, turns: int) -> Row:
    """Return the row of a session; `origin` distinguishes it from a deleted one of the same name."""
    facts = {name: getattr(context.session, name) for name in _SAME_IN_SESSION} if context.session else {}
    identity = {"session_id": session_id, "origin": origin, "last_seq": last_seq, "context": encode(context)}
    return {**facts, **identity, "turns": turns}


def turn_row(record: TurnRecord, first_seq: int, context: FoldState) -> Row:
    """Return the row of a turn; `context` is its state at the start. The text is added at its end."""
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
        "harness": record.harness,
        "model": record.model,
        "waited_s": record.waited_s,
        "failure": record.failure,
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
        "tool_name": step.tool_name,
        "parent": step.parent,
        "content": encode(step.content),
        "locations": encode(step.locations),
        "command": script_of(step.raw_input) if step.kind == "tool_call" else None,
        "exit_code": step.exit_code,
        "raw_input": None if step.raw_input is None else encode(step.raw_input),
        "raw_output": None if step.raw_output is None else encode(step.raw_output),
        "entries": encode(step.entries),
        "permission": None if step.permission is None else encode(step.permission),
        "permission_outcome": None if step.permission is None else step.permission.verdict,
        "first_seq": step.first_seq,
        "last_seq": step.last_seq,
        "started_at": step.started_at,
        "ended_at": step.ended_at,
        "waited_s": step.waited_s,
        "failure": step.failure,
    }


def permission_row(session_id: str, record: PermissionRecord) -> Row:
    """Return the row of a permission request."""
    state = record.state
    return {
        "session_id": session_id,
        "asked_seq": record.asked_seq,
        "request_id": state.request_id,
        "turn": record.turn,
        "step": record.step,
        "options": encode(state.options),
        "requested_at": record.requested_at,
        "decided_at": record.decided_at,
        "outcome": state.verdict,
        "option_id": state.option_id,
        "option_kind": next((option.kind for option in state.options if option.id == state.option_id), None),
        "decided_by": state.decided_by,
        "reason": state.reason,
    }


def llm_call_rows(record: TurnRecord, costs: Mapping[str, Decimal]) -> list[Row]:
    """Return the usage of a turn, one row for each currency; empty if the agent reported none.

    ACP counts tokens per prompt, so the tokens of a live turn are in its first row.
    """
    usage = _usage_row(record.usage)
    if all(usage[name] is None for name in _TOKENS) and not costs:
        return []
    where = {"session_id": record.session_id, "turn": record.index, "harness": record.harness, "model": record.model}
    call_id = f"{record.session_id}/{record.index}"
    if len(costs) < 2:
        return [{"llm_call_id": call_id, **where, **usage, "ended_at": record.ended_at}]
    nothing = dict.fromkeys((*_TOKENS, "usage_scope", "usage_quality", "usage_remark"))
    return [
        {
            "llm_call_id": f"{call_id}/{currency or ''}" if place else call_id,
            **where,
            **({**usage, **nothing} if place else usage),
            **_cost_row(cost, currency),
            "ended_at": record.ended_at,
        }
        for place, (currency, cost) in enumerate(by_currency(costs))
    ]


def outside_rows(session_id: str, context: FoldState) -> list[Row]:
    """Return the usage outside turns, one row for each harness and currency."""
    tokens = dict.fromkeys(_TOKENS)
    return [
        {
            "llm_call_id": f"{session_id}/outside/{harness}/{currency}",
            "session_id": session_id,
            "turn": None,
            "harness": harness or None,
            "model": None,
            **tokens,
            **_cost_row(cost, name),
            "usage_scope": "session",
            "usage_quality": "none",
            "usage_remark": "the agent reported this cost in no turn",
            "ended_at": None,
        }
        for harness, currency, amount in context.outside
        for name, cost in by_currency({currency: amount})
    ]


def file_change_row(record: TurnRecord, change: FileChange) -> Row:
    """Return the row of one file that a turn changed."""
    return {"session_id": record.session_id, "turn": record.index, **asdict(change)}


def read_session(row: Mapping[str, Any]) -> SessionRecord | None:
    """Return a row of `sessions` as a record; None for a session that was never opened."""
    return state_of(row["context"]).session


def read_turn(row: Mapping[str, Any], files: tuple[FileChange, ...]) -> TurnRecord:
    """Return a row of `turns`, with its separately read files, as a record."""
    cost = row["cost"]
    counts = {name: row[name] for name in (*_TOKENS, "context_used", "context_size", "currency")}
    read = {name: row[f"usage_{name}"] for name in ("scope", "quality", "remark")}
    same = (
        *("session_id", "status", "started_at", "ended_at", "stop_reason", "tier", "durable_at", "durability_error"),
        *("harness", "model", "waited_s", "failure"),
    )
    return TurnRecord(
        index=row["turn"],
        prompt=tuple(decode(row["prompt"])),
        text=row["text"] or "",
        usage=Usage(**counts, cost=None if cost is None else float(cost), **read),
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


def state_of(text: str) -> FoldState:
    """Return the context that `encode` wrote."""
    value = decode(text)
    if (session := value["session"]) is not None:
        times = {name: datetime.fromisoformat(session[name]) for name in ("created_at", "updated_at")}
        value["session"] = SessionRecord(**{**session, **times})
    value["totals"] = {currency: Decimal(amount) for currency, amount in value["totals"].items()}
    value["outside"] = tuple((harness, currency, Decimal(amount)) for harness, currency, amount in value["outside"])
    if value["asked_model"] is not None:
        value["asked_model"] = tuple(value["asked_model"])
    return FoldState(**value)


def _usage_row(usage: Usage) -> Row:
    counts = {name: getattr(usage, name) for name in _TOKENS}
    about = {f"usage_{name}": getattr(usage, name) for name in ("scope", "quality", "remark")}
    return {**counts, **_cost_row(usage.cost, usage.currency), **about}


def _cost_row(cost: float | None, currency: str | None) -> Row:
    return {"cost": None if cost is None else str(cost), "currency": currency}


def _permission(value: dict[str, Any] | None) -> PermissionState | None:
    if value is None:
        return None
    return PermissionState(**{**value, "options": tuple(PermissionOption(**option) for option in value["options"])})
