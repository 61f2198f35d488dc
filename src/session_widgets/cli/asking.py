"""Confirmation before a removal."""

from __future__ import annotations

import sys

import typer

from session_widgets.errors import BadValue


def may_ask(yes: bool) -> None:
    """Refuse without `yes` if there is no terminal to ask in."""
    if not yes and not sys.stdin.isatty():
        raise BadValue("this asks before a removal, and there is no terminal to ask in: pass --yes.")


def confirm(question: str) -> None:
    """Ask; anything but yes ends the command with exit code 1."""
    if not typer.confirm(question):
        typer.echo("nothing was removed")
        raise typer.Exit(1)
