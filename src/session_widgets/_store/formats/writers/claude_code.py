"""Writes a session as Claude Code's JSON lines, which `claude --resume` continues.

The file belongs into `~/.claude/projects/<folder>/<session id>.jsonl`. Thoughts are left out: only those that Anthropic
signed are valid in a conversation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
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
    native_id,
    parts,
    result_of,
)
from session_widgets.transcript.records import Step

VERSION = "2.0.0"
"""Of Claude Code, for a session of another program."""
_TOOLS = {"execute": "Bash", "read": "Read", "edit": "Edit", "search": "Grep", "fetch": "WebFetch"}
_ALLOWED = re.compile(r"[^A-Za-z0-9_-]")


def write(session: WholeSession) -> Iterator[bytes]:
    """Yield the lines."""
    lines = _Lines(session)
    own = [step for step in session.steps if step.parent is None]
    for part in parts(session, own):
        if isinstance(part, Answer):
            yield from lines.answer(part)
        elif part.kind == "user":
            yield lines.line("user", part.started_at, {"role": "user", "content": part.text or ""})
        elif part.kind == "compaction":
            said = {"role": "user", "content": part.text or ""}
            yield lines.line("user", part.started_at, said, isCompactSummary=True)


class _Lines:
    def __init__(self, session: WholeSession) -> None:
        self._session = session
        self._id = native_id(session)
        self._parent: str | None = None
        self._count = 0
        imported = session.session.harness == "claude" and session.harness_version
        self._version = session.harness_version if imported else VERSION

    def line(self, kind: str, at: datetime, message: Mapping[str, Any], **more: Any) -> bytes:
        """Return a record that follows the last one."""
        self._count += 1
        record = {
            "parentUuid": self._parent,
            "isSidechain": False,
            "userType": "external",
            "cwd": self._session.session.workspace or "/",
            "sessionId": self._id,
            "version": self._version,
            "gitBranch": self._session.git_branch or "",
            "type": kind,
            "message": message,
            "uuid": id_of(self._id, self._count),
            "timestamp": iso(at),
            **more,
        }
        self._parent = record["uuid"]
        return orjson.dumps(record) + b"\n"

    def answer(self, answer: Answer) -> Iterator[bytes]:
        """Yield the records of one model call: a block each, and each result after its call."""
        name = answer.call_id or f"msg_{id_of(self._id, 'message', self._count).replace('-', '')[:24]}"
        blocks = [step for step in answer.steps if step.kind != "thought"]
        usage = _usage(answer)
        for step in blocks:
            tool = step.kind == "tool_call"
            last = step is blocks[-1]
            block = _tool(step, self._id) if tool else {"type": "text", "text": step.text or ""}
            message = {
                "id": name,
                "type": "message",
                "role": "assistant",
                "model": (answer.call or {}).get("model") or self._session.session.model or "unknown",
                "content": [block],
                "stop_reason": ("tool_use" if answer.tools else "end_turn") if last else None,
                "stop_sequence": None,
                "usage": usage,
            }
            yield self.line("assistant", step.started_at, message)
            if tool:
                result = {
                    "type": "tool_result",
                    "tool_use_id": _tool(step, self._id)["id"],
                    "content": result_of(step),
                    "is_error": has_failed(step),
                }
                yield self.line("user", step.ended_at, {"role": "user", "content": [result]})


def _tool(step: Step, native: str) -> dict[str, Any]:
    name = _ALLOWED.sub("_", step.tool_call_id or f"toolu_{id_of(native, step.turn, step.index).replace('-', '')[:24]}")
    tool = step.tool_name or _TOOLS.get(step.tool_kind or "", "Task" if step.tool_kind == "think" else name_of(step))
    return {"type": "tool_use", "id": name[:64], "name": tool, "input": arguments_of(step)}


def _usage(answer: Answer) -> dict[str, Any]:
    call = answer.call or {}
    return {
        "input_tokens": call.get("input_uncached_tokens") or 0,
        "cache_creation_input_tokens": call.get("cache_write_tokens") or 0,
        "cache_read_input_tokens": call.get("cache_read_tokens") or 0,
        "output_tokens": call.get("output_tokens") or 0,
    }
