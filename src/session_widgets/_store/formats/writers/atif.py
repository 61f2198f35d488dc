"""Writes a session as an ATIF trajectory, version 1.7, with subagents of the session embedded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from session_widgets._store.formats.contract import WholeSession
from session_widgets._store.formats.writers.answers import (
    Answer,
    arguments_of,
    has_failed,
    iso,
    name_of,
    parts,
    result_of,
    total_input,
)
from session_widgets.transcript.records import Step

VERSION = "ATIF-v1.7"


def write(session: WholeSession) -> Iterator[bytes]:
    """Yield the document."""
    record = session.session
    own = [step for step in session.steps if step.parent is None]
    trajectory = _trajectory(session, own, record.agent_session_id or record.id, session.calls.values())
    trajectory["trajectory_id"] = record.id
    subagents = [step for step in session.steps if step.kind == "subagent"]
    trajectory["subagent_trajectories"] = [
        {**_trajectory(session, inner, None, ()), "trajectory_id": f"{record.id}/{one.turn}/{one.index}"}
        for one in subagents
        if (inner := [step for step in session.steps if (step.turn, step.parent) == (one.turn, one.index)])
    ] or None
    yield orjson.dumps(_known(trajectory), option=orjson.OPT_INDENT_2) + b"\n"


def _trajectory(session: WholeSession, steps: Sequence[Step], session_id: str | None, calls: Any) -> dict[str, Any]:
    record = session.session
    made = [_step(session, part) for part in parts(session, steps)]
    if not made:
        made = [{"source": "system", "message": "The session has no steps."}]
    return {
        "schema_version": VERSION,
        "session_id": session_id,
        "agent": {
            "name": record.harness or "unknown",
            "version": session.harness_version or "unknown",
            "model_name": record.model,
        },
        "steps": [{"step_id": number, **step} for number, step in enumerate(made, 1)],
        "final_metrics": _sums(list(calls), len(made)),
    }


def _step(session: WholeSession, part: Step | Answer) -> dict[str, Any]:
    if isinstance(part, Answer):
        return _answer(part)
    said: dict[str, Any] = {"timestamp": iso(part.started_at), "message": part.text or ""}
    if part.kind == "user":
        return {**said, "source": "user"}
    if part.kind == "plan" and not part.text:
        said["message"] = "\n".join(f"[{entry.get('status')}] {entry.get('content')}" for entry in part.entries)
    if part.kind == "subagent":
        ref = {"trajectory_id": f"{session.session.id}/{part.turn}/{part.index}"}
        inner = any((step.turn, step.parent) == (part.turn, part.index) for step in session.steps)
        if inner:
            said["observation"] = {"results": [{"subagent_trajectory_ref": [ref]}]}
    return {**said, "source": "system", "extra": {"kind": part.kind}}


def _answer(answer: Answer) -> dict[str, Any]:
    tools = answer.tools
    calls = [
        {"tool_call_id": _id(step), "function_name": name_of(step), "arguments": arguments_of(step)} for step in tools
    ]
    results = [
        {
            "source_call_id": _id(step),
            "content": result_of(step),
            "extra": _known({"status": step.status, "exit_code": step.exit_code, "failure": step.failure})
            if has_failed(step)
            else None,
        }
        for step in tools
    ]
    return {
        "timestamp": iso(answer.steps[0].started_at),
        "source": "agent",
        "model_name": answer.call["model"] if answer.call else None,
        "message": answer.text("message"),
        "reasoning_content": answer.text("thought") or None,
        "tool_calls": calls or None,
        "observation": {"results": results} if results else None,
        "metrics": _metrics(answer.call) if answer.call else None,
    }


def _id(step: Step) -> str:
    return step.tool_call_id or f"{step.turn}/{step.index}"


def _metrics(call: Mapping[str, Any]) -> dict[str, Any] | None:
    dollars = call["currency"] in (None, "USD")
    found = _known({
        "prompt_tokens": total_input(call),
        "completion_tokens": call["output_tokens"],
        "cached_tokens": call["cache_read_tokens"],
        "cost_usd": float(call["cost_reported"]) if call["cost_reported"] is not None and dollars else None,
        "extra": _known({
            "cache_write_tokens": call["cache_write_tokens"],
            "reasoning_tokens": call["reasoning_tokens"],
            "usage_quality": call["usage_quality"],
            "call_id": call["llm_call_id"],
        }),
    })  # fmt: skip
    return found or None


def _sums(calls: Sequence[Mapping[str, Any]], steps: int) -> dict[str, Any]:
    def total(values: list[Any]) -> Any:
        known = [value for value in values if value is not None]
        return sum(known) if known else None

    costs = [call["cost_reported"] for call in calls if call["currency"] in (None, "USD")]
    cost = total(costs)
    return {
        "total_prompt_tokens": total([total_input(call) for call in calls]),
        "total_completion_tokens": total([call["output_tokens"] for call in calls]),
        "total_cached_tokens": total([call["cache_read_tokens"] for call in calls]),
        "total_cost_usd": None if cost is None else float(cost),
        "total_steps": steps,
    }


def _known(value: Any) -> Any:
    """Return the value without fields that are None."""
    if isinstance(value, dict):
        return {name: _known(each) for name, each in value.items() if each is not None}
    return [_known(each) for each in value] if isinstance(value, list) else value
