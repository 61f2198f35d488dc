"""`session-widgets check`."""

from __future__ import annotations

import json
import sys

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn


def run_check(*, as_json: bool) -> bool:
    """Check the store, print the report, and return whether nothing is wrong.

    Args:
        as_json: print one JSON object.
    """
    from session_widgets._store import store

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("rebuilding in memory", total=None)
        report = store().check(progress=lambda done, total: bar.update(task, completed=done, total=total))
    typer.echo(json.dumps(report.as_json(), indent=2) if as_json else repr(report))
    return report.ok
