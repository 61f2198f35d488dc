"""Readers of ACP envelopes of any content: a value of the wrong type counts as absent."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from session_widgets.printing import printable
from session_widgets.transcript.records import Json

_EXIT_IN_WORDS = re.compile(r"\AExit code (\d{1,3})\b|\bCommand exited with code (\d{1,3})\s*\Z")
QUOTE_LIMIT = 2000
"""Limit of foreign output in a readable text, in characters."""


def as_text(value: object) -> str | None:
    """Return a string, or None for anything else."""
    return value if isinstance(value, str) else None


def as_object(value: object) -> Json:
    """Return a JSON object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def as_objects(value: object) -> tuple[Json, ...]:
    """Return the objects of a JSON array; none for anything else."""
    return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list | tuple) else ()


def as_texts(value: object) -> tuple[str, ...]:
    """Return the strings of a JSON array; none for anything else."""
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list | tuple) else ()


def as_number(value: object) -> float | None:
    """Return a number, or None for anything else, including true and false."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def as_time(value: object) -> datetime | None:
    """Return an ISO 8601 text as a time, by default in UTC; None for anything else."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def update_of(envelope: Json) -> Json:
    """Return the update of a `session/update` notification."""
    return as_object(as_object(envelope.get("params")).get("update"))


def is_of_subagent(envelope: Json, session_id: str | None) -> bool:
    """Whether an update that came in a turn names another session of the agent than `session_id`, the turn's."""
    named = as_text(as_object(envelope.get("params")).get("sessionId"))
    return bool(named and session_id) and named != session_id


def tool_fields(update: Json) -> dict[str, Any]:
    """Return a tool call's changed fields from an update, by the names of `Step`; absent or null fields are omitted."""
    fields: dict[str, Any] = {}
    for name, ours in (("title", "title"), ("kind", "tool_kind"), ("status", "status"), ("name", "tool_name")):
        if (text := as_text(update.get(name))) is not None:
            fields[ours] = text
    for name in ("content", "locations"):
        if isinstance(update.get(name), list):
            fields[name] = as_objects(update[name])
    for name, ours in (("rawInput", "raw_input"), ("rawOutput", "raw_output")):
        if update.get(name) is not None:
            fields[ours] = update[name]
    if fields.get("tool_kind") == "other" and fields.get("title") == "bash":
        fields["tool_kind"] = "execute"  # older Pi adapters report no kind for its shell
    if (code := _exit_code(update)) is not None:
        fields["exit_code"] = code
    if fields.get("status") == "completed" and _exit_of(fields.get("raw_output")) != 0:
        fields["status"] = "failed"
    return fields


def _exit_of(raw_output: object) -> object:
    """Return the exit code of a command as OpenCode or Copilot reports it: None if it was stopped, 0 by default."""
    told = as_object(raw_output)
    codes = [part["exitCode"] for part in as_objects(told.get("contents")) if "exitCode" in part]
    return codes[-1] if codes else as_object(told.get("metadata")).get("exit", 0)


def _exit_code(update: Json) -> int | None:
    """Return the exit code of a command from an agent's own field, or from its text (Claude Code, Pi)."""
    raw = update.get("rawOutput")
    told, terminal = as_object(raw), as_object(as_object(update.get("_meta")).get("terminal_exit"))
    parts = [part.get("exitCode") for part in as_objects(told.get("contents"))][-1:]
    for code in (
        told.get("exit_code"),
        told.get("exitCode"),
        as_object(told.get("metadata")).get("exit"),
        *parts,
        terminal.get("exit_code"),
    ):
        if isinstance(code, int) and not isinstance(code, bool) and abs(code) < 2**31:
            return code
    said = raw if isinstance(raw, str) else block_text(next(iter(as_objects(told.get("content"))), {}))
    found = _EXIT_IN_WORDS.search(said) if update.get("status") == "failed" else None
    return int(found[1] or found[2]) if found else None


def printed_by(update: Json) -> str:
    """Return a command's new output since the last update, as newer Codex adapters report it."""
    return as_text(as_object(as_object(update.get("_meta")).get("terminal_output_delta")).get("data")) or ""


def model_failed(update: Json, before: bool) -> bool:
    """Return whether the model has failed, as newer Codex adapters report it; `before` without a report."""
    thread = as_object(as_object(as_object(update.get("_meta")).get("codex")).get("threadStatus"))
    return thread.get("type") == "systemError" if "type" in thread else before


def permission_request_id(connection: str, rpc_id: object) -> str:
    """Return an id of an agent's request that is unique over all its processes."""
    return f"{connection}/{json.dumps(rpc_id)}"


def block_text(block: Json) -> str:
    """Return the text of an ACP content block, or a readable replacement such as "[image/png, 12 kB]"."""
    kind = as_text(block.get("type")) or "content"
    if kind == "text":
        return as_text(block.get("text")) or ""
    if kind == "resource":
        block = as_object(block.get("resource"))
    data = as_text(block.get("data")) or as_text(block.get("blob"))
    size = block.get("size")
    if data is not None:
        size = len(data) * 3 // 4 - data[-2:].count("=")
    elif (text := as_text(block.get("text"))) is not None:
        size = len(text.encode("utf-8", "replace"))
    words = [as_text(block.get("name")) or as_text(block.get("uri")), as_text(block.get("mimeType")), _bytes(size)]
    return f"[{', '.join(filter(None, words)) or kind}]"


def rpc_error_text(error: object) -> str:
    """Return the message of a JSON-RPC error object, printable, with the detail in its `data`."""
    body = as_object(error)
    message = as_text(body.get("message")) or "The agent answered with an error"
    data = body.get("data")
    detail = data if isinstance(data, str) else as_object(data).get("details") or as_object(data).get("message")
    more = f": {detail[:QUOTE_LIMIT]}" if isinstance(detail, str) and detail not in message else ""
    return printable(message + more)


def quote(value: object) -> str:
    """Return the end of foreign output, printable, on a separate line, or nothing."""
    text = value.strip() if isinstance(value, str) else ""
    return f"\n{printable(text[-QUOTE_LIMIT:])}" if text else ""


def _bytes(size: object) -> str | None:
    if not isinstance(size, int):
        return None
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.0f} {unit}"
    return f"{size} B"
