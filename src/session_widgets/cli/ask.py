"""Asks the person at the terminal before the agent goes on."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.text import Text

from session_widgets.cli.printable import one_line
from session_widgets.sessions.permissions import PermissionRequest

KEYS = {"o": "allow_once", "a": "allow_always", "r": "reject_once", "R": "reject_always"}
WORDS = {
    "allow_once": "[o]nce",
    "allow_always": "[a]lways",
    "reject_once": "[r]eject",
    "reject_always": "[R]eject always",
}


def somebody_there() -> bool:
    """Whether a person reads the output and can type an answer."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask(request: PermissionRequest, console: Console) -> None:
    """Ask until one of the offered answers comes; end of input rejects."""
    keys = {key: kind for key, kind in KEYS.items() if request.of_kind(kind)}
    choices = " / ".join(WORDS[kind] for kind in keys.values())
    console.print(Text(f"  allow this? {one_line(request.title)}", style="bold yellow"))
    while True:
        try:
            answer = console.input(Text(f"  {choices}: ")).strip()
        except EOFError:
            reject(request, "the terminal's input ended")
            return
        kind = keys.get(answer[:1]) or keys.get(answer[:1].lower())
        option = request.of_kind(kind) if kind else None
        if option is not None:
            request.choose(option.id)
            return


def reject(request: PermissionRequest, reason: str) -> None:
    """Reject, and leave the reason in the transcript."""
    request.answer(request.rejection("cli", reason))
