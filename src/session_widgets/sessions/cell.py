"""Ask in the cell: a blocked cell keeps a click in the browser from arriving, but not what is typed into it."""

from __future__ import annotations

import builtins
import difflib
import sys
import threading
from dataclasses import dataclass
from typing import Any

from session_widgets.model import Json
from session_widgets.sessions.permissions import Decision, PermissionRequest
from session_widgets.text import one_line, printable

NO_STDIN = (
    "nobody could be asked: no click arrives while this cell runs, and it has no input of its own. "
    "Open the session with another permissions=, for example a function that decides"
)


TICKER_WIDTH = 100


@dataclass(slots=True)
class Page:
    """What is known of the page that draws the session.

    Attributes:
        heard: a message of it has come, so that somebody can click.
        heard_apart: it came on a thread of its own, so that clicks come while a cell blocks.
    """

    heard: bool = False
    heard_apart: bool = False


def must_ask_here(page: Page, *, awaiting: bool) -> bool:
    """Whether a waiting call has to ask by itself, because no click can arrive while it waits.

    Args:
        page: where the click would have to come from.
        awaiting: the caller awaits, so the kernel's loop runs; ipykernel 6 delivers nothing even then.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    kernel = _kernel()
    if kernel is None:
        return not awaiting
    if awaiting:
        return _cell_runs(kernel) and not (page.heard and _ipykernel_major() >= 7)
    return not page.heard_apart


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


class Ticker:
    """Shows what is being done while a call blocks, in one line that is written over and wiped in the end.

    It speaks to people alone: in a notebook below the cell, in a terminal on standard error.
    """

    def __init__(self) -> None:
        self._shown = ""

    def show(self, activity: str | None) -> None:
        """Write `activity`, None wipes it; nothing happens where nobody looks."""
        text = one_line(activity or "", TICKER_WIDTH)
        out = sys.stdout if _kernel() is not None else sys.stderr
        if text == self._shown or threading.current_thread() is not threading.main_thread():
            return
        if _kernel() is None and not (out is not None and out.isatty()):
            return
        out.write(f"\r{text.ljust(len(self._shown))}" + ("" if text else "\r"))
        out.flush()
        self._shown = text


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


def _cell_runs(kernel: Any) -> bool:
    """A kernel puts its own `input` in place for as long as a cell runs."""
    return bool(builtins.input == kernel.raw_input)


def _has_stdin() -> bool:
    kernel = _kernel()
    return bool(kernel._allow_stdin) if kernel is not None else sys.stdin is not None and sys.stdin.isatty()


def _ipykernel_major() -> int:
    return int(sys.modules["ipykernel"].version_info[0])
