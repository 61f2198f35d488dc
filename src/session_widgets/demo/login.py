"""A login, for clients that offer one: `DEMO_LOGIN` names a file, without which no session opens."""

from __future__ import annotations

import os
from pathlib import Path

from session_widgets.demo.capabilities import Capabilities
from session_widgets.demo.jsonrpc import Json, RequestError

VARIABLE = "DEMO_LOGIN"
ARGUMENT = "--login"
METHOD = {
    "type": "terminal",
    "id": "demo-login",
    "name": "Log in to the demo",
    "description": "Asks for a name in a terminal; any name will do",
    "args": [ARGUMENT],
}


def methods(capabilities: Capabilities) -> list[Json]:
    """Return ACP's `authMethods` for this client."""
    return [METHOD] if os.environ.get(VARIABLE) and capabilities.terminal_login else []


def check() -> None:
    """Return if a session may open.

    Raises:
        RequestError: "Authentication required".
    """
    file = os.environ.get(VARIABLE)
    if file and not Path(file).is_file():
        raise RequestError.auth_required(f"log in first: start this agent with {ARGUMENT} in a terminal")


def log_in() -> int:
    """Ask for a name on the terminal, and write it to the file; return the exit code."""
    file = os.environ.get(VARIABLE)
    if not file:
        print(f"{VARIABLE} names no file: the demo needs no login.")  # noqa: T201 - a dialogue
        return 1
    try:
        name = input("Your name: ").strip()
    except EOFError:
        name = ""
    if not name:
        print("Nobody is logged in.")  # noqa: T201 - a dialogue
        return 1
    Path(file).write_text(f"{name}\n", encoding="utf-8")
    print(f"Logged in as {name}.")  # noqa: T201 - a dialogue
    return 0
