"""`session-widgets sandboxes`: the sandboxes of this installation, and removal of unused ones."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from session_widgets.cli.asking import confirm, may_ask
from session_widgets.cli.errors import errors_told
from session_widgets.printing import one_line, printable

if TYPE_CHECKING:
    from session_widgets._sandboxes import SandboxInfo
    from session_widgets._sessions.sandbox_info import SandboxRow
    from session_widgets._store import Store

sandboxes = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="List sandboxes, and remove those that no session refers to."
)


@sandboxes.command(name="list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False) -> None:
    """List the sandboxes of this installation, from all available providers."""
    from session_widgets._sessions import sandbox_info

    with errors_told():
        found = sandbox_info.sandboxes()
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in found], default=_json, indent=2))
    elif found:
        _draw(found)
    else:
        typer.echo("No sandboxes.")
    _tell_unusable(found.problems)


@sandboxes.command()
def sweep(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the sandboxes to remove.")] = False,
) -> None:
    """Remove the sandboxes that no session of the store refers to. Those of other installations are not touched."""
    from session_widgets._sessions import sandbox_info

    with errors_told():
        found = sandbox_info.sandboxes()
        _tell_unusable(found.problems)
        unwanted = [row for row in found if not row.wanted]
        if not unwanted:
            typer.echo("Nothing to sweep: a session refers to each sandbox.")
            return
        _draw(unwanted)
        if dry_run:
            return
        may_ask(yes)
        if not yes:
            confirm(f"Remove these {len(unwanted)}, with every process in them? Workspaces stay.")
        removed = asyncio.run(_sweep({row.ref for row in unwanted}))
    typer.echo(f"removed {', '.join(str(info.ref) for info in removed) or 'nothing'}")


@sandboxes.command()
def providers() -> None:
    """List the providers of sandboxes, with what is missing for each."""
    from session_widgets._sessions.sandbox_info import sandbox_providers

    with errors_told():
        found = sandbox_providers()
    table = Table("sandbox", "ready", "running", "at most", "options", box=None, pad_edge=False)
    for info in found:
        most = "" if info.most is None else str(info.most)
        cells = (info.name, "no" if info.problem else "yes", str(info.running), most, " ".join(info.options))
        table.add_row(*(Text(one_line(cell)) for cell in cells))
    Console().print(table)
    for info in found:
        if info.problem:  # below the table, where no column cuts the command that helps
            typer.echo(f"\n{info.name}: {one_line(info.problem)}")


@sandboxes.command()
def check(name: Annotated[str, typer.Argument(help='Which: "docker", "e2b", "runner:URL", ...')]) -> None:
    """Make sandboxes, check each sentence of the contract on them, and remove them. Exit code 1 if one does not hold.

    At a cloud this takes about a minute of your account; images are built at first, and stay.
    """
    with errors_told():
        if not asyncio.run(_check(name)):
            raise typer.Exit(1)


async def _check(name: str) -> bool:
    from rich.console import Console

    from session_widgets.cli.sandbox_check import self_test

    began, proofs = time.monotonic(), []
    with Console(stderr=True).status("") as status:
        async for proof in self_test(name, lambda text: status.update(one_line(text))):
            proofs.append(proof)
            typer.echo(f"{'no' if proof.failure else 'yes':5} {proof.seconds:5.1f} s  {one_line(proof.sentence)}")
            if proof.failure:
                typer.echo(f"session-widgets: {printable(proof.failure)}", err=True)
    held = sum(proof.failure is None for proof in proofs)
    typer.echo(f"{held} of {len(proofs)} hold, in {time.monotonic() - began:.0f} s. No sandbox is left.")
    return held == len(proofs)


async def _sweep(shown: set[str]) -> list[SandboxInfo]:
    """Remove the listed sandboxes, except those that a session refers to meanwhile."""
    from session_widgets._sandboxes import get_provider
    from session_widgets._sandboxes.sweep import sweep
    from session_widgets._store import store

    removed = []
    for name in sorted({ref.partition(":")[0] for ref in shown}):
        provider = get_provider(name, store().home)
        removed += await sweep(provider, lambda info: str(info.ref) not in shown or str(info.ref) in _referred(store()))
        await provider.aclose()
    return removed


def _referred(store: Store) -> set[str]:
    return {record.sandbox_ref for record in store.sessions() if record.sandbox_ref}


def _draw(rows: Iterable[SandboxRow]) -> None:
    from session_widgets._sessions.sandbox_info import ran_and_cost

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("ref", "session", "state", "created", "ran", "cost", "owner", ""):
        table.add_column(heading, overflow="fold")
    for row in sorted(rows, key=lambda row: not row.wanted):
        state = "running" if row.running else "stopped"
        created = f"{row.created.astimezone():%Y-%m-%d %H:%M}"
        remark = "" if row.wanted else "no session refers to it"
        cells = (row.ref, row.session, state, created, *ran_and_cost(row), row.owner, remark)
        table.add_row(*(Text(one_line(cell, 128)) for cell in cells))
    Console(highlight=False, markup=False, emoji=False).print(table)


def _json(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else str(value)


def _tell_unusable(unusable: Mapping[str, str]) -> None:
    for name, why in unusable.items():
        typer.echo(f"not asked: {name}, {one_line(why)}", err=True)
