"""Writes a session as an Inspect `.eval` log with one sample, which `inspect_ai.log.read_eval_log` reads."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from session_widgets._store.formats.contract import WholeSession
from session_widgets._store.formats.writers.answers import (
    Answer,
    arguments_of,
    has_failed,
    id_of,
    iso,
    name_of,
    parts,
    result_of,
    total_input,
)
from session_widgets.transcript.records import Step

_OLD = (1980, 1, 1, 0, 0, 0)
"""Time of the members, so that the same session gives the same bytes."""


def write(session: WholeSession) -> Iterator[bytes]:
    """Yield the archive."""
    record = session.session
    messages, events = _told(session)
    begun, ended = iso(record.created_at), iso(record.updated_at)
    model = record.model or "unknown"
    usage = _usage(session)
    first = next((message["content"] for message in messages if message["role"] == "user"), "")
    last = next((message for message in reversed(messages) if message["role"] == "assistant"), None)
    output = {
        "model": model,
        "choices": [{"message": last, "stop_reason": "tool_calls" if last.get("tool_calls") else "stop"}]
        if last
        else [],
    }
    errors = [turn.error for turn in session.turns if turn.status == "failed" and turn.error]
    sample = {
        "id": record.id,
        "epoch": 1,
        "input": first,
        "target": "",
        "messages": messages,
        "output": output,
        "scores": {},
        "metadata": {"harness": record.harness, "turns": len(session.turns)},
        "store": {},
        "events": events,
        "events_data": {"messages": messages, "calls": []},
        "model_usage": usage,
        "uuid": id_of(record.id, "sample"),
        "attachments": {},
    }
    if errors:
        sample["error"] = {"message": errors[-1], "traceback": "", "traceback_ansi": ""}
    spec = {
        "eval_id": id_of(record.id, "eval"),
        "run_id": id_of(record.id, "run"),
        "created": begun,
        "task": record.title or record.id,
        "task_id": id_of(record.id, "task"),
        "task_version": 0,
        "task_attribs": {},
        "task_args": {},
        "dataset": {"name": "session", "samples": 1, "sample_ids": [record.id], "shuffled": False},
        "model": model,
        "model_args": {},
        "config": {"epochs": 1},
        "packages": {},
        "metadata": {"session": record.id, "harness": record.harness, "harness_version": session.harness_version},
    }
    plan = {"name": "plan", "steps": [], "config": {}}
    header = {
        "version": 2,
        "status": "success",
        "eval": spec,
        "plan": plan,
        "results": {"total_samples": 1, "completed_samples": 1, "scores": []},
        "stats": {"started_at": begun, "completed_at": ended, "model_usage": usage},
    }
    summary = {name: sample[name] for name in ("id", "epoch", "input", "target", "scores", "model_usage", "uuid")}
    summary |= {"completed": True, "message_count": len(messages)}
    members = {
        "_journal/start.json": {"version": 2, "eval": spec, "plan": plan},
        f"samples/{record.id}_epoch_1.json": sample,
        "_journal/summaries/1.json": [summary],
        "summaries.json": [summary],
        "header.json": header,
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in members.items():
            archive.writestr(zipfile.ZipInfo(name, _OLD), orjson.dumps(value), zipfile.ZIP_DEFLATED)
    yield packed.getvalue()


def _told(session: WholeSession) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the messages, and the events of model and tools; the input of a model is the messages before its own."""
    own = [step for step in session.steps if step.parent is None]
    messages: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for number, part in enumerate(parts(session, own), 1):
        name = id_of(session.session.id, "message", number)
        if isinstance(part, Answer):
            said = _assistant(name, session, part)
            events.append(_model_event(session, part, said, len(messages)))
            messages.append(said)
            for step in part.tools:
                messages.append(_result(id_of(name, step.index), step))
                events.append(_tool_event(session, id_of(name, step.index, "tool"), step))
        elif part.kind == "user":
            messages.append({"id": name, "role": "user", "content": part.text or "", "source": "input"})
        elif part.text:
            messages.append({"id": name, "role": "system", "content": part.text})
    if messages and (not events or messages[-1]["role"] != "assistant"):
        events.append(_unanswered(session, len(messages)))
    return messages, events


