"""Blocks of Claude Code's messages as content of ACP."""

from __future__ import annotations

import re
from collections.abc import Sequence

from session_widgets._store.formats.contract import text_block
from session_widgets.transcript.envelopes import as_object, as_objects, as_text
from session_widgets.transcript.records import Json

_COMMAND = re.compile(r"<command-name>(.*?)</command-name>", re.DOTALL)
_ARGUMENTS = re.compile(r"<command-args>(.*?)</command-args>", re.DOTALL)


def prompt_of(blocks: Sequence[Json]) -> list[Json]:
    """Return the user's words as ACP content blocks; a command as it was typed."""
    said: list[Json] = []
    for block in blocks:
        text = as_text(block.get("text"))
        if as_text(block.get("type")) == "image":
            data = as_object(block.get("source"))
            said.append({"type": "image", "mimeType": data.get("media_type"), "data": data.get("data")})
        elif text is not None and (command := _COMMAND.search(text)):
            given = _ARGUMENTS.search(text)
            said.append({"type": "text", "text": f"{command[1]} {given[1] if given else ''}".strip()})
        else:
            said.append({"type": "text", "text": text or ""})
    return said


def content_of(parts: Sequence[Json]) -> list[Json]:
    """Return the parts of a result as ACP tool call content."""
    content: list[Json] = []
    for part in parts:
        if as_text(part.get("type")) == "image":
            data = as_object(part.get("source"))
            image = {"type": "image", "mimeType": data.get("media_type"), "data": data.get("data")}
            content.append({"type": "content", "content": image})
        elif (text := as_text(part.get("text"))) is not None:
            content.append(text_block(text))
    return content


def diffs_of(details: Json) -> list[Json]:
    """Return the edits in `toolUseResult` as ACP diffs."""
    path = as_text(details.get("filePath"))
    if path is None:
        return []
    if as_text(details.get("type")) == "create":
        return [{"type": "diff", "path": path, "oldText": None, "newText": as_text(details.get("content")) or ""}]
    edits = as_objects(details.get("edits")) or [{
        "old_string": details.get("oldString"), "new_string": details.get("newString"),
    }]  # fmt: skip
    return [
        {"type": "diff", "path": path, "oldText": as_text(edit.get("old_string")), "newText": new}
        for edit in edits
        if (new := as_text(edit.get("new_string"))) is not None
    ]


def title_of(name: str, given: Json, path: str | None) -> str:
    """Return the title of a tool call."""
    detail = (
        as_text(given.get("command")) or path or as_text(given.get("pattern")) or as_text(given.get("url"))
        or as_text(given.get("query")) or as_text(given.get("description"))
    )  # fmt: skip
    return f"{name} {detail}"[:200] if detail else name
