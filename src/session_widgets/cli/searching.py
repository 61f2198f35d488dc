"""`session-widgets search`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from session_widgets.cli.errors import errors_told


def search(
    text: Annotated[str, typer.Argument(help="To search for; upper and lower case are the same.")],
    regex: Annotated[bool, typer.Option("--regex", "-E", help="It is a regular expression (RE2).")] = False,
    case: Annotated[bool, typer.Option("--case", help="Distinguish upper and lower case.")] = False,
    harness: Annotated[list[str] | None, typer.Option(help="Only sessions of this harness; repeat for more.")] = None,
    model: Annotated[str | None, typer.Option(help="A part of the model's name.")] = None,
    tool: Annotated[list[str] | None, typer.Option(help="Only tool calls of this kind, such as execute.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only steps of this kind, such as message.")] = None,
    error: Annotated[
        bool | None, typer.Option("--error/--no-error", help="Only steps that failed, or did not.")
    ] = None,
    file: Annotated[str | None, typer.Option(help="A part of the path of a file that the tool call names.")] = None,
    since: Annotated[str | None, typer.Option(help="From this time on, such as 2026-11-28 (UTC).")] = None,
    until: Annotated[str | None, typer.Option(help="Before this time.")] = None,
    session: Annotated[list[str] | None, typer.Option(help="Only this session; repeat for more.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Hits to print; the newest.")] = 100,
    timeout: Annotated[float, typer.Option(help="Seconds after which it stops with the hits so far.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Search the text of all steps, the input and output of tools. The status is 1 without a hit, as grep's."""
    from session_widgets._store import store

    filters: dict[str, Any] = {"harness": harness, "tool": tool, "kind": kind, "session": session}
    with errors_told():
        hits = store().search(
            text,
            regex=regex,
            case=case,
            model=model,
            error=error,
            file=file,
            since=since,
            until=until,
            limit=limit,
            timeout=timeout,
            **{name: value or None for name, value in filters.items()},
        )
    if as_json:
        about = {"complete": hits.complete, "reason": hits.reason, "sessions": hits.sessions, "steps": hits.steps}
        said = {"hits": [asdict(hit) for hit in hits], **about, "seconds": round(hits.seconds, 3)}
        typer.echo(json.dumps(said, default=str, indent=2))
    else:
        for hit in hits:
            typer.echo(str(hit))
        typer.echo(hits.coverage, err=True)
    if not hits:
        raise typer.Exit(1)
