"""What Gemini CLI and its descendant Qwen Code share: Google's parts of a message, and their tools."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from session_widgets._store.formats.contract import text_block
from session_widgets.transcript.envelopes import as_object, as_objects, as_text
from session_widgets.transcript.records import Json

KINDS = {
    **dict.fromkeys(("run_shell_command", "shell"), "execute"),
    **dict.fromkeys(("read_file", "read_many_files"), "read"),
    **dict.fromkeys(("write_file", "replace", "edit"), "edit"),
    **dict.fromkeys(("glob", "search_file_content", "grep_search", "grep", "list_directory"), "search"),
    **dict.fromkeys(("web_fetch", "google_web_search", "web_search"), "fetch"),
    **dict.fromkeys(("save_memory", "write_todos", "todo_write", "task", "agent"), "think"),
}
_EXIT_CODE = re.compile(r"^Exit Code: (-?\d{1,5})$", re.MULTILINE)


def path_of(given: Json) -> str | None:
    """Return the file that a tool's arguments name."""
    return as_text(given.get("file_path")) or as_text(given.get("absolute_path")) or as_text(given.get("path"))


def title_of(name: str, given: Json) -> str:
    """Return a readable line about a call."""
    detail = (
        as_text(given.get("command")) or path_of(given) or as_text(given.get("pattern")) or as_text(given.get("query"))
    )
    return f"{name} {detail}"[:200] if detail else name


def text_of(content: Any) -> str:
    """Return the text of a message's content, without thoughts."""
    if isinstance(content, str):
        return content
    return "\n".join(
        text for part in as_objects(content) if not part.get("thought") and (text := as_text(part.get("text")))
    )


def answer_of(result: Any) -> tuple[str, bool]:
    """Return the text in the response to a function call, and whether it is an error."""
    said = [as_object(as_object(part.get("functionResponse")).get("response")) for part in as_objects(result)]
    errors = [text for each in said if (text := as_text(each.get("error")))]
    outputs = [text for each in said if (text := as_text(each.get("output")))]
    return "\n".join([*outputs, *errors]), bool(errors)


def exit_code_of(text: str) -> int | None:
    """Return the exit code that the text of a shell's answer names."""
    found = _EXIT_CODE.search(text)
    return int(found[1]) if found else None


def content_of(display: Json, text: str) -> Sequence[Json]:
    """Return tool call content: the diff that is displayed, else the text."""
    path, new = as_text(display.get("filePath")) or as_text(display.get("fileName")), as_text(display.get("newContent"))
    if path and new is not None:
        old = as_text(display.get("originalContent"))
        return [{"type": "diff", "path": path, "oldText": old or None, "newText": new}]
    return [text_block(text)] if text else []
