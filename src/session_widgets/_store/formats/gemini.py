"""Gemini CLI's chats: `~/.gemini/tmp/<project>/chats/session-*.jsonl`, and older ones as one JSON document.

A message is written again with its id when it changes, the last one counts; `$set` replaces fields of the whole chat.
Tool calls may stand in an earlier message than they belong to, so everything is sorted by time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar

from session_widgets._store.formats import google_messages
from session_widgets._store.formats.contract import (
    Changed,
    Entry,
    Format,
    Head,
    Layout,
    ModelCall,
    Prompt,
    Record,
    Said,
    SessionFacts,
    Source,
    ToolCall,
    ToolResult,
    count_of,
    time_of,
)
from session_widgets.transcript.envelopes import as_object, as_objects, as_text
from session_widgets.transcript.records import Json, StepFailure

_CONTEXT = ("<session_context>", "This is the Gemini CLI.")


class Gemini(Format):
    """Gemini CLI's chat lines."""

    name = "gemini"

    def sniff(self, head: Head) -> bool:
        """Whether the first line is the head of a chat."""
        return any(
            "sessionId" in value and "projectHash" in value and "messages" not in value for value in head.objects[:1]
        )

    def read(self, records: Iterable[Record], source: Source) -> Iterator[Entry]:
        """Turn records into entries: of each message the last version, at the place of the first."""
        facts: dict[str, Any] = {}
        messages: dict[str, tuple[int, Json]] = {}
        line = 1
        for record in records:
            value, line = as_object(record.value), record.line
            changed = as_object(value.get("$set"))
            if "sessionId" in value:
                facts = {**facts, **value}
            for number, message in enumerate(as_objects(changed.get("messages"))):
                messages[as_text(message.get("id")) or f"{line}/{number}"] = (line, message)
            if changed:
                facts |= {name: each for name, each in changed.items() if name != "messages"}
            elif "type" in value:
                uid = as_text(value.get("id")) or str(line)
                messages[uid] = (messages[uid][0] if uid in messages else line, value)
        yield from _chat(line, facts, messages, source)


class GeminiDocument(Format):
    """An older chat of Gemini CLI as one document."""

    name = "gemini-document"
    layout: ClassVar[Layout] = "document"

    def sniff(self, head: Head) -> bool:
        """Whether it is a chat with its messages."""
        return b'"projectHash"' in head.start and isinstance(as_object(head.document).get("messages"), list)

    def kind(self, value: Any) -> str | None:
        """Return "chat"."""
        return "chat"

    def read(self, records: Iterable[Record], source: Source) -> Iterator[Entry]:
        """Turn the document into entries."""
        for record in records:
            said = as_object(record.value)
            messages = {
                as_text(message.get("id")) or str(number): (record.line, message)
                for number, message in enumerate(as_objects(said.get("messages")))
            }
            yield from _chat(record.line, said, messages, source)


def _chat(line: int, facts: Json, messages: dict[str, tuple[int, Json]], source: Source) -> Iterator[Entry]:
    native = as_text(facts.get("sessionId")) or source.stem
    yield SessionFacts(
        line=line,
        at=time_of(facts.get("startTime")),
        native_id=native,
        harness="gemini",
        title=as_text(facts.get("summary")),
    )
    entries: list[Entry] = []
    for uid, (place, message) in messages.items():
        entries += _said(place, uid, message, native)
    last, times = datetime.min.replace(tzinfo=UTC), {}
    for number, entry in enumerate(entries):
        last = times[number] = entry.at or last
    yield from (entries[number] for number in sorted(times, key=times.__getitem__))


def _said(place: int, uid: str, message: Json, native: str) -> Iterator[Entry]:
    where: dict[str, Any] = {"line": place, "at": time_of(message.get("timestamp")), "uid": uid}
    kind, text = as_text(message.get("type")), google_messages.text_of(message.get("content"))
    if kind == "user":
        if text.startswith(_CONTEXT):
            yield Said(**where, kind="notice", text=text)
        elif text.strip():
            yield Prompt(**where, blocks=[{"type": "text", "text": text}])
    elif kind == "gemini":
        yield from _answer(where, message, native, uid, text)
    elif kind in {"info", "error", "warning"} and text:
        yield Said(**where, kind="error" if kind == "error" else "notice", text=text)


def _answer(where: dict[str, Any], message: Json, native: str, uid: str, text: str) -> Iterator[Entry]:
    call_id = f"{native}/{uid}"
    tokens = as_object(message.get("tokens"))
    if tokens:
        yield _usage(where, call_id, tokens, as_text(message.get("model")))
    for thought in as_objects(message.get("thoughts")):
        said = "\n".join(each for name in ("subject", "description") if (each := as_text(thought.get(name))))
        if said:
            yield Said(**where, kind="thought", text=said, call_id=call_id)
    if text.strip():
        yield Said(**where, kind="message", text=text, call_id=call_id)
    for call in as_objects(message.get("toolCalls")):
        yield from _tool(where, call, call_id)


def _tool(where: dict[str, Any], call: Json, call_id: str) -> Iterator[Entry]:
    name, given = as_text(call.get("name")) or "unknown", as_object(call.get("args"))
    path, tool_call_id = google_messages.path_of(given), as_text(call.get("id")) or f"{where['uid']}/{call.get('name')}"
    kind = google_messages.KINDS.get(name, "other")
    at = time_of(call.get("timestamp")) or where["at"]
    yield ToolCall(
        **{**where, "at": at},
        tool_call_id=tool_call_id,
        name=name,
        kind=kind,
        title=google_messages.title_of(name, given),
        raw_input=call.get("args"),
        paths=[path] if path else (),
        call_id=call_id,
    )
    status = as_text(call.get("status"))
    if status not in {"success", "error", "cancelled"}:
        return
    text, failed = google_messages.answer_of(call.get("result"))
    code = google_messages.exit_code_of(text) if kind == "execute" else None
    failure: StepFailure | None = "error" if status == "error" or failed or code else None
    if status == "cancelled":
        failure = "rejected"
    display = as_object(call.get("resultDisplay"))
    yield ToolResult(
        line=where["line"],
        at=at,
        tool_call_id=tool_call_id,
        content=google_messages.content_of(display if failure is None else {}, text),
        failure=failure,
        exit_code=code,
    )
    if kind == "edit" and path and failure is None:
        created = not as_text(display.get("originalContent"))
        yield Changed(line=where["line"], at=at, path=path, change="created" if created else "modified")


def _usage(where: dict[str, Any], call_id: str, tokens: Json, model: str | None) -> ModelCall:
    given, cached, output, thoughts = (count_of(tokens.get(name)) for name in ("input", "cached", "output", "thoughts"))
    if not any((given, cached, output, thoughts)):
        remark = "the provider reported 0 tokens for an answer"
        return ModelCall(**where, call_id=call_id, provider="google", model=model, quality="placeholder", remark=remark)
    return ModelCall(
        **where,
        call_id=call_id,
        provider="google",
        model=model,
        uncached=None if given is None else max(given - (cached or 0), 0),
        read=cached,
        output=None if output is None else output + (thoughts or 0),
        reasoning=thoughts,
    )
