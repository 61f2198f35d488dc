"""Pi's session files: `~/.pi/agent/sessions/<folder>/<time>_<id>.jsonl`; version 1 is a list, 2 and 3 are trees."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from session_widgets._store.formats.contract import (
    Abandoned,
    Change,
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
    text_block,
    time_of,
)
from session_widgets.transcript.envelopes import as_number, as_object, as_objects, as_text
from session_widgets.transcript.records import Json, StepFailure

_KINDS = {
    "bash": "execute",
    "read": "read",
    "edit": "edit",
    "write": "edit",
    "grep": "search",
    "find": "search",
    "ls": "search",
}
_STOPS = {"stop": "end_turn", "length": "max_tokens"}
_EXIT_CODE = re.compile(r"Command exited with code (\d{1,3})\s*\Z")
_ABORTED = ("Command aborted", "Operation aborted")
"""Said of a call that the user stopped with its turn."""
_COUNTS = ("input", "output", "cacheRead", "cacheWrite")


class Pi(Format):
    """Pi's JSON lines."""

    name = "pi"

    def sniff(self, head: Head) -> bool:
        """Whether the first record is the header of a session."""
        return any(
            as_text(value.get("type")) == "session" and "id" in value and "timestamp" in value and "cwd" in value
            for value in head.objects[:3]
        )

    def kind(self, value: Any) -> str | None:
        """Return `type`, with the role of a message."""
        said = as_object(value)
        kind, role = as_text(said.get("type")), as_text(as_object(said.get("message")).get("role"))
        return f"{kind}/{role}" if kind and role else kind

    def read(self, records: Iterable[Record], source: Source) -> Iterator[Entry]:
        """Turn records into entries."""
        native, tree, last = "", Tree(), 0
        edits: dict[str, tuple[str, str]] = {}
        for record in records:
            last = record.line
            value = as_object(record.value)
            kind, message = as_text(value.get("type")), as_object(value.get("message"))
            uid, parent = as_text(value.get("id")), as_text(value.get("parentId"))
            place: dict[str, Any] = {"line": record.line, "at": time_of(value.get("timestamp"))}
            if kind == "session":
                native = as_text(value.get("id")) or source.stem
                yield _facts(place, native, value)
                continue
            if not native:
                native = source.stem
                yield SessionFacts(**place, native_id=native, harness="pi")
            where = {**place, "uid": uid or f"{native}/{record.line}", "parent_uid": parent}
            tree.add(uid, parent, prompt=as_text(message.get("role")) == "user")
            if kind == "message":
                yield from _message(where, message, edits)
            elif kind in {"compaction", "branch_summary"}:
                yield Said(**where, kind="compaction", text=as_text(value.get("summary")) or "")
            elif kind == "model_change":
                yield Said(**where, kind="notice", text=f"Model: {value.get('provider')}/{value.get('modelId')}")
            elif kind == "session_info":
                yield SessionFacts(**place, native_id=native, title=as_text(value.get("name")))
            elif kind == "custom_message" and value.get("display"):
                yield Said(**where, kind="notice", text=_text(value.get("content")))
        if left := tree.abandoned():
            yield Abandoned(line=last, uids=left)


def _facts(place: dict[str, Any], native: str, value: Json) -> SessionFacts:
    model = as_text(value.get("modelId"))
    parent = as_text(value.get("parentSession")) or as_text(value.get("branchedFrom"))
    relation: dict[str, Any] = {}
    if parent:  # the path of its file, which ends in the other session's id
        relation = {"parent": parent.rpartition("/")[2].removesuffix(".jsonl").rpartition("_")[2], "relation": "fork"}
    return SessionFacts(**place, native_id=native, harness="pi", model=model, cwd=as_text(value.get("cwd")), **relation)


def _message(where: dict[str, Any], message: Json, edits: dict[str, tuple[str, str]]) -> Iterator[Entry]:
    role, content = as_text(message.get("role")), message.get("content")
    blocks: list[Json] = [{"type": "text", "text": content}] if isinstance(content, str) else list(as_objects(content))
    if role == "user":
        yield Prompt(**where, blocks=[_block(block) for block in blocks])
    elif role == "assistant":
        yield from _assistant(where, message, blocks, edits)
    elif role == "toolResult":
        tool_call_id = as_text(message.get("toolCallId")) or ""
        text, failed = _text(content), message.get("isError") is True
        code = _EXIT_CODE.search(text) if failed else None
        failure: StepFailure | None = "error" if failed else None
        if failed and text.rstrip().endswith(_ABORTED):
            failure = "interrupted"
        name, path = edits.pop(tool_call_id, ("", ""))
        yield ToolResult(
            **where,
            tool_call_id=tool_call_id,
            content=[text_block(text)] if text and (failed or not path) else [],
            failure=failure,
            exit_code=int(code[1]) if code else None,
        )
        if path and not failed:
            change: Change = "created" if name == "write" else "modified"
            yield Changed(line=where["line"], at=where["at"], path=path, change=change)
    elif role == "bashExecution":
        call_id = f"{where['uid']}/bash"
        command, status = as_text(message.get("command")) or "", count_of(message.get("exitCode"))
        yield ToolCall(
            **where, tool_call_id=call_id, name="bash", kind="execute", title=f"bash {command}"[:200],
            raw_input={"command": command},
        )  # fmt: skip
        output = as_text(message.get("output")) or ""
        failure = "error" if status else None
        yield ToolResult(
            **where, tool_call_id=call_id, content=[text_block(output)], exit_code=status, failure=failure,
        )  # fmt: skip


