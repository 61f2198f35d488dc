"""`session-widgets export` and `session-widgets html`."""

from __future__ import annotations

import json

import typer
from rich.console import Console

from session_widgets.printing import plural, printable

SHOWN = 20
"""Hits that are printed; `--json` has all."""


def run_export(session: str, name: str, path: str, console: Console, *, redact: bool, as_json: bool) -> None:
    """Export a session and print what was written and what was replaced.

    Args:
        session: its id.
        name: of the format.
        path: of the file or folder.
        console: for the report.
        redact: replace what looks like a secret.
        as_json: print one JSON object.
    """
    from session_widgets._store import store

    report = store().export(session, name, path, redact=redact)
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
        return
    console.print(f"{printable(str(report.path))}: {name}, {report.size:,} bytes", soft_wrap=True)
    for what, count in report.left_out.items():
        console.print(f"left out: {count} {what}", soft_wrap=True)
    if report.hits:
        console.print(f"replaced: {plural(len(report.hits), 'secret')}; --keep-secrets keeps them", soft_wrap=True)
    for hit in report.hits[:SHOWN]:
        console.print(f"  {printable(hit.where)}: {hit.shape}, {hit.length} characters", soft_wrap=True)
    if len(report.hits) > SHOWN:
        console.print(f"  and {plural(len(report.hits) - SHOWN, 'hit')} more: --json has all", soft_wrap=True)
