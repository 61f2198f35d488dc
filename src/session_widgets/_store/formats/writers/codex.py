"""Writes a session as a rollout of Codex, which `codex resume` continues.

The file belongs into `~/.codex/sessions/YYYY/MM/DD/rollout-<time>-<session id>.jsonl`. Thoughts are only shown,
not given to the model, which accepts only its own encrypted ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson

from session_widgets._store.formats.contract import WholeSession
from session_widgets._store.formats.writers.answers import (
    Answer,
    arguments_of,
    has_failed,
    iso,
    name_of,
    native_id,
    parts,
    result_of,
    total_input,
)
from session_widgets.transcript.records import Step

VERSION = "0.137.0"
"""Of Codex, for a session of another program."""
_TOTALS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens", "total_tokens")


def write(session: WholeSession) -> Iterator[bytes]:
    """Yield the lines."""
    record = session.session
    own = record.harness == "codex" and session.harness_version
    meta = {
        "id": native_id(session),
        "timestamp": iso(record.created_at),
        "cwd": record.workspace or "/",
        "originator": "session_widgets",
        "cli_version": session.harness_version if own else VERSION,
        "source": "cli",
        "instructions": None,
        "git": {"branch": session.git_branch} if session.git_branch else None,
    }
    yield _line(record.created_at, "session_meta", meta)
    sums = dict.fromkeys(_TOTALS, 0)
    ended = {turn.index: turn for turn in session.turns}
    begun: int | None = None
    last: datetime = record.created_at
    for part in parts(session, [step for step in session.steps if step.parent is None]):
        first = part.steps[0] if isinstance(part, Answer) else part
        if begun not in (None, first.turn):
            yield from _end(ended.get(begun or 0), last)
        begun = first.turn
        last = first.ended_at
        if isinstance(part, Answer):
            yield from _answer(part)
            last = part.steps[-1].ended_at
            if part.call is not None and (used := _used(part.call)):
                sums = {name: sums[name] + used[name] for name in _TOTALS}
                info = {"total_token_usage": sums, "last_token_usage": used, "model_context_window": None}
                yield _event(last, "token_count", info=info, rate_limits=None)
        elif part.kind == "user":
            content = [{"type": "input_text", "text": part.text or ""}]
            yield _item(part.started_at, {"type": "message", "role": "user", "content": content})
            yield _event(part.started_at, "user_message", message=part.text or "", images=[], local_images=[],
                         text_elements=[])  # fmt: skip
        elif part.kind == "compaction":
            yield _line(part.started_at, "compacted", {"message": part.text or ""})
    yield from _end(ended.get(begun or 0), last)


def _end(turn: Any, at: datetime) -> Iterator[bytes]:
    if turn is None or turn.status in {"running", "unfinished"}:
        return
    if turn.status == "cancelled":
        yield _event(at, "turn_aborted", reason="interrupted")
    else:
        yield _event(at, "task_complete", turn_id=str(turn.index), last_agent_message=None)


def _answer(answer: Answer) -> Iterator[bytes]:
    for step in answer.steps:
        if step.kind == "message":
            content = [{"type": "output_text", "text": step.text or ""}]
            yield _item(step.started_at, {"type": "message", "role": "assistant", "content": content})
            yield _event(step.started_at, "agent_message", message=step.text or "")
        elif step.kind == "thought":
            yield _event(step.started_at, "agent_reasoning", text=step.text or "")
        else:
            yield from _call(step)


def _call(step: Step) -> Iterator[bytes]:
    call_id = step.tool_call_id or f"call_{step.turn}_{step.index}"
    given = orjson.dumps(arguments_of(step)).decode()
    yield _item(
        step.started_at, {"type": "function_call", "name": name_of(step), "arguments": given, "call_id": call_id}
    )
    output = result_of(step)
    if step.exit_code is not None:
        output = f"Exit code: {step.exit_code}\nOutput:\n{output}"
    elif has_failed(step) and not output:
        output = "The call failed."
    yield _item(step.ended_at, {"type": "function_call_output", "call_id": call_id, "output": output})


def _used(call: Mapping[str, Any]) -> dict[str, int] | None:
    given, output = total_input(call), call["output_tokens"]
    if given is None and output is None:
        return None
    return {
        "input_tokens": given or 0,
        "cached_input_tokens": call["cache_read_tokens"] or 0,
        "output_tokens": output or 0,
        "reasoning_output_tokens": call["reasoning_tokens"] or 0,
        "total_tokens": (given or 0) + (output or 0),
    }


def _item(at: datetime, item: Mapping[str, Any]) -> bytes:
    return _line(at, "response_item", item)


def _event(at: datetime, kind: str, **fields: Any) -> bytes:
    return _line(at, "event_msg", {"type": kind, **fields})


def _line(at: datetime, kind: str, payload: Mapping[str, Any]) -> bytes:
    known = {name: value for name, value in payload.items() if value is not None or name in {"info", "rate_limits"}}
    return orjson.dumps({"timestamp": iso(at), "type": kind, "payload": known}) + b"\n"