def _unanswered(session: WholeSession, before: int) -> dict[str, Any]:
    """Return a call without an answer: Inspect finds messages only in the calls of a model."""
    record = session.session
    return {
        "event": "model",
        "uuid": id_of(record.id, "unanswered"),
        "timestamp": iso(record.updated_at),
        "working_start": max(0.0, (record.updated_at - record.created_at).total_seconds()),
        "model": record.model or "unknown",
        "input": [],
        "input_refs": [[0, before]],
        "tools": [],
        "tool_choice": "auto",
        "config": {},
        "output": {"model": record.model or "unknown", "choices": []},
    }


def _result(name: str, step: Step) -> dict[str, Any]:
    return {
        "id": name,
        "role": "tool",
        "content": result_of(step),
        "tool_call_id": _call_id(step),
        "function": name_of(step),
        **({"error": _error(step)} if has_failed(step) else {}),
    }


def _error(step: Step) -> dict[str, Any]:
    return {"type": "unknown", "message": result_of(step)[:2000] or str(step.failure or step.status)}


def _call_id(step: Step) -> str:
    return step.tool_call_id or f"{step.turn}/{step.index}"


def _place(session: WholeSession, step: Step) -> dict[str, Any]:
    began = max(0.0, (step.started_at - session.session.created_at).total_seconds())
    ended = step.ended_at or step.started_at
    return {"timestamp": iso(step.started_at), "working_start": began, "completed": iso(ended)}


def _model_event(session: WholeSession, answer: Answer, said: dict[str, Any], before: int) -> dict[str, Any]:
    call, model = answer.call or {}, said["model"] or "unknown"
    stop = "tool_calls" if said.get("tool_calls") else "stop"
    output = {"model": model, "choices": [{"message": said, "stop_reason": stop}]}
    if call and (usage := _figures(call)):
        output["usage"] = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0, **usage}
    return {
        "event": "model",
        "uuid": id_of(said["id"], "event"),
        **_place(session, answer.steps[0]),
        "model": model,
        "input": [],
        "input_refs": [[0, before]] if before else [],
        "tools": [],
        "tool_choice": "auto",
        "config": {},
        "output": output,
    }


def _tool_event(session: WholeSession, name: str, step: Step) -> dict[str, Any]:
    return {
        "event": "tool",
        "type": "function",
        "uuid": name,
        **_place(session, step),
        "id": _call_id(step),
        "function": name_of(step),
        "arguments": arguments_of(step),
        "result": result_of(step),
        "events": [],
        **({"error": _error(step)} if has_failed(step) else {}),
    }


def _assistant(name: str, session: WholeSession, answer: Answer) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if thought := answer.text("thought"):
        content.append({"type": "reasoning", "reasoning": thought})
    content.append({"type": "text", "text": answer.text("message")})
    calls = [
        {
            "id": _call_id(step),
            "function": name_of(step),
            "arguments": arguments_of(step),
            "type": "function",
        }
        for step in answer.tools
    ]
    model = (answer.call or {}).get("model") or session.session.model
    said = {"id": name, "role": "assistant", "content": content, "source": "generate", "model": model}
    return {**said, **({"tool_calls": calls} if calls else {})}


def _usage(session: WholeSession) -> dict[str, dict[str, Any]]:
    used: dict[str, dict[str, Any]] = {}
    for call in session.calls.values():
        one = used.setdefault(call["model"] or session.session.model or "unknown", {})
        for field, value in _figures(call).items():
            one[field] = one.get(field, 0) + value
    return {model: {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0, **one} for model, one in used.items()}


def _figures(call: Mapping[str, Any]) -> dict[str, int]:
    """Return the known tokens of a call."""
    given = total_input(call)
    total = None if given is None or call["output_tokens"] is None else given + call["output_tokens"]
    figures = {
        "input_tokens": call["input_uncached_tokens"],
        "output_tokens": call["output_tokens"],
        "input_tokens_cache_read": call["cache_read_tokens"],
        "input_tokens_cache_write": call["cache_write_tokens"],
        "reasoning_tokens": call["reasoning_tokens"],
        "total_tokens": total,
    }
    return {field: value for field, value in figures.items() if value is not None}
