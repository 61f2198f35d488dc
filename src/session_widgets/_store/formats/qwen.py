"""Qwen Code's chats: `~/.qwen/projects/<folder>/chats/<session>.jsonl`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from session_widgets._store.formats import google_messages
from session_widgets._store.formats.contract import (
    Abandoned,
    Changed,
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
    Tree,
    TurnEnd,
    count_of,
    time_of,
)
from session_widgets.transcript.envelopes import as_number, as_object, as_objects, as_text
from session_widgets.transcript.records import Json, StepFailure


class Qwen(Format):
    """Qwen Code's chat lines."""

    name = "qwen"

    def sniff(self, head: Head) -> bool:
        """Whether a line is a message in parts."""
        return any(
            {"uuid", "sessionId", "message"} <= value.keys() and "parts" in as_object(value.get("message"))
            for value in head.objects[:5]
        )

    def kind(self, value: Any) -> str | None:
        """Return `type`, with the subtype."""
        said = as_object(value)
        kind, more = as_text(said.get("type")), as_text(said.get("subtype"))
        return f"{kind}/{more}" if kind and more else kind

    def read(self, records: Iterable[Record], source: Source) -> Iterator[Entry]:
        """Turn records into entries."""
        native, tree, last = "", Tree(), 0
        answered: dict[str, Any] = {}
        edits: dict[str, str] = {}
        for record in records:
            value, last = as_object(record.value), record.line
            at, kind = time_of(value.get("timestamp")), as_text(value.get("type"))
            if not native:
                native = as_text(value.get("sessionId")) or source.stem
                version, cwd = as_text(value.get("version")), as_text(value.get("cwd"))
                yield SessionFacts(
                    line=record.line, at=at, native_id=native, harness="qwen", harness_version=version, cwd=cwd
                )
            uid, parent = as_text(value.get("uuid")), as_text(value.get("parentUuid"))
            tree.add(uid, parent, prompt=kind == "user")
            where: dict[str, Any] = {"line": record.line, "at": at, "uid": uid, "parent_uid": parent}
            if kind == "system":
                event = as_object(as_object(value.get("systemPayload")).get("uiEvent"))
                if event.get("event.name") == "qwen-code.api_response":
                    answered = dict(event)
            elif kind == "user":
                parts = as_objects(as_object(value.get("message")).get("parts"))
                yield Prompt(**where, blocks=[{"type": "text", "text": google_messages.text_of(parts)}])
            elif kind == "assistant":
                yield from _answer(where, value, native, answered, edits)
                answered = {}
            elif kind == "tool_result":
                yield from _result(where, value, edits)
        if left := tree.abandoned():
            yield Abandoned(line=last, uids=left)


def _answer(where: dict[str, Any], value: Json, native: str, event: Json, edits: dict[str, str]) -> Iterator[Entry]:
    call_id = as_text(event.get("response_id")) or f"{native}/{where['uid']}"
    usage = as_object(value.get("usageMetadata"))
    if usage:
        yield _usage(where, call_id, usage, as_text(value.get("model")), event)
    calls = 0
    for part in as_objects(as_object(value.get("message")).get("parts")):
        text, call = as_text(part.get("text")), as_object(part.get("functionCall"))
        if text and text.strip():
            yield Said(**where, kind="thought" if part.get("thought") else "message", text=text, call_id=call_id)
        elif call:
            calls += 1
            name, given = as_text(call.get("name")) or "unknown", as_object(call.get("args"))
            path, kind = google_messages.path_of(given), google_messages.KINDS.get(name, "other")
            tool_call_id = as_text(call.get("id")) or f"{where['uid']}/{calls}"
            if kind == "edit" and path:
                edits[tool_call_id] = path
            yield ToolCall(
                **where,
                tool_call_id=tool_call_id,
                name=name,
                kind=kind,
                title=google_messages.title_of(name, given),
                raw_input=call.get("args"),
                paths=[path] if path else (),
                call_id=call_id,
            )
    if not calls:
        yield TurnEnd(line=where["line"], at=where["at"])


def _result(where: dict[str, Any], value: Json, edits: dict[str, str]) -> Iterator[Entry]:
    parts, details = as_object(value.get("message")).get("parts"), as_object(value.get("toolCallResult"))
    named = next((as_object(part.get("functionResponse")) for part in as_objects(parts)), {})
    tool_call_id = as_text(details.get("callId")) or as_text(named.get("id"))
    if tool_call_id is None:
        return
    text, failed = google_messages.answer_of(parts)
    display = as_object(details.get("resultDisplay"))
    code = count_of(display.get("exitCode"))
    failure: StepFailure | None = "error" if as_text(details.get("status")) == "error" or failed or code else None
    if as_text(details.get("status")) == "cancelled":
        failure = "rejected"
    yield ToolResult(
        **where,
        tool_call_id=tool_call_id,
        content=google_messages.content_of(display if failure is None else {}, text),
        failure=failure,
        exit_code=code,
    )
    path = edits.pop(tool_call_id, None)
    if path and failure is None:
        created = not as_text(display.get("originalContent"))
        yield Changed(line=where["line"], at=where["at"], path=path, change="created" if created else "modified")


def _usage(where: dict[str, Any], call_id: str, usage: Json, model: str | None, event: Json) -> ModelCall:
    names = ("promptTokenCount", "cachedContentTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
    given, cached, output, thoughts = (count_of(usage.get(name)) for name in names)
    total = count_of(usage.get("totalTokenCount"))
    apart = total is not None and given is not None and total == given + (output or 0) + (thoughts or 0)
    ttft, duration = as_number(event.get("ttft_ms")), as_number(event.get("duration_ms"))
    return ModelCall(
        **where,
        call_id=call_id,
        model=model,
        uncached=None if given is None else max(given - (cached or 0), 0),
        read=cached,
        output=None if output is None else output + (thoughts or 0 if apart else 0),
        reasoning=thoughts,
        ttft_s=None if ttft is None else ttft / 1000,
        duration_s=None if duration is None else duration / 1000,
    )
