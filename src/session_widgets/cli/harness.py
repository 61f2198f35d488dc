"""`session-widgets harness`: list, install, remove and check agent programs."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from session_widgets.cli.errors import errors_told
from session_widgets.printing import one_line, printable
from session_widgets.ticker import Ticker

if TYPE_CHECKING:
    from session_widgets._sessions.harness_info import HarnessInfo

harness = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="List, install and try the agent programs that sessions run."
)


@harness.command(name="list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False) -> None:
    """List the harnesses, and the missing requirements of each. Keys are shown by name only."""
    from session_widgets._sessions.harness_info import harnesses

    with errors_told():
        found = harnesses()
    if as_json:
        typer.echo(json.dumps([asdict(info) | {"missing": _missing(info)} for info in found], indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("harness", "title", "version", "installed", "to do"):
        table.add_column(heading, overflow="fold")
    for info in found:
        facts = (info.id, info.title, info.version, "yes" if info.installed else "no", "; ".join(_missing(info)))
        table.add_row(*(Text(one_line(fact)) for fact in facts))
    Console(highlight=False, markup=False, emoji=False).print(table)


@harness.command()
def install(
    names: Annotated[list[str] | None, typer.Argument(help="Harnesses. Default: all that are not installed.")] = None,
) -> None:
    """Install harnesses for this user: npm packages of exact versions, verified, without administrator rights."""
    from session_widgets._sessions.harness_info import harnesses, installations

    with errors_told():
        chosen = installations(names or [info.id for info in harnesses() if not info.installed])
        todo = [one for one in chosen if one.modules is None]
        for one in chosen:
            if one.modules is not None:
                typer.echo(f"{one.harness.title} {one.harness.version} is installed: {one.path}")
        if not chosen:
            typer.echo("All of them are installed.")
        ticker = Ticker()
        for one in todo:
            if not sys.stderr.isatty():
                typer.echo(f"installing {one.harness.title} {one.harness.version}", err=True)
            try:
                one.install(ticker.show)
            finally:
                ticker.show(None)
            size = (one.size or 0) / 1e6
            typer.echo(f"installed {one.harness.title} {one.harness.version}, {size:.0f} MB: {one.path}")


@harness.command()
def remove(names: Annotated[list[str], typer.Argument(help="Which.")]) -> None:
    """Remove installed harnesses, including older releases. Sessions stay; a harness can be installed again by name."""
    from session_widgets._sessions.harness_info import installations

    with errors_told():
        for one in installations(names):
            typer.echo(f"removed {one.harness.id}" if one.remove() else f"{one.harness.id} was not installed")


@harness.command()
def check(
    name: Annotated[str, typer.Argument(help="Which.")],
    model: Annotated[str | None, typer.Option(help="As the harness names it. Default: its own.")] = None,
) -> None:
    """Send it one prompt in a temporary session on this machine, and report the result. Exit code 1 if it fails.

    A harness with a model spends a few tokens of your key.
    """
    from session_widgets._store.redaction import redactor
    from session_widgets.cli.harness_check import self_test

    hide = redactor().plain
    with errors_told():
        for proof in self_test(name, model):
            if not proof.ok:
                said = printable(hide(proof.found))
                typer.echo(f"session-widgets: {name} did not {proof.name}: {said}", err=True)
                raise typer.Exit(1)
            typer.echo(f"yes   {proof.name}: {one_line(hide(proof.found))}")


def _missing(info: HarnessInfo) -> list[str]:
    command = f"session-widgets harness install {info.id}"
    return [command if remedy == info.install and not info.installed else remedy for remedy in info.missing]
