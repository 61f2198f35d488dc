"""OpenCode: the document of `opencode export`, and the lines of `opencode run --format json`.

Its database is SQLite and is not read. A step is one model call. A cost of 0 is unknown: OpenCode writes it for free
models, and for models whose price it does not know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, ClassVar

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
    TurnEnd,
    count_of,
    text_block,
    time_of,
)
from session_widgets.transcript.envelopes import as_number, as_object, as_objects, as_text
from session_widgets.transcript.records import Json, StepFailure

_KINDS = {
    **dict.fromkeys(("bash",), "execute"),
    **dict.fromkeys(("read",), "read"),
    **dict.fromkeys(("write", "edit", "patch", "multiedit", "apply_patch"), "edit"),
    **dict.fromkeys(("grep", "glob", "list", "codesearch"), "search"),
    **dict.fromkeys(("webfetch", "websearch"), "fetch"),
    **dict.fromkeys(("task", "todowrite", "todoread"), "think"),
}
_STOPS = {"stop": "end_turn", "length": "max_tokens", "content-filter": "refusal"}
_LINES = frozenset({"step_start", "step_finish", "tool_use", "text", "reasoning"})


class OpenCodeExport(Format):
    """The document of `opencode export`."""

    name = "opencode-export"
    layout: ClassVar[Layout] = "document"

    def sniff(self, head: Head) -> bool:
        """Whether it is one session with its messages and their parts."""
        if b'"messages"' not in head.start and b'"info"' not in head.start:
            return False
        said = as_object(head.document)
        messages = said.get("messages")
        return str(as_object(said.get("info")).get("id")).startswith("ses") and isinstance(messages, list)

    def kind(self, value: Any) -> str | None:
        """Return "export"."""
        return "export"

    def read(self, records: Iterable[Record], source: Source) -> Iterator[Entry]:
        """Turn the document into entries."""
        for record in records:
            said = as_object(record.value)
            info = as_object(said.get("info"))
            times = as_object(info.get("time"))
            native = as_text(info.get("id")) or source.stem
            parent = as_text(info.get("parentID"))
            relation: dict[str, Any] = {"parent": parent, "relation": "subagent", "agent_id": native} if parent else {}
            yield SessionFacts(
                line=record.line,
                at=time_of(times.get("created")),
                native_id=native,
                harness="opencode",
                harness_version=as_text(info.get("version")),
                title=as_text(info.get("title")),
                cwd=as_text(info.get("directory")),
                **relation,
            )
            for message in as_objects(said.get("messages")):
                yield from _message(record.line, as_object(message.get("info")), as_objects(message.get("parts")))


class OpenCodeRun(Format):
    """The lines of `opencode run --format json`, which do not have the prompt."""

    name = "opencode-run"

    def sniff(self, head: Head) -> bool:
        """Whether a line is an event with a part."""
        return any(
            as_text(value.get("type")) in _LINES and "sessionID" in value and isinstance(value.get("part"), dict)
            for value in head.objects[:5]
        )

    def read(self, records: Iterable[Record], source: Source) -> Iterator[Entry]:
        """Turn lines into entries."""
        native = ""
        ended = True
        for record in records:
            value = as_object(record.value)
            part, at = as_object(value.get("part")), time_of(value.get("timestamp"))
            session = as_text(value.get("sessionID")) or source.stem
            if session != native:
                native = session
                yield SessionFacts(line=record.line, at=at, native_id=session, harness="opencode")
            if ended:
                yield Prompt(line=record.line, at=at, blocks=[])
                ended = False
            if as_text(value.get("type")) == "error":
                error = as_object(value.get("error"))
                text = as_text(as_object(error.get("data")).get("message")) or as_text(error.get("name")) or "error"
                yield Said(line=record.line, at=at, kind="error", text=text)
                continue
            yield from _part({"line": record.line, "at": at}, part, as_text(part.get("messageID")) or "", {})
            if as_text(part.get("type")) == "step-finish" and as_text(part.get("reason")) in _STOPS:
                yield TurnEnd(line=record.line, at=at, stop_reason=_STOPS[str(part["reason"])])
                ended = True


def _message(line: int, info: Json, parts: tuple[Json, ...]) -> Iterator[Entry]:
    times = as_object(info.get("time"))
    created, completed = time_of(times.get("created")), time_of(times.get("completed"))
    message_id = as_text(info.get("id")) or ""
    where: dict[str, Any] = {
        "line": line, "at": created, "uid": message_id or None, "parent_uid": as_text(info.get("parentID")),
    }  # fmt: skip
    if as_text(info.get("role")) == "user":
        texts = [part for part in parts if as_text(part.get("type")) == "text" and not part.get("synthetic")]
        yield Prompt(**where, blocks=[{"type": "text", "text": as_text(part.get("text")) or ""} for part in texts])
        return
    finished = any(as_text(part.get("type")) == "step-finish" for part in parts)
    if not finished and as_object(info.get("tokens")):
        yield _usage({**where, "at": completed or created}, message_id, info, info, 0)
    count = 0
    for part in parts:
        yield from _part(where, part, message_id, info, count)
        count += as_text(part.get("type")) == "step-finish"
    error = as_object(info.get("error"))
    if error:
        text = as_text(as_object(error.get("data")).get("message")) or as_text(error.get("name")) or "error"
        aborted = error.get("name") == "MessageAbortedError"
        yield Said(**where, kind="notice" if aborted else "error", text=text)
        yield TurnEnd(
            line=line,
            at=completed or created,
            status="cancelled" if aborted else "failed",
            error=None if aborted else text,
        )
    elif as_text(info.get("finish")) in _STOPS:
        yield TurnEnd(line=line, at=completed or created, stop_reason=_STOPS[str(info["finish"])])


def _part(where: Mapping[str, Any], part: Json, message_id: str, info: Json, count: int = 0) -> Iterator[Entry]:
    kind, times = as_text(part.get("type")), as_object(part.get("time"))
    call_id = _call_id(message_id, count)
    at = {**where, "at": time_of(times.get("start")) or where["at"]}
    text = as_text(part.get("text"))
    if kind == "text" and text and not part.get("synthetic"):
        yield Said(**at, kind="message", text=text, call_id=call_id)
    elif kind == "reasoning" and text:
        yield Said(**at, kind="thought", text=text, call_id=call_id)
    elif kind == "tool":
        yield from _tool(where, part, call_id)
    elif kind == "step-finish":
        yield _usage(where, message_id, part, info, count)
    elif kind == "compaction":
        yield Said(**at, kind="compaction", text="")


def _tool(where: Mapping[str, Any], part: Json, call_id: str) -> Iterator[Entry]:
    state, name = as_object(part.get("state")), as_text(part.get("tool")) or "unknown"
    given, times, details = (
        as_object(state.get("input")),
        as_object(state.get("time")),
        as_object(state.get("metadata")),
    )
    path = as_text(given.get("filePath")) or as_text(given.get("path"))
    tool_call_id = as_text(part.get("callID")) or as_text(part.get("id")) or f"{call_id}/{name}"
    kind = _KINDS.get(name, "other")
    yield ToolCall(
        **{**where, "at": time_of(times.get("start")) or where["at"]},
        tool_call_id=tool_call_id,
        name=name,
        kind=kind,
        title=as_text(state.get("title")) or name,
        raw_input=state.get("input"),
        paths=[path] if path else (),
        call_id=call_id,
    )
    status, output = as_text(state.get("status")), as_text(state.get("output"))
    if status not in {"completed", "error"}:
        return
    code = count_of(details.get("exit"))
    failure: StepFailure | None = "error" if status == "error" or code else None
    error = as_text(state.get("error"))
    if error and "rejected permission" in error:
        failure = "rejected"
    said = output if output is not None else error
    diff = _diff(name, path, given) if path and failure is None else []
    ended = time_of(times.get("end")) or where["at"]
    yield ToolResult(
        line=where["line"],
        at=ended,
        tool_call_id=tool_call_id,
        content=diff or ([text_block(said)] if said else []),
        failure=failure,
        exit_code=code,
    )
    if diff and path:
        created = name == "write" and details.get("exists") is False
        yield Changed(line=where["line"], at=ended, path=path, change="created" if created else "modified")


def _usage(where: Mapping[str, Any], message_id: str, said: Json, info: Json, count: int) -> ModelCall:
    tokens, total = as_object(said.get("tokens")), as_number(said.get("cost"))
    cache = as_object(tokens.get("cache"))
    given, output, reasoning = (count_of(tokens.get(name)) for name in ("input", "output", "reasoning"))
    cost = Decimal(str(total)) if total and 0 < total < 1e8 else None
    return ModelCall(
        **where,
        call_id=_call_id(message_id, count),
        provider=as_text(info.get("providerID")),
        model=as_text(info.get("modelID")),
        uncached=given,
        read=count_of(cache.get("read")),
        written=count_of(cache.get("write")),
        output=None if output is None else output + (reasoning or 0),
        reasoning=reasoning,
        cost=cost,
        currency=None if cost is None else "USD",
        stop_reason=as_text(said.get("reason")) or as_text(said.get("finish")),
    )


def _call_id(message_id: str, count: int) -> str:
    """Return the id of a step's call: OpenCode's own, of the message, and the step's place in it."""
    return f"{message_id}/{count}" if count else message_id


def _diff(name: str, path: str, given: Json) -> list[Json]:
    if name == "write":
        return [{"type": "diff", "path": path, "oldText": None, "newText": as_text(given.get("content")) or ""}]
    if name == "edit":
        old, new = as_text(given.get("oldString")), as_text(given.get("newString")) or ""
        return [{"type": "diff", "path": path, "oldText": old, "newText": new}]
    return []
