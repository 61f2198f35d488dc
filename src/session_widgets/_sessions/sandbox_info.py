"""Sandboxes for users: providers with what they lack, and the sandboxes of all sessions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from session_widgets._sessions import display
from session_widgets._sessions.loop import private_loop
from session_widgets.model import Capability, SandboxRef
from session_widgets.printing import html_table, one_line, text_table
from session_widgets.transcript.notes import SandboxStopped

if TYPE_CHECKING:
    from session_widgets._sandboxes.survey import Found

_PROVIDER_COLUMNS = ("sandbox", "ready", "running", "at most", "features", "options of sw.Sandbox", "what is missing")
_SANDBOX_COLUMNS = ("sandbox", "session", "state", "deadline", "age", "ran", "cost, estimated", "owner")
_RAN = """
    select sandbox_ref, sum(seconds)::double, sum(seconds) filter (ended_at is not null)::double,
        sum(cost_estimated), sum(cost_estimated) filter (ended_at is not null), any_value(currency),
        count(unpriced) > 0, count(*) > count(seconds), count(*) > count(ended_at)
    from v_sandboxes group by sandbox_ref"""
FEATURES = {
    Capability.ISOLATED: "isolated",
    Capability.SHARES_FILES: "works on files of this machine",
    Capability.PORTS: "ports",
    Capability.PARK_KEEPS_PROCESSES: "pauses with its memory",
    Capability.EXTERNAL: "a server of somebody else",
}


@dataclass(frozen=True, slots=True)
class ProviderInfo:
    """One provider of sandboxes.

    Attributes:
        name: for `open_session(sandbox=...)`; "runner" needs an address: "runner:URL".
        running: sandboxes of this installation that run.
        most: how many may run at a time; None: any number.
        features: what it can do.
        options: fields of `Sandbox` that it accepts.
        problem: what is missing, with the remedy; empty if it is ready.
    """

    name: str
    running: int
    most: int | None
    features: tuple[str, ...]
    options: tuple[str, ...]
    problem: str = ""


class ProviderList(list[ProviderInfo]):
    """Providers; a notebook draws them as a table."""

    def __repr__(self) -> str:
        return text_table(_PROVIDER_COLUMNS, [_provider_cells(info) for info in self])

    def _repr_html_(self) -> str:
        return html_table(_PROVIDER_COLUMNS, [_provider_cells(info) for info in self], left=True)


@dataclass(frozen=True, slots=True)
class SandboxRow:
    """One sandbox.

    Attributes:
        ref: such as "e2b:3f2a90c1d4e7".
        session: id of its session.
        owner: user and machine that made it.
        running: False if it is parked.
        created: when it was made, in UTC.
        deadline: when the provider parks or ends it unless it is used, in UTC; None if it does not say.
        seconds: how long it has run so far, as far as the store knows; None if it knows nothing.
        cost: what these seconds cost, by `v_sandbox_rates`: an estimate; None if it is not known.
        currency: of `cost`.
        partial: whether `seconds` or `cost` lacks some time: it has run, and cost, more.
        wanted: whether a session of the store refers to it. The others are what `sandboxes sweep` removes.
        working: whether a turn runs in it, according to the store.
    """

    ref: str
    session: str
    owner: str
    running: bool
    created: datetime
    deadline: datetime | None
    wanted: bool = field(compare=False)
    working: bool = field(default=False, compare=False)
    seconds: float | None = field(default=None, compare=False)
    cost: Decimal | None = field(default=None, compare=False)
    currency: str | None = field(default=None, compare=False)
    partial: bool = field(default=False, compare=False)

    def park(self) -> None:
        """End its processes and park it; its files stay. A session continues with its next prompt.

        The session is parked with it, as by `Session.park`, if it is open in this process and no turn runs.
        """
        from session_widgets._sessions.opening import opened
        from session_widgets._store import store

        session = opened(store(), self.session) if self.wanted and not self.working else None
        if session is None:
            private_loop().run(_park(self.ref))
        else:
            session.park()

    def destroy(self) -> bool:
        """End and remove it, with files that are saved nowhere else; False if it was gone already.

        `delete()` of its session saves the files first, or asks.
        """
        removed = private_loop().run(_destroy(self.ref))
        if self.wanted:
            _end(self.ref)
        return removed


class SandboxList(list[SandboxRow]):
    """Sandboxes; a notebook draws them as a table with buttons.

    Attributes:
        problems: why a provider could not be asked, by its name.
    """

    def __init__(self, rows: Sequence[SandboxRow], problems: dict[str, str]) -> None:
        super().__init__(rows)
        self.problems = problems

    def __repr__(self) -> str:
        return text_table(_SANDBOX_COLUMNS, [_sandbox_cells(row) for row in self]) if self else "No sandboxes."

    def _ipython_display_(self) -> None:
        """Show the table."""
        display.draw_sandboxes(self)

    def _repr_html_(self) -> str:
        cells = [_sandbox_cells(row) for row in self]
        return html_table(_SANDBOX_COLUMNS, cells, left=True) if cells else "No sandboxes."


def sandbox_providers() -> ProviderList:
    """Return what `open_session(sandbox=...)` knows by name, with what is missing for each.

    A cloud whose SDK and key are there is asked for its running sandboxes, which takes up to seconds.

    Example:
        >>> [provider.name for provider in sandbox_providers() if not provider.problem]  # doctest: +SKIP
        ['docker', 'e2b', 'local', 'runner', 'sandbox-agent']
    """
    return ProviderList(_provider(found) for found in private_loop().run(_survey()))


def sandboxes() -> SandboxList:
    """Return the sandboxes of all sessions of this installation, and those that no session refers to.

    Example:
        >>> for row in sandboxes():  # doctest: +SKIP
        ...     row.park()
    """
    from session_widgets._store import store

    found = private_loop().run(_survey())
    known = {record.sandbox_ref: record.status for record in store().sessions()}  # later: stored before it exists
    ran = {ref: facts for ref, *facts in store().sql(_RAN).fetchall()}
    rows = [
        SandboxRow(
            ref=str(info.ref),
            session=info.session_id,
            owner=info.owner,
            running=info.running,
            created=info.created_at,
            deadline=info.expires_at,
            wanted=str(info.ref) in known,
            working=known.get(str(info.ref)) == "running",
            **_ran(ran.get(str(info.ref)), running=info.running),
        )
        for one in found
        for info in one.sandboxes
    ]
    return SandboxList(rows, {one.name: one.problem for one in found if not one.complete})


def _end(ref: str) -> None:
    """Note in its session that a sandbox is gone: it costs nothing more."""
    from session_widgets._sessions.journal import note
    from session_widgets._sessions.opening import opened
    from session_widgets._store import store

    for record in store().sessions():
        if record.sandbox_ref == ref:
            ended = [note(SandboxStopped(ref=ref, reason="gone"))]
            if (session := opened(store(), record.id)) is None:
                store().append(record.id, ended)
            else:
                private_loop().run(session._controller.state.journal.commit(ended))


def _ran(facts: list[Any] | None, *, running: bool) -> dict[str, Any]:
    """Return the fields of a row about its time; of one that parked itself without the time since its last start."""
    if facts is None:
        return {}
    seconds, ended, cost, ended_cost, currency, unpriced, unseen, unended = facts
    if not running:
        seconds, cost = ended, ended_cost
    partial = bool(unseen or (unpriced and cost is not None) or (unended and not running))
    return {"seconds": seconds, "cost": cost, "currency": None if cost is None else currency, "partial": partial}


async def _survey() -> list[Found]:
    from session_widgets._sandboxes.survey import survey
    from session_widgets._store import store

    return await survey(store().home)


async def _park(ref: str) -> None:
    from session_widgets._sandboxes import get_provider
    from session_widgets._store import store

    sandbox = SandboxRef.parse(ref)
    provider = get_provider(sandbox.provider, store().home)
    await provider.park(sandbox)
    await provider.aclose()


async def _destroy(ref: str) -> bool:
    from session_widgets._sandboxes import get_provider
    from session_widgets._store import store

    sandbox = SandboxRef.parse(ref)
    provider = get_provider(sandbox.provider, store().home)
    removed = await provider.destroy(sandbox)
    await provider.aclose()
    return removed


def _provider(found: Found) -> ProviderInfo:
    provider = found.provider
    capabilities = provider.capabilities if provider else Capability.NONE
    return ProviderInfo(
        name=found.name,
        running=sum(info.running for info in found.sandboxes),
        most=found.most,
        features=features(capabilities),
        options=tuple(sorted(getattr(provider, "options", ()))),
        problem=found.problem,
    )


def features(capabilities: Capability) -> tuple[str, ...]:
    """Return what capabilities mean to users."""
    return tuple(words for one, words in FEATURES.items() if one in capabilities)


def _provider_cells(info: ProviderInfo) -> tuple[str, ...]:
    most = "" if info.most is None else str(info.most)
    facts = ("no" if info.problem else "yes", str(info.running), most, ", ".join(info.features), " ".join(info.options))
    return tuple(one_line(fact, 200) for fact in (info.name, *facts, info.problem))


def _sandbox_cells(row: SandboxRow) -> tuple[str, ...]:
    now = datetime.now(UTC)
    deadline = "" if row.deadline is None else f"in {_time((row.deadline - now).total_seconds())}"
    session = row.session if row.wanted else f"{row.session} (no session refers to it)"
    state = "running" if row.running else "parked"
    age = _time((now - row.created).total_seconds())
    facts = (row.ref, session, state, deadline, age, *ran_and_cost(row), row.owner)
    return tuple(one_line(fact, 120) for fact in facts)


def ran_and_cost(row: SandboxRow) -> tuple[str, str]:
    """Return how long a sandbox has run and what it cost, for people; empty if it is not known."""
    least = "at least " if row.partial else ""
    ran = "" if row.seconds is None else f"{least}{_time(row.seconds)}"
    if row.cost is None:
        return ran, ""
    if 0 < row.cost < Decimal("0.01"):
        return ran, "" if row.partial else f"below 0.01 {row.currency}"
    return ran, f"{least}{row.cost:.2f} {row.currency}"


def _time(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
