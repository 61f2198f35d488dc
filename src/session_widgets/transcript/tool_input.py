"""Readable parts of a tool call's `rawInput`, of any shape: the command, and the rest."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from session_widgets.transcript.envelopes import as_object, as_objects, as_text

INDENTED = 12
"""Levels of JSON with one line an entry; deeper levels share a line."""

_SHELLS = frozenset(("sh", "bash", "zsh", "dash"))
_SAID_BY_DIFF = {
    "path": ("path", "file_path", "filePath", "filepath"),
    "oldText": ("old_string", "oldString", "old_str", "old_text", "oldText"),
    "newText": ("new_string", "newString", "new_str", "new_text", "newText", "content"),
}
"""Fields of a diff, and their names in agents' inputs."""


class FileEdit(NamedTuple):
    """A change of a text; `old` is None where the whole file was written, `new` where it is not known."""

    path: str | None
    old: str | None
    new: str | None


def command_of(raw_input: object) -> str | None:
    """Return the shell command, as one line of it, or None."""
    command = as_object(raw_input).get("command")
    if isinstance(command, list) and command and all(isinstance(word, str) for word in command):
        return shlex.join(command)
    return as_text(command) or None


def script_of(raw_input: object) -> str | None:
    """Return the result of `command_of` without Codex's shell wrapper."""
    said = as_object(raw_input)
    match said.get("command"):
        case [str(shell), "-c" | "-lc", str(script)] if shell.rpartition("/")[2] in _SHELLS:
            return script
    return command_of(raw_input) or as_text(said.get("cmd"))


def edits_of(raw_input: object, content: Sequence[Mapping[str, Any]] = ()) -> list[FileEdit]:
    """Return the edits that a tool call shows as diffs, else those of its input: texts, or a unified diff."""
    diffs = [block for block in content if block.get("type") == "diff"]
    if diffs:
        return [_edit(*(as_text(diff.get(field)) for field in _SAID_BY_DIFF)) for diff in diffs]
    said = as_object(raw_input)
    path, old, new = (_named(said, names) for names in _SAID_BY_DIFF.values())
    several = [[_named(part, names) for names in _SAID_BY_DIFF.values()] for part in as_objects(said.get("edits"))]
    found = [_edit(own or path, before, after) for own, before, after in (several or [[path, old, new]])]
    named = [edit for edit in found if edit.new is not None]
    return named or [_edit(path, *texts) for texts in _hunks(as_text(said.get("diff")) or "")]


def beside(raw_input: object, content: Sequence[Mapping[str, Any]] = ()) -> object:
    """Return `raw_input` without the command and the part that a single diff in `content` shows; None if empty."""
    if not isinstance(raw_input, dict):
        return raw_input
    command = command_of(raw_input)
    diffs = [block for block in content if block.get("type") == "diff"]
    drawn = {} if command or len(diffs) != 1 else {
        name: diffs[0].get(field) for field, names in _SAID_BY_DIFF.items() for name in names
    }  # fmt: skip
    rest = {
        name: value
        for name, value in raw_input.items()
        if not (name == "command" and command) and not (isinstance(value, str) and drawn.get(name) == value)
    }
    return rest or None


def places(locations: object) -> list[str]:
    """Return the locations of a tool call as "path:line"."""
    return [
        words(place.get("path", "")) + (f":{line}" if isinstance(line := place.get("line"), int) else "")
        for place in as_objects(locations)
    ]


def words(value: object) -> str:
    """Return a text unchanged, anything else as JSON."""
    return value if isinstance(value, str) else json_text(value)


def json_text(value: object) -> str:
    """Return `value` as readable JSON of any depth: the standard library's encoders fail at some 1,000 levels."""
    parts: list[str] = []
    todo: list[tuple[object, int] | str] = [(value, 0)]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            parts.append(item)
            continue
        value, level = item
        entries: list[tuple[str, object]]
        if isinstance(value, Mapping) and value:
            (start, end), entries = "{}", [(f"{_leaf(str(name))}: ", one) for name, one in value.items()]
        elif isinstance(value, list | tuple) and value:
            (start, end), entries = "[]", [("", one) for one in value]
        else:
            parts.append(_leaf(value))
            continue
        indented = level < INDENTED
        parts.append(start)
        todo.append(f"\n{'  ' * level}{end}" if indented else end)
        for place in range(len(entries) - 1, -1, -1):
            name, one = entries[place]
            todo.append((one, level + 1))
            comma = "," if place else ""
            todo.append(f"{comma}\n{'  ' * (level + 1)}{name}" if indented else f"{comma}{' ' if place else ''}{name}")
    return "".join(parts)


def _edit(path: str | None, old: str | None, new: str | None) -> FileEdit:
    return FileEdit(path, old or None, new)


def _hunks(diff: str) -> list[tuple[str, str]]:
    """Return the old and the new text of each hunk of a unified diff."""
    found: list[tuple[list[str], list[str]]] = []
    for line in diff.split("\n"):
        if line.startswith("@@"):
            found.append(([], []))
        elif found and line[:1] in {" ", "-", "+"}:
            for side, sign in zip(found[-1], "-+", strict=True):
                side += [line[1:]] if line[0] in {" ", sign} else []
        elif found and line.startswith(("Index: ", "diff ")):
            break
    return [("".join(f"{line}\n" for line in old), "".join(f"{line}\n" for line in new)) for old, new in found]


def _named(said: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((text for name in names if (text := as_text(said.get(name))) is not None), None)


def _leaf(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
