"""Entries of a list of chat messages in OpenAI's form, which several programs write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson

from session_widgets._store.formats.contract import (
    Entry,
    Prompt,
    Said,
    ToolCall,
    ToolResult,
    text_block,
    time_of,
)
from session_widgets.transcript.envelopes import as_object, as_objects, as_text, as_texts
from session_widgets.transcript.records import Json, StepFailure

KINDS = {
    **dict.fromkeys(("bash", "execute_bash", "terminal", "python", "execute_ipython_cell", "submit"), "execute"),
    **dict.fromkeys(("open", "goto", "scroll_up", "scroll_down", "view", "read_file", "text_viewer"), "read"),
    **dict.fromkeys(("edit", "create", "insert", "str_replace_editor", "file_editor", "str_replace"), "edit"),
    **dict.fromkeys(("find_file", "search_file", "search_dir", "grep", "glob", "list_files"), "search"),
    **dict.fromkeys(("browser", "fetch", "web_search", "web_browser"), "fetch"),
    **dict.fromkeys(("think", "task_tracker"), "think"),
}
Extract = Callable[[Json, str], tuple[str, Json] | None]
"""Returns name and arguments of a call that is only in the text of a message."""
Answer = Callable[[str], tuple[str, int | None] | None]
"""Returns the output and the exit code in a user's message that answers such a call."""


def text_of(content: Any) -> str:
    """Return the text of a message's content."""
    if isinstance(content, str):
        return content
    return "\n".join(text for part in as_objects(content) if (text := as_text(part.get("text"))))


def call_of(where: Mapping[str, Any], tool_call_id: str, name: str, given: Any, call_id: str | None = None) -> ToolCall:
    """Return the entry of a tool call; arguments may be JSON text."""
    if isinstance(given, str):
        try:
            given = orjson.loads(given)
        except ValueError:
            given = {"command": given}
    said = as_object(given)
    path = as_text(said.get("path")) or as_text(said.get("file_name")) or as_text(said.get("file"))
    detail = as_text(said.get("command")) or path or as_text(said.get("query")) or ""
    return ToolCall(
        **where,
        tool_call_id=tool_call_id,
        name=name,
        kind=KINDS.get(name, "other"),
        title=f"{name} {detail}".strip()[:200],
        raw_input=given,
        paths=[path] if path else (),
        call_id=call_id,
    )


def entries_of(
    line: int,
    messages: Iterable[Any],
    *,
    extract: Extract = lambda message, text: None,
    answer: Answer = lambda text: None,
    one_prompt: bool = False,
) -> Iterator[Entry]:
    """Turn messages into entries.

    Args:
        line: of the record.
        messages: in OpenAI's form: `role`, `content`, `tool_calls`, `tool_call_id`.
        extract: finds a call in the text of an assistant's message without `tool_calls`.
        answer: recognises the answer to such a call.
        one_prompt: later messages of the user are those of the program.
    """
    waiting: list[str] = []
    prompted = False
    for number, message in enumerate(as_objects(list(messages))):
        where: dict[str, Any] = {"line": line, "at": time_of(message.get("timestamp")), "uid": f"{line}/{number}"}
        role, text = as_text(message.get("role")), text_of(message.get("content"))
        if role == "assistant":
            if thought := as_text(message.get("reasoning_content")):
                yield Said(**where, kind="thought", text=thought)
            if text.strip():
                yield Said(**where, kind="message", text=text)
            calls = as_objects(message.get("tool_calls"))
            for place, call in enumerate(calls):
                function = as_object(call.get("function"))
                tool_call_id = as_text(call.get("id")) or f"{line}/{number}/{place}"
                waiting.append(tool_call_id)
                name = as_text(function.get("name")) or as_text(call.get("function")) or "unknown"
                given = function.get("arguments", call.get("arguments"))  # beside the name, in Inspect's messages
                yield call_of(where, tool_call_id, name, given)
            if not calls and (found := extract(message, text)):
                waiting.append(f"{line}/{number}")
                yield call_of(where, waiting[-1], *found)
        elif role == "tool" or (waiting and role == "user" and answer(text)):
            output, code = answer(text) or (text, None)
            named = as_text(message.get("tool_call_id")) or next(iter(as_texts(message.get("tool_call_ids"))), None)
            tool_call_id = named or (waiting[0] if waiting else "")
            if tool_call_id in waiting:
                waiting.remove(tool_call_id)
            failure: StepFailure | None = "error" if code else None
            yield ToolResult(
                **where, tool_call_id=tool_call_id, content=[text_block(output)], exit_code=code, failure=failure
            )
        elif role == "user" and not (one_prompt and prompted):
            prompted = True
            yield Prompt(**where, blocks=[{"type": "text", "text": text}])
        elif text.strip():
            yield Said(**where, kind="notice", text=text)
