"""`session-widgets` on the command line: sessions, their transcripts and files, harnesses, sandboxes."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from session_widgets.cli.errors import errors_told
from session_widgets.cli.harness import harness as harness_app
from session_widgets.cli.s3 import s3
from session_widgets.cli.sandbox_option import sandbox_of
from session_widgets.cli.sandboxes import sandboxes
from session_widgets.cli.searching import search
from session_widgets.cli.workspace import workspace as workspace_app
from session_widgets.model import PermissionMode
from session_widgets.printing import one_line, printable
from session_widgets.version import __version__

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(workspace_app, name="workspace")
app.add_typer(harness_app, name="harness")
app.add_typer(sandboxes, name="sandboxes")
app.add_typer(s3, name="s3")
LISTED = ("session_id", "title", "harness", "sandbox", "status", "turns", "updated_at")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Run coding agents, and keep every transcript as data."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def run(
    prompt: Annotated[str, typer.Argument(help="The task for the agent; '-' reads it from standard input.")],
    session: Annotated[str | None, typer.Option(help="Continue this session, or start it. Default: a new one.")] = None,
    harness: Annotated[str | None, typer.Option(help="The agent program. Default: 'demo'.")] = None,
    sandbox: Annotated[
        str | None,
        typer.Option(
            help="Where it runs: 'local' (the default) isolates nothing unless --confine, 'docker' is a container."
        ),
    ] = None,
    image: Annotated[str | None, typer.Option(help="Image of a docker sandbox.")] = None,
    cpus: Annotated[float | None, typer.Option(help="Processors of a docker sandbox, such as 0.5.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory of a docker sandbox, such as 2g.")] = None,
    env: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A variable of this terminal for the sandbox.")
    ] = None,
    mount: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HERE:THERE", help="A directory that a docker or confined sandbox may read, and its path inside."
        ),
    ] = None,
    setup: Annotated[
        list[str] | None,
        typer.Option(metavar="COMMAND", help="Run once, as root, before the agent exists; docker and clouds."),
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="What programs there may reach: 'none', or a host or range; repeat it."),
    ] = None,
    confine: Annotated[
        bool,
        typer.Option(
            "--confine", help="Of a local sandbox (Linux, bubblewrap): hide this machine's files and processes."
        ),
    ] = False,
    workspace: Annotated[
        str | None, typer.Option(help="Working directory, or s3://bucket/prefix. Default: the session's own.")
    ] = None,
    attachment: Annotated[
        str | None,
        typer.Option(
            help="Of a workspace in a bucket: sync (the default), direct, fuse:s3fs, fuse:weed or fuse:geesefs."
        ),
    ] = None,
    permissions: Annotated[
        PermissionMode | None,
        typer.Option(
            help="What the agent may do unasked; by default as the session was left. A new one has 'ask', which "
            "rejects where no terminal is there to ask."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one event a line.")] = False,
) -> None:
    """Send a prompt and print the answer as it comes. Ctrl-C cancels the turn.

    Exit code: 0 if the turn completed, 1 if it failed, 130 if it was cancelled.
    """
    from session_widgets._sessions import open_session
    from session_widgets.cli.run import EXIT_CODES, run_turn

    console = _console()
    with errors_told():
        opened = open_session(
            session or f"run-{datetime.now(UTC):%Y%m%d-%H%M%S}-{token_hex(2)}",
            harness=harness,
            sandbox=sandbox_of(
                sandbox, image, cpus, memory, env or (), mount or (), setup or (), network or (), confine=confine
            ),
            workspace=workspace,
            attachment=attachment,
            permissions=permissions,
        )
        turn = run_turn(opened, sys.stdin.read() if prompt == "-" else prompt, console, as_json=as_json)
        if not as_json:
            console.print(
                Text(f"continue with: session-widgets run --session {opened.id} PROMPT", style="dim"), soft_wrap=True
            )
        opened.detach()
    raise typer.Exit(EXIT_CODES.get(turn.status, 1))


@app.command()
def sessions(as_json: AsJson = False) -> None:
    """List the sessions of the store, the latest first."""
    from session_widgets._store import store

    with errors_told():
        found = store().sql("select * from v_sessions order by updated_at desc")
        rows = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
    if as_json:
        typer.echo(json.dumps(rows, default=str, indent=2))
        return
    if not rows:
        typer.echo('No sessions yet. Start one: session-widgets run "hello"')
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in LISTED:
        heading = name.removesuffix("_id").removesuffix("_at")
        table.add_column(heading, overflow="fold", no_wrap=False, min_width=len(heading))
    for row in rows:
        table.add_row(*(Text(_cell(row[name])) for name in LISTED))
    _console().print(table)


@app.command("import")
def import_(
    paths: Annotated[list[str], typer.Argument(help="Session files of other programs, or directories of them.")],
    redact: Annotated[bool, typer.Option("--redact", help="Replace what looks like a secret.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import transcripts of other programs into the store; unchanged files are not read again."""
    from session_widgets.cli.importing import run_import

    with errors_told():
        run_import(paths, _console(), redact=redact, as_json=as_json)


