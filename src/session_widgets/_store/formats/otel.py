"""OpenTelemetry's GenAI spans in OTLP JSON: one document, or one export a line.

A conversation is a session, else a trace is. The history that each request repeats is skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import orjson

from session_widgets._store.formats.contract import (
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
    ToolResult,
    TurnEnd,
    WholeSession,
    count_of,
    text_block,
)
from session_widgets._store.formats.openai_messages import call_of
from session_widgets._store.formats.writers import otel as writer
from session_widgets.transcript.envelopes import as_object, as_objects, as_text, as_texts
from session_widgets.transcript.records import Json

_CALLS = frozenset({"chat", "generate_content", "text_completion"})
_STOPS = {"stop": "end_turn", "end_turn": "end_turn", "length": "max_tokens", "content_filter": "refusal"}
_VALUES = ("stringValue", "intValue", "doubleValue", "boolValue")


class Otel(Format):
    """One export of spans a line."""

    name = "otel"
    writes: ClassVar[bool] = True

    def sniff(self, head: Head) -> bool:
        """Whether a line has a GenAI span."""
        return any(_is_genai(value) for value in head.objects)

    def kind(self, value: Any) -> str | None:
        """Return "spans"."""
        return "spans"

    def read(self, records: Iterable[Record], source: Source) -> Iterator[Entry]:
        """Turn spans into entries, session by session, in the order of their times."""
        spans = [span for record in records for span in _spans(record)]
        sessions: dict[str, list[_Span]] = {}
        traces: dict[str, str] = {}
        for span in spans:
            if named := as_text(span.said.get("gen_ai.conversation.id")):
                traces.setdefault(span.trace, named)
        for span in spans:
            if span.kind:
                sessions.setdefault(traces.get(span.trace, span.trace) or source.stem, []).append(span)
        for native, own in sessions.items():
            yield from _Reader(native).read(sorted(own, key=lambda span: (span.start, span.end)))

    def write(self, session: WholeSession) -> Iterator[bytes]:
        """Yield the document, as one line."""
        return writer.write(session)


class OtelDocument(Otel):
    """One document of spans."""

    name = "otel-document"
    layout: ClassVar[Layout] = "document"

    def sniff(self, head: Head) -> bool:
        """Whether it has a GenAI span."""
        return b'"resourceSpans"' in head.start and b"gen_ai." in head.start and _is_genai(head.document)


def _is_genai(value: Any) -> bool:
    return any(span.kind for span in _spans(Record(1, value)))


class _Span:
    """A span; `kind` is its GenAI operation."""

    def __init__(self, line: int, span: Json, resource: Mapping[str, Any]) -> None:
        self.line = line
        self.said = _attributes(span.get("attributes"))
        self.resource = resource
        self.kind = as_text(self.said.get("gen_ai.operation.name")) or ""
        self.trace, self.uid = as_text(span.get("traceId")) or "", as_text(span.get("spanId"))
        self.parent = as_text(span.get("parentSpanId")) or None
        self.start, self.end = _nanos(span.get("startTimeUnixNano")), _nanos(span.get("endTimeUnixNano"))
        status = as_object(span.get("status"))
        self.failed = status.get("code") in (2, "STATUS_CODE_ERROR") or "error.type" in self.said
        self.message = as_text(status.get("message")) or as_text(self.said.get("error.type")) or "error"


def _spans(record: Record) -> Iterator[_Span]:
    for group in as_objects(as_object(record.value).get("resourceSpans")):
        resource = _attributes(as_object(group.get("resource")).get("attributes"))
        for scope in as_objects(group.get("scopeSpans")):
            for span in as_objects(scope.get("spans")):
                yield _Span(record.line, span, resource)


def _attributes(attributes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in as_objects(attributes):
        name, value = as_text(each.get("key")), as_object(each.get("value"))
        if name is None:
            continue
        if "arrayValue" in value:
            items = as_objects(as_object(value["arrayValue"]).get("values"))
            found[name] = [item.get("stringValue") for item in items]
        else:
            found[name] = next((value[kind] for kind in _VALUES if kind in value), None)
    return found


def _nanos(value: Any) -> int:
    try:
        return int(value) if isinstance(value, str | int) and 0 <= int(value) < 2**63 else 0
    except ValueError:
        return 0


def _time(nanos: int) -> datetime | None:
    return datetime.fromtimestamp(nanos / 1e9, UTC) if 0 < nanos < 1e20 / 1e3 else None


def _number(value: Any) -> int | None:
    """Return a count; OTLP writes 64-bit integers as text."""
    return count_of(_nanos(value)) if isinstance(value, str) and value.isdigit() else count_of(value)


def _decoded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except ValueError:
        return value


class _Reader:
    def __init__(self, native: str) -> None:
        self._native = native
        self._prompts = 0
        self._called: set[str] = set()
        self._answered: set[str] = set()

    def read(self, spans: Iterable[_Span]) -> Iterator[Entry]:
        for number, span in enumerate(spans):
            said = span.said
            if number == 0 or said.get("gen_ai.agent.name"):
                agent = as_text(said.get("gen_ai.agent.name")) or as_text(span.resource.get("service.name"))
                version = as_text(said.get("gen_ai.agent.version")) or as_text(span.resource.get("service.version"))
                yield SessionFacts(
                    line=span.line,
                    at=_time(span.start),
                    native_id=self._native,
                    harness=agent,
                    harness_version=version,
                )
            where: dict[str, Any] = {
                "line": span.line, "at": _time(span.end), "uid": span.uid, "parent_uid": span.parent,
            }  # fmt: skip
            if span.kind in _CALLS:
                yield from self._call(where, span)
            elif span.kind == "execute_tool":
                yield from self._tool(where, span)
            elif span.kind == "invoke_agent":
                yield from self._given({**where, "at": _time(span.start)}, said)

    def _given(self, where: dict[str, Any], said: Mapping[str, Any]) -> Iterator[Entry]:
        """Yield the new prompts and tool results among the messages of a request."""
        prompts = 0
        for message in as_objects(_decoded(said.get("gen_ai.input.messages"))):
            parts = as_objects(message.get("parts"))
            for part in parts:
                named = as_text(part.get("id"))
                if part.get("type") == "tool_call_response" and named and named not in self._answered:
                    self._answered.add(named)
                    result = part.get("response", part.get("result"))
                    content = [text_block(result if isinstance(result, str) else orjson.dumps(result).decode())]
                    yield ToolResult(**where, tool_call_id=named, content=content)
            texts = [text for part in parts if (text := as_text(part.get("content"))) and part.get("type") == "text"]
            if message.get("role") == "user" and texts:
                prompts += 1
                if prompts > self._prompts:
                    self._prompts = prompts
                    yield Prompt(**where, blocks=[{"type": "text", "text": text} for text in texts])

    def _call(self, where: dict[str, Any], span: _Span) -> Iterator[Entry]:
        said = span.said
        yield from self._given({**where, "at": _time(span.start)}, said)
        call_id = as_text(said.get("gen_ai.response.id")) or f"{span.trace}/{span.uid}"
        names = ("input_tokens", "cache_read.input_tokens", "cache_creation.input_tokens", "output_tokens")
        given, read, written, output = (_number(said.get(f"gen_ai.usage.{name}")) for name in names)
        reasoning = _number(said.get("gen_ai.usage.reasoning.output_tokens"))
        stops = as_texts(said.get("gen_ai.response.finish_reasons"))
        seconds = (span.end - span.start) / 1e9 if span.end > span.start > 0 else None
        yield ModelCall(
            **where,
            call_id=call_id,
            provider=as_text(said.get("gen_ai.provider.name")) or as_text(said.get("gen_ai.system")),
            model=as_text(said.get("gen_ai.response.model")) or as_text(said.get("gen_ai.request.model")),
            model_requested=as_text(said.get("gen_ai.request.model")),
            quality="none" if given is None and output is None else "final",
            uncached=None if given is None else max(given - (read or 0) - (written or 0), 0),
            read=read,
            written=written,
            output=output,
            reasoning=reasoning,
            stop_reason=next(iter(stops), None),
            duration_s=seconds,
        )
        for message in as_objects(_decoded(said.get("gen_ai.output.messages"))):
            for part in as_objects(message.get("parts")):
                kind, text = part.get("type"), as_text(part.get("content"))
                if kind in ("text", "reasoning") and text:
                    yield Said(
                        **where, kind="message" if kind == "text" else "thought", text=text, call_id=call_id
                    )  # fmt: skip
                elif kind == "tool_call":
                    named = as_text(part.get("id")) or f"{call_id}/{len(self._called)}"
                    self._called.add(named)
                    name = as_text(part.get("name")) or "unknown"
                    yield call_of(where, named, name, part.get("arguments"), call_id)
        if span.failed:
            yield Said(**where, kind="error", text=span.message)
        elif stops and stops[0] in _STOPS:
            yield TurnEnd(line=span.line, at=where["at"], stop_reason=_STOPS[stops[0]])

    def _tool(self, where: dict[str, Any], span: _Span) -> Iterator[Entry]:
        said = span.said
        named = as_text(said.get("gen_ai.tool.call.id")) or str(span.uid)
        if named not in self._called:
            self._called.add(named)
            name = as_text(said.get("gen_ai.tool.name")) or "unknown"
            yield call_of({**where, "at": _time(span.start)}, named, name, said.get("gen_ai.tool.call.arguments"))
        self._answered.add(named)
        result = as_text(said.get("gen_ai.tool.call.result"))
        content = result or (span.message if span.failed else "")
        yield ToolResult(
            **where,
            tool_call_id=named,
            content=[text_block(content)] if content else [],
            failure="error" if span.failed else None,
        )
