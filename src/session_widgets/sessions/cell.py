"""Ask in the cell: a blocked cell keeps a click in the browser from arriving, but not what is typed into it."""

from __future__ import annotations

import difflib
import sys
import threading
from collections.abc import Callable
from typing import Any

from session_widgets.model import Json
from session_widgets.sessions.permissions import Decision, PermissionRequest
from session_widgets.text import printable

Buttons = Callable[[], bool]

NO_STDIN = (
    "nobody could be asked: the cell blocks the panel's buttons and has no input of its own. "
    "Open the session with another permissions=, or use `await session.aio.send(...)`"
)


def must_ask_here(buttons_live: bool, *, awaiting: bool) -> bool:
    """Whether a waiting call has to ask by itself, because no click can arrive while it waits.

    Args:
        buttons_live: the browser's messages were seen to arrive on a thread of their own.
        awaiting: the caller awaits, so the kernel's loop runs; ipykernel 6 delivers nothing even then.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    if not _in_kernel():
        return not awaiting
    return _ipykernel_major() < 7 if awaiting else not buttons_live


def ask(request: PermissionRequest) -> Decision:
    """Put a request before whoever sits at the cell or terminal; reject it if nobody does."""
    if not _has_stdin():
        return request.rejection("policy:ask", NO_STDIN)
    print(describe(request), flush=True)  # noqa: T201  # the question stands above its input field
    letters = _letters(request)
    question = "Allow? " + " / ".join(f"[{letter}] {name}" for letter, (name, _) in letters.items()) + ": "
    while True:
        try:
            answer = input(question).strip().lower()
        except EOFError:
            return request.rejection("policy:ask", NO_STDIN)
        for letter, (name, kind) in letters.items():
            if answer in {letter, name}:
                return Decision(request.of_kind(kind), "user:cell")


def describe(request: PermissionRequest) -> str:
    """Return the request as text: its title, then the command or the diff in full."""
    lines = [f"{request.title or request.tool_kind or 'The agent'} needs permission."]
    for block in request.tool_call.get("content") or ():
        if block.get("type") == "diff":
            lines += _diff(block)
    command = (request.tool_call.get("rawInput") or {}).get("command")
    if command:
        lines.append(f"  $ {command}")
    return printable("\n".join(lines))


def _letters(request: PermissionRequest) -> dict[str, tuple[str, str]]:
    kinds = {"o": ("once", "allow_once"), "a": ("always", "allow_always"), "r": ("reject", "reject_once")}
    return {letter: (name, kind) for letter, (name, kind) in kinds.items() if request.of_kind(kind) or letter == "r"}


def _diff(block: Json) -> list[str]:
    old, new, path = str(block.get("oldText") or ""), str(block.get("newText") or ""), str(block.get("path") or "")
    return list(difflib.unified_diff(old.splitlines(), new.splitlines(), path, path, lineterm=""))


def _kernel() -> Any:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None)


def _in_kernel() -> bool:
    return _kernel() is not None


def _has_stdin() -> bool:
    kernel = _kernel()
    return bool(kernel._allow_stdin) if kernel is not None else sys.stdin is not None and sys.stdin.isatty()


def _ipykernel_major() -> int:
    return int(sys.modules["ipykernel"].version_info[0])
