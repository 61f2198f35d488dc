"""GitHub Copilot CLI's sessions: `~/.copilot/session-state/<session>/events.jsonl`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from session_widgets._store.formats.contract import (
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
    count_of,
    text_block,
    time_of,
)
from session_widgets.transcript.envelopes import as_number, as_object, as_objects, as_text
from session_widgets.transcript.records import Json, StepFailure

_KINDS = {
    **dict.fromkeys(("bash", "powershell", "read_bash", "write_bash", "stop_bash"), "execute"),
    **dict.fromkeys(("view",), "read"),
    **dict.fromkeys(("create", "edit", "str_replace_editor", "apply_patch"), "edit"),
    **dict.fromkeys(("grep", "glob"), "search"),
    **dict.fromkeys(("web_fetch", "web_search"), "fetch"),
    **dict.fromkeys(("task", "update_todo", "report_intent"), "think"),
}


class Copilot(Format):
    """Copilot's event lines."""

    name = "copilot"

    def sniff(self, head: Head) -> bool:
        """Whether the first line starts a session."""
        return any(
            as_text(value.get("type")) == "session.start" and "sessionId" in as_object(value.get("data"))
            for value in head.objects[:1]
        )

    def read(self, records: Iterable[Record], source: Source) -> Iterator[Entry]:
        """Turn events into entries."""
        native = source.stem
        for record in records:
            value = as_object(record.value)
            said, kind = as_object(value.get("data")), as_text(value.get("type"))
            where: dict[str, Any] = {
                "line": record.line,
                "at": time_of(value.get("timestamp")),
                "uid": as_text(value.get("id")),
                "parent_uid": as_text(value.get("parentId")),
            }
            if kind == "session.start":
                native = as_text(said.get("sessionId")) or native
                yield SessionFacts(
                    line=record.line,
                    at=where["at"],
                    native_id=native,
                    harness="copilot",
                    harness_version=as_text(said.get("copilotVersion")),
                    cwd=as_text(as_object(said.get("context")).get("cwd")),
                )
            elif kind == "session.model_change":
                yield SessionFacts(
                    line=record.line, at=where["at"], native_id=native, model=as_text(said.get("newModel"))
                )
            elif kind == "user.message":
                yield Prompt(**where, blocks=[{"type": "text", "text": as_text(said.get("content")) or ""}])
            elif kind == "assistant.message":
                yield from _message(where, said)
            elif kind == "session.usage_record":
                yield _usage(where, as_object(said.get("usage")), native)
            elif kind == "tool.execution_complete":
                yield from _result(where, said)
            elif kind == "abort":
                yield TurnEnd(line=record.line, at=where["at"], status="cancelled", stop_reason="cancelled")
            elif kind == "session.error":
                yield Said(**where, kind="error", text=as_text(said.get("message")) or "error")


def _message(where: dict[str, Any], said: Json) -> Iterator[Entry]:
    call_id = as_text(said.get("apiCallId"))
    if thought := as_text(said.get("reasoningText")):
        yield Said(**where, kind="thought", text=thought, call_id=call_id)
    if (text := as_text(said.get("content"))) and text.strip():
        yield Said(**where, kind="message", text=text, call_id=call_id)
    for call in as_objects(said.get("toolRequests")):
        name, given = as_text(call.get("name")) or "unknown", as_object(call.get("arguments"))
        path = as_text(given.get("path"))
        detail = as_text(given.get("command")) or path or as_text(given.get("pattern")) or ""
        yield ToolCall(
            **where,
            tool_call_id=as_text(call.get("toolCallId")) or f"{where['uid']}/{name}",
            name=name,
            kind=_KINDS.get(name, "other"),
            title=f"{name} {detail}".strip()[:200],
            raw_input=call.get("arguments"),
            paths=[path] if path else (),
            call_id=call_id,
        )


def _result(where: dict[str, Any], said: Json) -> Iterator[Entry]:
    tool_call_id = as_text(said.get("toolCallId"))
    if tool_call_id is None:
        return
    error = as_object(said.get("error"))
    text = as_text(as_object(said.get("result")).get("content")) or as_text(error.get("message")) or ""
    code = count_of(as_object(said.get("shellExecution")).get("exitCode"))
    failure: StepFailure | None = "error" if said.get("success") is False or code else None
    if error.get("code") in {"denied", "rejected"}:
        failure = "rejected"
    yield ToolResult(
        **where,
        tool_call_id=tool_call_id,
        content=[text_block(text)] if text else [],
        failure=failure,
        exit_code=code,
    )


def _usage(where: dict[str, Any], usage: Json, native: str) -> ModelCall:
    names = ("inputTokens", "cacheReadTokens", "cacheWriteTokens", "outputTokens", "reasoningTokens")
    given, read, written, output, reasoning = (count_of(usage.get(name)) for name in names)
    ttft, duration = as_number(usage.get("timeToFirstTokenMs")), as_number(usage.get("duration"))
    known = usage.get("cacheDetailsReported") is not False
    return ModelCall(
        **where,
        call_id=as_text(usage.get("apiCallId")) or f"{native}/{where['uid']}",
        provider=as_text(usage.get("modelProvider")),
        model=as_text(usage.get("model")),
        uncached=None if given is None else max(given - (read or 0) - (written or 0), 0),
        read=read if known else None,
        written=written if known else None,
        output=output,
        reasoning=reasoning,
        stop_reason=as_text(usage.get("finishReason")),
        ttft_s=None if ttft is None else ttft / 1000,
        duration_s=None if duration is None else duration / 1000,
    )