@app.command()
def compare(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Two to eight sessions of the store.")],
    as_json: AsJson = False,
) -> None:
    """Set sessions side by side: their figures, their aligned tool calls, and where they part."""
    from session_widgets.cli.comparing import print_comparison

    with errors_told():
        print_comparison(ids, as_json=as_json)


app.command()(search)


@app.command()
def stats(as_json: AsJson = False) -> None:
    """Print the figures of all sessions by harness and model."""
    from session_widgets.cli.comparing import print_stats

    with errors_told():
        print_stats(as_json=as_json)


@app.command()
def replay(
    session: Annotated[str, typer.Argument(metavar="ID", help="The session, or a file of another program.")],
    at: Annotated[
        str | None, typer.Option(metavar="TURN/STEP", help="A step, such as 2/14, or the number of an event.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Go through a session step by step with the keyboard; without a terminal print its steps, or the one at --at.

    With --json print one moment: steps, plan, commands, and what is known of the files. Default: the last.
    """
    from session_widgets.cli.replaying import run_replay

    with errors_told():
        run_replay(session, at, as_json=as_json)


@app.command()
def check(as_json: AsJson = False) -> None:
    """Verify the whole store, and change nothing: events, imported lines, derived rows. Exit code: 1 for a finding."""
    from session_widgets.cli.checking import run_check

    with errors_told():
        ok = run_check(as_json=as_json)
    raise typer.Exit(0 if ok else 1)


KeepSecrets = Annotated[bool, typer.Option("--keep-secrets", help="Do not replace what looks like a secret.")]


@app.command()
def export(
    session: Annotated[str, typer.Argument(metavar="ID", help="The session.")],
    format_name: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            help="atif, inspect-eval, claude-code, codex, otel, acp, html, parquet; of an import also its own.",
        ),
    ],
    file: Annotated[str, typer.Argument(metavar="FILE", help="The new file; for parquet a folder.")],
    keep_secrets: KeepSecrets = False,
    as_json: AsJson = False,
) -> None:
    """Write a session to a file of another program's format. What looks like a secret is replaced and listed."""
    from session_widgets.cli.exporting import run_export

    with errors_told():
        run_export(session, format_name, file, _console(), redact=not keep_secrets, as_json=as_json)


@app.command()
def html(
    session: Annotated[str, typer.Argument(metavar="ID", help="The session.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="The new file.")],
    keep_secrets: KeepSecrets = False,
    as_json: AsJson = False,
) -> None:
    """Write a session as one HTML file that needs no network and has no script."""
    from session_widgets.cli.exporting import run_export

    with errors_told():
        run_export(session, "html", file, _console(), redact=not keep_secrets, as_json=as_json)


@app.command()
def runner(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new directory for its files, or one of before.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; only this machine reaches the default.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 9000,
) -> None:
    """Offer this machine to a notebook on another one: sandbox="runner:http://...". Runs until Ctrl-C."""
    from session_widgets.cli.runner import serve

    with errors_told():
        serve(folder.expanduser().absolute(), host, port)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check this machine, and print a remedy for each problem; a dash marks optional parts."""
    from session_widgets.cli.doctor import checks

    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks()], indent=2))
        return
    console = _console()
    for check in checks():
        mark = (
            Text("yes", style="green")
            if check.ok
            else Text(" - ", style="dim")
            if check.optional
            else Text("no ", style="yellow")
        )
        remedy = f"\n      {printable(check.remedy)}" if check.remedy else ""
        line = Text.assemble(mark, f"   {check.name}: {one_line(check.found)}", (remedy, "dim"))
        console.print(line, soft_wrap=True)


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone():%Y-%m-%d %H:%M}"
    return "" if value is None else one_line(str(value), 40)


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)
