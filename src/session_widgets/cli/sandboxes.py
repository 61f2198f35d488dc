"""`session-widgets sandboxes`: the sandboxes of this installation, and removal of unused ones."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
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
    from session_widgets._store import Store

sandboxes = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="List sandboxes, and remove those that no session refers to."
)


@dataclass(frozen=True, slots=True)
class Survey:
    """The sandboxes of this installation: those of sessions, the others, and the providers that could not answer."""

    wanted: list[SandboxInfo]
    unwanted: list[SandboxInfo]
    unusable: dict[str, str]


@sandboxes.command(name="list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False) -> None:
    """List the sandboxes of this installation, from all available providers."""
    with errors_told():
        survey = _survey()
    if as_json:
        rows = [_row(info, wanted=True) for info in survey.wanted] + [_row(i, wanted=False) for i in survey.unwanted]
        typer.echo(json.dumps(rows, default=str, indent=2))
    elif survey.wanted or survey.unwanted:
        _draw(survey.wanted, survey.unwanted)
    else:
        typer.echo("No sandboxes.")
    _tell_unusable(survey)


@sandboxes.command()
def sweep(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the sandboxes to remove.")] = False,
) -> None:
    """Remove the sandboxes that no session of the store refers to. Those of other installations are not touched."""
    with errors_told():
        survey = _survey()
        _tell_unusable(survey)
        if not survey.unwanted:
            typer.echo("Nothing to sweep: a session refers to each sandbox.")
            return
        _draw((), survey.unwanted)
        if dry_run:
            return
        may_ask(yes)
        if not yes:
            confirm(f"Remove these {len(survey.unwanted)}, with every process in them? Workspaces stay.")
        removed = asyncio.run(_sweep({str(info.ref) for info in survey.unwanted}))
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

    At a cloud this takes about a minute of your account.
    """
    with errors_told():
        if not asyncio.run(_check(name)):
            raise typer.Exit(1)


async def _check(name: str) -> bool:
    from session_widgets.cli.sandbox_check import self_test

    began, proofs = time.monotonic(), []
    async for proof in self_test(name):
        proofs.append(proof)
        typer.echo(f"{'no' if proof.failure else 'yes':5} {proof.seconds:5.1f} s  {one_line(proof.sentence)}")
        if proof.failure:
            typer.echo(f"session-widgets: {printable(proof.failure)}", err=True)
    held = sum(proof.failure is None for proof in proofs)
    typer.echo(f"{held} of {len(proofs)} hold, in {time.monotonic() - began:.0f} s. No sandbox is left.")
    return held == len(proofs)


def _survey() -> Survey:
    from session_widgets._store import store

    found, unusable = asyncio.run(_find())
    known = _referred(store())  # after the listing: a sandbox is in the store before it exists
    wanted = [info for info in found if str(info.ref) in known]
    return Survey(wanted, [info for info in found if str(info.ref) not in known], unusable)


async def _find() -> tuple[list[SandboxInfo], dict[str, str]]:
    """Query every provider; return its sandboxes, or why it cannot answer."""
    from session_widgets._sandboxes.survey import survey
    from session_widgets._store import store

    answers = await survey(store().home)
    found = [info for one in answers for info in one.sandboxes]
    return found, {one.name: one.problem for one in answers if not one.complete}


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


def _row(info: SandboxInfo, *, wanted: bool) -> dict[str, object]:
    return {
        "ref": str(info.ref),
        "session": info.session_id,
        "running": info.running,
        "created": info.created_at,
        "owner": info.owner,
        "wanted": wanted,
    }


def _draw(wanted: Iterable[SandboxInfo], unwanted: Iterable[SandboxInfo]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("ref", "session", "state", "created", "owner", ""):
        table.add_column(heading, overflow="fold")
    for infos, remark in ((wanted, ""), (unwanted, "no session refers to it")):
        for info in infos:
            state = "running" if info.running else "stopped"
            created = f"{info.created_at.astimezone():%Y-%m-%d %H:%M}"
            cells = (str(info.ref), info.session_id, state, created, info.owner, remark)
            table.add_row(*(Text(one_line(cell, 128)) for cell in cells))
    Console(highlight=False, markup=False, emoji=False).print(table)


def _tell_unusable(survey: Survey) -> None:
    for name, why in survey.unusable.items():
        typer.echo(f"not asked: {name}, {one_line(why)}", err=True)