def _assistant(
    where: dict[str, Any], message: Json, blocks: list[Json], edits: dict[str, tuple[str, str]]
) -> Iterator[Entry]:
    call = _usage(where, message)
    if call is not None:
        yield call
    call_id = call.call_id if call is not None else None
    for block in blocks:
        kind = as_text(block.get("type"))
        if kind == "text" and (text := as_text(block.get("text"))):
            yield Said(**where, kind="message", text=text, call_id=call_id)
        elif kind == "thinking" and (text := as_text(block.get("thinking"))):
            yield Said(**where, kind="thought", text=text, call_id=call_id)
        elif kind == "toolCall":
            name, given = as_text(block.get("name")) or "unknown", as_object(block.get("arguments"))
            path = as_text(given.get("path")) or as_text(given.get("file_path"))
            tool_call_id = as_text(block.get("id")) or f"{where['uid']}/{name}"
            if name in {"edit", "write"} and path:
                edits[tool_call_id] = (name, path)
            yield ToolCall(
                **where,
                tool_call_id=tool_call_id,
                name=name,
                kind=_KINDS.get(name, "other"),
                title=f"{name} {as_text(given.get('command')) or path or as_text(given.get('pattern')) or ''}"[
                    :200
                ].strip(),
                raw_input=block.get("arguments"),
                paths=[path] if path else (),
                content=_diff(name, path, given) if path else (),
                call_id=call_id,
            )
    stop = as_text(message.get("stopReason"))
    if stop == "aborted":
        yield TurnEnd(line=where["line"], at=where["at"], status="cancelled", stop_reason="cancelled")
    elif stop == "error":
        text = as_text(message.get("errorMessage")) or "error"
        yield Said(**where, kind="error", text=text)
        yield TurnEnd(line=where["line"], at=where["at"], status="failed", error=text)
    elif stop in _STOPS:
        yield TurnEnd(line=where["line"], at=where["at"], stop_reason=_STOPS[stop])


def _usage(where: dict[str, Any], message: Json) -> ModelCall | None:
    usage = as_object(message.get("usage"))
    if not usage:
        return None
    counts = [count_of(usage.get(name)) for name in _COUNTS]
    empty = not any(counts)  # the answer was aborted before the provider reported anything
    given, output, read, written = [None] * 4 if empty else counts
    total = as_number(as_object(usage.get("cost")).get("total"))
    cost = Decimal(str(total)) if total and 0 < total < 1e8 else None
    stamp = f"{message.get('timestamp')}/{message.get('model')}/{'/'.join(map(str, counts))}"
    return ModelCall(
        **where,
        call_id=as_text(message.get("responseId")) or f"pi/{stamp}",  # a fork copies the time in milliseconds too
        provider=as_text(message.get("provider")),
        model=as_text(message.get("model")),
        quality="placeholder" if empty else "final",
        remark="the answer ended before the provider reported tokens" if empty else None,
        uncached=given,
        read=read,
        written=written,
        output=output,
        cost=cost,
        currency="USD" if cost is not None else None,
        stop_reason=as_text(message.get("stopReason")),
    )


def _block(block: Json) -> Json:
    if as_text(block.get("type")) == "image":
        return {"type": "image", "mimeType": block.get("mimeType"), "data": block.get("data")}
    return {"type": "text", "text": as_text(block.get("text")) or ""}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(text for part in as_objects(content) if (text := as_text(part.get("text"))))


def _diff(name: str, path: str, given: Json) -> list[Json]:
    if name == "write":
        return [{"type": "diff", "path": path, "oldText": None, "newText": as_text(given.get("content")) or ""}]
    edits = as_objects(given.get("edits")) or (given,)
    return [
        {"type": "diff", "path": path, "oldText": as_text(edit.get("oldText")), "newText": new}
        for edit in edits
        if (new := as_text(edit.get("newText"))) is not None
    ]
