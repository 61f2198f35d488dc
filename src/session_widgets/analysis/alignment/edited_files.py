"""The files of a run as far as its edits tell: the whole text where it is known, else only what was done to it."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from session_widgets.analysis.alignment.actions import CHANGES, Action, changed_lines


def edited_files(actions: Iterable[Action]) -> dict[str, str | None]:
    """Return the files that a run edited, as they are at its end; None for a text that its edits do not tell.

    Changes by commands are not seen.
    """
    state: dict[str, str] = {}
    for action in actions:
        if apply(state, action) and action.kind == "delete":
            state.pop(action.target, None)
    return {path: text[1:] if text.startswith("=") else None for path, text in state.items()}


def apply(state: dict[str, str], action: Action) -> bool:
    """Apply a change to the files of a run; return whether the action is one.

    A known text begins with "=", of another only a digest of its history is known.
    """
    if action.failed or action.kind not in CHANGES:
        return False
    if not action.edits:
        state[action.target] = _history(state.get(action.target, ""), action.kind, action.arguments)
    for edit in action.edits:
        path, known = edit.path or action.target, state.get(edit.path or action.target, "")
        if edit.old is None and edit.new is not None:
            state[path] = f"={edit.new}"
        elif known.startswith("=") and edit.old is not None and edit.new is not None and edit.old in known[1:]:
            state[path] = "=" + known[1:].replace(edit.old, edit.new, 1)
        else:
            state[path] = _history(known, *changed_lines(edit.old, edit.new))
    return True


def _history(*parts: str | None) -> str:
    return blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
