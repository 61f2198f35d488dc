"""What agents did in sessions of the store, by mode, each with its evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from session_widgets._store import store as open_store
from session_widgets.analysis.activity import Facts, activity_of
from session_widgets.analysis.alignment.alignment import read_run
from session_widgets.analysis.failure_modes import find
from session_widgets.analysis.mode import MODES, Behaviour, Ending, place
from session_widgets.errors import BadValue
from session_widgets.printing import html_table, one_line, plural, text_table

if TYPE_CHECKING:
    import pandas as pd

    from session_widgets._store import Store

SHOWN = 20
_STEPS = """select session_id, turn, step, step_uid, is_active and parent is null, started_at, llm_call_id from v_steps
            where session_id in (select unnest(?))"""
_ENDS = """select session_id, turn, status, stop_reason, "error", outcome from v_turns
           where session_id in (select unnest(?)) order by turn"""
_OUTPUT = """select session_id, llm_call_id, output_tokens from v_llm_calls
             where session_id in (select unnest(?)) and usage_scope = 'call' and output_tokens is not null"""
_COLUMNS = ("session_id", "mode", "turn", "step", "detail")


@dataclass(frozen=True, slots=True)
class Behaviours:
    """The result of `behaviours`; `.df()` has one row a finding.

    Attributes:
        ids: the sessions.
        found: the findings, by session, then by mode.
        uids: `step_uid` of each step that is evidence, by session, turn and step.
        figures: how much each session did of what, and how soon.
    """

    ids: tuple[str, ...]
    found: tuple[Behaviour, ...]
    uids: dict[tuple[str, int, int], str]
    figures: tuple[Mapping[str, int | float | None], ...]

    @property
    def counts(self) -> dict[str, int]:
        """The number of sessions by mode, in which it was found."""
        sessions = Counter(mode for _, mode in {(each.session_id, each.mode) for each in self.found})
        return {mode: sessions[mode] for mode in MODES}

    def df(self) -> pd.DataFrame:
        """Return a row a finding: session, mode, the step where it shows, its `step_uid`, all evidence, a detail."""
        import pandas as pd

        names = ("session_id", "mode", "turn", "step", "step_uid", "evidence", "detail")
        return pd.DataFrame([self._row(each) for each in self.found], columns=list(names))

    def activity(self) -> pd.DataFrame:
        """Return a row a session: calls by kind, test runs, files, lines, and how soon the first of them came."""
        import pandas as pd

        return pd.DataFrame(list(self.figures), index=pd.Index(self.ids, name="session_id")).convert_dtypes()

    def _row(self, one: Behaviour) -> tuple[Any, ...]:
        evidence = [self.uids[(one.session_id, *place)] for place in one.steps]
        return one.session_id, one.mode, *one.steps[-1], evidence[-1], evidence, one.detail

    def __str__(self) -> str:
        said = ", ".join(f"{mode} in {count}" for mode, count in self.counts.items() if count) or "nothing"
        return f"{plural(len(self.ids), 'session')}: {said}"

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (one_line(each.session_id, 40), each.mode, *map(str, each.steps[-1]), each.detail)
            for each in self.found[:SHOWN]
        ]

    def __repr__(self) -> str:
        more = f"\nand {len(self.found) - SHOWN:,} more: .df()" if len(self.found) > SHOWN else ""
        return f"{self}\n{text_table(_COLUMNS, self._cells())}{more}" if self.found else str(self)

    def _repr_html_(self) -> str:
        more = f"<p>and {len(self.found) - SHOWN:,} more: <code>.df()</code></p>" if len(self.found) > SHOWN else ""
        return f"<p>{self}</p>{html_table(_COLUMNS, self._cells())}{more}" if self.found else f"<p>{self}</p>"


def behaviours(
    ids: Sequence[str], *, expected: Mapping[str, Sequence[str]] | None = None, store: Store | None = None
) -> Behaviours:
    """Find behaviours in sessions of the store, live or imported, by fixed rules; no model is asked.

    Args:
        ids: the sessions.
        expected: by session, the files that a right solution changes, relative to the workspace, such as those of a
            task's reference patch. Without them "wrong_file" is not looked for.
        store: with the sessions. Default: `session_widgets.store()`.

    Returns:
        The findings, each with the steps that show it; `.activity()` has how much was done, and how soon. Steps of
        subagents and of branches that the user left are not looked at. docs/analysis.md has the modes, their rules, and
        how often they are right.

    Raises:
        BadValue: ids is not a list of texts.
        SessionGone: the store has no such session.

    Example:
        >>> behaviours(["run-a", "run-b"]).df()  # doctest: +SKIP
    """
    if isinstance(ids, str) or not all(isinstance(one, str) for one in ids):
        raise BadValue(f'ids must be a list of sessions, such as ["a", "b"]; got {one_line(repr(ids), 80)}.')
    opened = open_store() if store is None else store
    names = list(dict.fromkeys(ids))
    uids: dict[tuple[str, int, int], str] = {}
    own: set[tuple[str, int, int]] = set()
    began: dict[str, dict[tuple[int, int], datetime]] = {name: {} for name in names}
    calls: dict[str, dict[tuple[int, int], str]] = {name: {} for name in names}
    output: dict[str, dict[str, int]] = {name: {} for name in names}
    for name, call, tokens in opened.sql(_OUTPUT, [names]).fetchall():
        output[name][call] = tokens
    for name, turn, index, uid, looked_at, started, call in opened.sql(_STEPS, [names]).fetchall():
        uids[name, turn, index] = uid
        if started is not None:
            began[name][turn, index] = started
        if call is not None:
            calls[name][turn, index] = call
        if looked_at:
            own.add((name, turn, index))
    ends: dict[str, dict[int, Ending]] = {name: {} for name in names}
    for name, turn, *how in opened.sql(_ENDS, [names]).fetchall():
        ends[name][turn] = Ending(*how)
    found: list[Behaviour] = []
    figures: list[Mapping[str, int | float | None]] = []
    for name in names:
        run = read_run(opened, name)
        steps = [step for step in run.steps if (name, *place(step)) in own]
        actions = [action for action in run.actions if (name, *place(action.step)) in own]
        found += find(name, steps, actions, ends[name], (expected or {}).get(name))
        refused = sum(end.outcome == "refused" for end in ends[name].values())
        facts = Facts(began[name], calls[name], output[name], len(ends[name]), refused)
        figures.append(activity_of(steps, actions, facts))
    return Behaviours(tuple(names), tuple(found), uids, tuple(figures))
