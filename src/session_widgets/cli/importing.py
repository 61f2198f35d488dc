"""`session-widgets import`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from session_widgets.printing import one_line, plural, printable

SHOWN = 20
"""Issues that are printed; `--json` has all."""


def run_import(paths: Sequence[str], console: Console, *, redact: bool, as_json: bool) -> None:
    """Import files and print what was done.

    Args:
        paths: files, or directories of them.
        console: for the report; the progress is drawn on standard error, if that is a terminal.
        redact: replace what looks like a secret.
        as_json: print one JSON object.
    """
    from session_widgets._store import store
    from session_widgets._store.importing.report import ImportReport

    report = ImportReport()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    err = Console(stderr=True)
    with Progress(*columns, console=err, transient=True, disable=not sys.stderr.isatty()) as bar:
        for path in paths:
            task = bar.add_task(one_line(path, 40), total=None)

            def advance(done: int, total: int, task: object = task) -> None:
                bar.update(task, completed=done, total=total)  # type: ignore[arg-type]

            found = store().import_(path, secrets="redact" if redact else "keep", progress=advance)
            report.files += found.files
            report.issues += found.issues
    if as_json:
        said = {"counts": report.counts, "files": report.files, "issues": report.issues}
        typer.echo(json.dumps(said, default=asdict, indent=2))
        return
    console.print(str(report), soft_wrap=True)
    for file in report.files:
        if file.reason and (len(report.files) == 1 or file.outcome != "skipped"):
            console.print(f"{printable(file.path)}: {printable(file.reason)}", soft_wrap=True)
    for issue in report.issues[:SHOWN]:
        where = f"{printable(issue.path)}:{issue.line}" if issue.line else printable(issue.path)
        console.print(f"{where}: {issue.code}: {one_line(issue.detail)}", soft_wrap=True)
    if len(report.issues) > SHOWN:
        console.print(f"and {plural(len(report.issues) - SHOWN, 'issue')} more: --json has all", soft_wrap=True)
    if secrets := report.counts["secrets"]:
        console.print(f"{plural(secrets, 'line')} may have a secret; --redact replaces them", soft_wrap=True)
