"""Asking before something is removed."""

from __future__ import annotations

import sys

import typer

from session_widgets.errors import BadValue


def may_ask(yes: bool) -> None:
    """Refuse to go on where `yes` was not said and nobody can be asked."""
    if not yes and not sys.stdin.isatty():
        raise BadValue("this asks before it removes anything, and there is no terminal to ask in: say --yes.")


def confirm(question: str) -> None:
    """Ask; anything but yes ends the command with exit code 1."""
    if not typer.confirm(question):
        typer.echo("nothing was removed")
        raise typer.Exit(1)
