"""Writes a session as OpenTelemetry's GenAI spans in OTLP JSON: `invoke_agent` a turn, `chat` a model call, tools."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from session_widgets._store.formats.contract import WholeSession
from session_widgets._store.formats.writers.answers import (
    Answer,
    arguments_of,
    has_failed,
    name_of,
    parts,
    result_of,
    total_input,
)
from session_widgets.transcript.records import Json, Step, TurnRecord

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTERNAL, _CLIENT = 1, 3
_STOPS = {"end_turn": "stop", "max_tokens": "length", "refusal": "content_filter"}


def write(session: WholeSession) -> Iterator[bytes]:
    """Yield the document."""
    asked: list[Json] = []
    spans = [span for turn in session.turns for span in _turn(session, turn, asked)]
    resource = _attributes({
        "service.name": session.session.harness or "unknown", "service.version": session.harness_version,
    })  # fmt: skip
    scope = {"scope": {"name": "session_widgets"}, "spans": spans}
    document = {"resourceSpans": [{"resource": {"attributes": resource}, "scopeSpans": [scope]}]}
    yield orjson.dumps(document) + b"\n"


def _turn(session: WholeSession, turn: TurnRecord, asked: list[Json]) -> Iterator[Json]:
    """Yield the spans of a turn; `asked` are the prompts so far, which each first request repeats."""
    record = session.session
    trace = _hex(32, record.id, turn.index)
    root = _hex(16, record.id, turn.index, "turn")
    steps = [step for step in session.steps if step.turn == turn.index and step.parent is None]
    prompt = "\n".join(step.text or "" for step in steps if step.kind == "user")
    common = {"gen_ai.conversation.id": record.agent_session_id or record.id}
    about = {
        **common,
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": record.harness or "unknown",
        "gen_ai.agent.version": session.harness_version,
        "gen_ai.request.model": turn.model,
    }
    ended = turn.ended_at or turn.started_at
    yield _span(trace, root, None, f"invoke_agent {record.harness}", _INTERNAL, turn.started_at, ended, about,
                turn.error if turn.status == "failed" else None)  # fmt: skip
    if prompt:
        asked.append(_message("user", [{"type": "text", "content": prompt}]))
    answers = [part for part in parts(session, steps) if isinstance(part, Answer)]
    for number, answer in enumerate(answers):
        call = answer.call or {}
        final = number == len(answers) - 1 and not answer.tools
        stop = _STOPS.get(turn.stop_reason or "", "stop") if final else "tool_call" if answer.tools else "stop"
        fields = {
            **common,
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": call.get("provider") or "unknown",
            "gen_ai.request.model": call.get("model_requested") or call.get("model") or turn.model,
            "gen_ai.response.model": call.get("model"),
            "gen_ai.response.id": answer.call_id or f"{record.id}/{turn.index}/{number}",
            "gen_ai.response.finish_reasons": [stop],
            "gen_ai.usage.input_tokens": total_input(call) if call else None,
            "gen_ai.usage.cache_read.input_tokens": call.get("cache_read_tokens"),
            "gen_ai.usage.cache_creation.input_tokens": call.get("cache_write_tokens"),
            "gen_ai.usage.output_tokens": call.get("output_tokens"),
            "gen_ai.usage.reasoning.output_tokens": call.get("reasoning_tokens"),
            "gen_ai.input.messages": orjson.dumps(asked).decode() if number == 0 and asked else None,
            "gen_ai.output.messages": orjson.dumps([_said(answer, stop)]).decode(),
        }
        name = _hex(16, record.id, turn.index, number)
        first, last = answer.steps[0], answer.steps[-1]
        texts = [step for step in answer.steps if step.kind != "tool_call"] or [first]
        yield _span(trace, name, root, f"chat {turn.model or ''}".strip(), _CLIENT, first.started_at,
                    max(step.started_at if step is not last else step.ended_at for step in texts), fields)  # fmt: skip
        for step in answer.tools:
            yield _tool(trace, root, record.id, common, step)


def _said(answer: Answer, stop: str) -> dict[str, Any]:
    said: list[dict[str, Any]] = []
    for step in answer.steps:
        if step.kind == "tool_call":
            call = {"id": _id(step), "name": name_of(step), "arguments": arguments_of(step)}
            said.append({"type": "tool_call", **call})
        else:
            kind = "reasoning" if step.kind == "thought" else "text"
            said.append({"type": kind, "content": step.text or ""})
    return {**_message("assistant", said), "finish_reason": stop}


def _tool(trace: str, root: str, session_id: str, common: Json, step: Step) -> Json:
    fields = {
        **common,
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": name_of(step),
        "gen_ai.tool.call.id": _id(step),
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.arguments": orjson.dumps(arguments_of(step)).decode(),
        "gen_ai.tool.call.result": result_of(step),
    }
    error = (step.failure or step.status) if has_failed(step) else None
    name = _hex(16, session_id, step.turn, "step", step.index)
    return _span(trace, name, root, f"execute_tool {name_of(step)}", _INTERNAL, step.started_at, step.ended_at,
                 {**fields, "error.type": error}, error)  # fmt: skip


def _id(step: Step) -> str:
    return step.tool_call_id or f"{step.turn}/{step.index}"


def _message(role: str, said: list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": role, "parts": said}


def _span(
    trace: str, span: str, parent: str | None, name: str, kind: int, start: datetime, end: datetime,
    fields: Mapping[str, Any], error: str | None = None,
) -> Json:  # fmt: skip
    made = {
        "traceId": trace,
        "spanId": span,
        "parentSpanId": parent,
        "name": name,
        "kind": kind,
        "startTimeUnixNano": _nanos(start),
        "endTimeUnixNano": _nanos(max(start, end)),
        "attributes": _attributes(fields),
        "status": {"code": 2, "message": error} if error else {"code": 1},
    }
    return {key: value for key, value in made.items() if value is not None}


def _attributes(fields: Mapping[str, Any]) -> list[Json]:
    return [{"key": key, "value": _value(value)} for key, value in fields.items() if value is not None]


def _value(value: Any) -> Json:
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(each) for each in value]}}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": str(value)}


def _nanos(at: datetime) -> str:
    grown = at - _EPOCH
    return str(((grown.days * 86_400 + grown.seconds) * 1_000_000 + grown.microseconds) * 1_000)


def _hex(digits: int, *names: object) -> str:
    return hashlib.sha256("/".join(map(str, names)).encode()).hexdigest()[:digits]
