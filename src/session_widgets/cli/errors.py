"""Errors on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from session_widgets.errors import SessionWidgetsError
from session_widgets.printing import printable


@contextmanager
def errors_told() -> Iterator[None]:
    """Turn our errors, and a second interrupt, into a line on standard error and an exit code."""
    try:
        yield
    except SessionWidgetsError as error:
        typer.echo(f"session-widgets: {printable(str(error))}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
