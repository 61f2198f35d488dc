"""The lines of `codex exec --json`, which do not have the prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from session_widgets._store.formats.contract import (
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
    TurnEnd,
    count_of,
    text_block,
)
from session_widgets.transcript.envelopes import as_object, as_objects, as_text
from session_widgets.transcript.records import Json, StepFailure

_CHANGES: dict[str, Change] = {"add": "created", "update": "modified", "delete": "deleted"}


class CodexExec(Format):
    """The lines of `codex exec --json`."""

    name = "codex-exec"

    def sniff(self, head: Head) -> bool:
        """Whether a line starts a thread."""
        return any(value.get("type") == "thread.started" and "thread_id" in value for value in head.objects[:5])

    def read(self, records: Iterable[Record], source: Source) -> Iterator[Entry]:
        """Turn lines into entries."""
        native, turn, begun = source.stem, 0, False
        for record in records:
            value = as_object(record.value)
            kind, place = as_text(value.get("type")), {"line": record.line}
            if kind == "thread.started" or not begun:
                native, begun = as_text(value.get("thread_id")) or native, True
                yield SessionFacts(line=record.line, native_id=native, harness="codex")
            if kind == "turn.started":
                turn += 1
                yield Prompt(line=record.line, blocks=[])
            elif kind == "item.completed":
                yield from _item(place, as_object(value.get("item")))
            elif kind == "turn.completed":
                yield _usage(record.line, f"codex-exec/{native}/{turn}", as_object(value.get("usage")))
                yield TurnEnd(line=record.line, stop_reason="end_turn")
            elif kind in {"turn.failed", "error"}:
                error = (
                    as_text(as_object(value.get("error")).get("message")) or as_text(value.get("message")) or "error"
                )
                yield Said(line=record.line, kind="error", text=error)
                if kind == "turn.failed":
                    yield TurnEnd(line=record.line, status="failed", error=error)


def _item(place: dict[str, Any], item: Json) -> Iterator[Entry]:
    kind = as_text(item.get("type")) or as_text(item.get("item_type"))
    uid = as_text(item.get("id")) or str(place["line"])
    where: dict[str, Any] = {**place, "uid": uid}
    text = as_text(item.get("text")) or as_text(item.get("message")) or ""
    status = as_text(item.get("status"))
    failure: StepFailure | None = "error" if status == "failed" else "rejected" if status == "declined" else None
    if kind in {"agent_message", "assistant_message"}:
        yield Said(**where, kind="message", text=text)
    elif kind == "reasoning":
        yield Said(**where, kind="thought", text=text)
    elif kind == "error":
        yield Said(**where, kind="error", text=text)
    elif kind == "todo_list":
        entries = [
            {
                "content": as_text(entry.get("text")) or "",
                "status": "completed" if entry.get("completed") is True else "pending",
                "priority": "medium",
            }
            for entry in as_objects(item.get("items"))
        ]
        yield Said(**where, kind="plan", entries=entries)
    elif kind == "command_execution":
        command, code = as_text(item.get("command")) or "", item.get("exit_code")
        code = code if isinstance(code, int) and not isinstance(code, bool) and abs(code) < 1000 else None
        output = as_text(item.get("aggregated_output")) or ""
        given = {"command": command}
        yield ToolCall(
            **where, tool_call_id=uid, name="shell", kind="execute", title=f"shell {command}"[:200], raw_input=given
        )
        yield ToolResult(
            **place, tool_call_id=uid, content=[text_block(output)], exit_code=code,
            failure=failure or ("error" if code else None),
        )  # fmt: skip
    elif kind == "file_change":
        changes = [
            (as_text(each.get("path")) or "", as_text(each.get("kind"))) for each in as_objects(item.get("changes"))
        ]
        paths = [path for path, _ in changes]
        yield ToolCall(
            **where, tool_call_id=uid, name="apply_patch", kind="edit", title=f"apply_patch {', '.join(paths)}"[:200],
            paths=paths, raw_input=item.get("changes"),
        )  # fmt: skip
        yield ToolResult(**place, tool_call_id=uid, failure=failure)
        for path, change in changes if failure is None else ():
            yield Changed(**place, path=path, change=_CHANGES.get(change or "", "modified"))
    elif kind in {"mcp_tool_call", "web_search"}:
        name = as_text(item.get("tool")) or str(kind)
        given = item.get("arguments") or {"query": item.get("query")}
        tool_kind = "fetch" if kind == "web_search" else "other"
        yield ToolCall(**where, tool_call_id=uid, name=name, kind=tool_kind, title=name, raw_input=given)
        yield ToolResult(**place, tool_call_id=uid, failure=failure, raw_output=item.get("result"))


def _usage(line: int, call_id: str, usage: Json) -> ModelCall:
    given, cached = count_of(usage.get("input_tokens")), count_of(usage.get("cached_input_tokens"))
    return ModelCall(
        line=line,
        call_id=call_id,
        scope="turn",
        quality="final" if usage else "none",
        uncached=None if given is None else max(given - (cached or 0), 0),
        read=cached,
        output=count_of(usage.get("output_tokens")),
        reasoning=count_of(usage.get("reasoning_output_tokens")),
    )
