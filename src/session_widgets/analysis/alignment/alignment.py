"""Sessions side by side: the object that `align` returns, and how it reads the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

from session_widgets._store import store as open_store
from session_widgets.analysis.alignment.actions import Action, actions_of
from session_widgets.analysis.alignment.divergence import (
    Divergence,
    Ending,
    action_divergence,
    column_similarity,
    edit_divergence,
    file_divergence,
    outcome_divergence,
)
from session_widgets.analysis.alignment.progressive import Columns, align_runs
from session_widgets.errors import BadValue, SessionGone
from session_widgets.printing import html_table, one_line, plural, text_table
from session_widgets.transcript.notes import AgentStarted, SessionChanged, SessionForked, SessionOpened
from session_widgets.transcript.outcomes import outcome
from session_widgets.transcript.records import SessionRecord, Step

if TYPE_CHECKING:
    import pandas as pd

    from session_widgets._store import Store

FEWEST, MOST = 2, 8
SHOWN = 60
"""Lines of a drawn alignment."""
_CELL = 48


@dataclass(frozen=True, slots=True)
class Divergences:
    """Where the runs part, in four respects.

    Attributes:
        action: from where on their actions are no longer alike.
        file_state: the first difference of the files that they edited.
        edit: the first change of a file that is not the same.
        outcome: the outcomes of their last turns.
    """

    action: Divergence
    file_state: Divergence
    edit: Divergence
    outcome: Divergence


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A session, as an alignment reads it.

    Attributes:
        steps: all of them.
        actions: its tool calls.
    """

    record: SessionRecord
    steps: Sequence[Step]
    actions: Sequence[Action]
    ending: Ending


class Alignment:
    """The tool calls of several runs in columns: those in one column have the same place in their runs.

    Attributes:
        ids: the sessions, in the order of the call.
        runs: the actions of each.
        columns: for each column, the index of each run's action, or None where it has none.
    """

    def __init__(self, ids: Sequence[str], runs: Sequence[Sequence[Action]], endings: Sequence[Ending]) -> None:
        self.ids = tuple(ids)
        self.runs = tuple(tuple(run) for run in runs)
        self.columns: Columns = align_runs(self.runs)
        self._endings = tuple(endings)

    @classmethod
    def of(cls, runs: Sequence[StoredRun]) -> Alignment:
        """Align sessions that were read."""
        return cls([run.record.id for run in runs], [run.actions for run in runs], [run.ending for run in runs])

    @cached_property
    def similarity(self) -> tuple[float, ...]:
        """Of each column the mean similarity of all pairs of runs, between 0 and 1; 1 for equal actions."""
        return tuple(column_similarity(self.runs, column) for column in self.columns)

    @cached_property
    def divergence(self) -> Divergences:
        """Where the runs part."""
        return Divergences(
            action_divergence(self.similarity),
            file_divergence(self.runs, self.columns, self._endings),
            edit_divergence(self.runs, self.columns),
            outcome_divergence(self.columns, self._endings),
        )

    def df(self) -> pd.DataFrame:
        """Return a pandas frame with one row a column and session.

        Columns: `column`, `session_id`, `turn`, `step` (as in `v_steps`; empty for a gap), `kind`, `target`, `title`,
        `failed`, `similarity` (of the column), `divergence` (the respects in which the runs part there, or empty).
        """
        import pandas as pd

        marks = self.marks
        rows: list[dict[str, Any]] = []
        for number, (column, similarity) in enumerate(zip(self.columns, self.similarity, strict=True)):
            for session_id, actions, place in zip(self.ids, self.runs, column, strict=True):
                action = None if place is None else actions[place]
                rows.append(
                    {
                        "column": number,
                        "session_id": session_id,
                        "turn": action and action.step.turn,
                        "step": action and action.step.index,
                        "kind": action and action.kind,
                        "target": action and action.target,
                        "title": action and action.step.title,
                        "failed": action and action.failed,
                        "similarity": similarity,
                        "divergence": ", ".join(marks.get(number, ())),
                    }
                )
        names = (
            "column",
            "session_id",
            "turn",
            "step",
            "kind",
            "target",
            "title",
            "failed",
            "similarity",
            "divergence",
        )
        types = {"column": "int64", "turn": "Int64", "step": "Int64", "failed": "boolean", "similarity": "float64"}
        return pd.DataFrame(rows, columns=list(names)).astype(types)

    @property
    def summary(self) -> str:
        """The size of the alignment, and where the runs part, as text."""
        alike = sum(value == 1 for value in self.similarity)
        sizes = " + ".join(str(len(run)) for run in self.runs)
        lines = [f"{sizes} actions in {plural(len(self.columns), 'column')}, {alike} of them equal in all runs"]
        for field in fields(Divergences):
            found: Divergence = getattr(self.divergence, field.name)
            end = found.column == len(self.columns)
            place = "" if found.column is None else "at the end: " if end else f"from column {found.column}: "
            lines.append(f"{field.name.replace('_', ' ')}: {place}{found.detail}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"{text_table(*self._table())}\n{self.summary}"

    def _repr_html_(self) -> str:
        return f"{html_table(*self._table())}<p>{'<br>'.join(escape(self.summary).splitlines())}</p>"

    @property
    def marks(self) -> dict[int, list[str]]:
        """The respects in which the runs part, by column."""
        marks: dict[int, list[str]] = {}
        for field in fields(Divergences):
            found: Divergence = getattr(self.divergence, field.name)
            if found.column is not None:
                marks.setdefault(found.column, []).append(field.name.replace("_", " "))
        return marks

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return headings and lines: a row of equal columns is one line, the middle of a long table is left out."""
        marks = self.marks
        lines: list[tuple[str, ...]] = []
        equal = 0
        for number, (column, similarity) in enumerate(zip(self.columns, self.similarity, strict=True)):
            if similarity == 1 and number not in marks:
                equal += 1
                continue
            lines += self._folded(number, equal)
            equal = 0
            sign = "=" if similarity == 1 else "~" if similarity >= 0.5 else "≠"
            lines.append((str(number), sign, *self._cells(column), ", ".join(marks.get(number, ()))))
        lines += self._folded(len(self.columns), equal)
        if len(lines) > SHOWN:
            left_out = f"{len(lines) - SHOWN} lines are not shown; .df() has all"
            rest = ("",) * len(self.ids)
            lines[SHOWN // 2 : len(lines) - SHOWN // 2] = [("...", "", left_out, *rest)]
        return ("column", "", *(one_line(session_id, _CELL) for session_id in self.ids), "divergence"), lines

    def _folded(self, end: int, count: int) -> list[tuple[str, ...]]:
        if count > 3:
            return [(f"{end - count}-{end - 1}", "=", f"{count} columns are equal", *("",) * len(self.ids))]
        return [(str(n), "=", *self._cells(self.columns[n]), "") for n in range(end - count, end)]

    def _cells(self, column: tuple[int | None, ...]) -> list[str]:
        actions = [None if place is None else run[place] for run, place in zip(self.runs, column, strict=True)]
        return [
            "" if one is None else one_line(f"{one.kind} {one.target}{' (failed)' if one.failed else ''}", _CELL)
            for one in actions
        ]


def align(ids: Sequence[str], *, store: Store | None = None) -> Alignment:
    """Align the tool calls of two to eight sessions and find where they part.

    Tool calls are compared as ACP kind, target (file, command, pattern) and arguments, so that paths of different
    workspaces and inputs of different harnesses do not count.

    Args:
        ids: the sessions.
        store: with the sessions. Default: `session_widgets.store()`.

    Returns:
        The alignment, readable at a prompt and in a cell: `.divergence`, `.columns`, `.similarity`, `.df()`.

    Raises:
        BadValue: there are not two to eight different ids.
        SessionGone: the store has no such session.
    """
    check_ids(ids)
    opened = open_store() if store is None else store
    return Alignment.of([read_run(opened, session_id) for session_id in ids])


def check_ids(ids: Sequence[str]) -> None:
    """Check that these are two to eight different texts; raise `BadValue` otherwise."""
    if isinstance(ids, str) or not isinstance(ids, Sequence) or not all(isinstance(one, str) for one in ids):
        raise BadValue(f'ids must be a list of sessions, such as ["a", "b"]; got {one_line(repr(ids), 80)}.')
    if not FEWEST <= len(ids) <= MOST or len(set(ids)) < len(ids):
        raise BadValue(f"expected {FEWEST} to {MOST} different sessions; got {one_line(repr(list(ids)), 200)}.")


def read_run(store: Store, session_id: str) -> StoredRun:
    """Read a session for an alignment.

    Raises:
        SessionGone: the store has no such session.
    """
    record = store.session(session_id)
    if record is None:
        raise SessionGone(f"the store has no session {session_id!r}; session_widgets.sessions() lists those it has.")
    steps = store.steps(session_id)
    actions = actions_of(steps, [path.rstrip("/") for path in _roots(store, record) if path.startswith("/")])
    turns = store.turns(session_id)
    if not turns:
        return StoredRun(record, steps, actions, Ending())
    files = {file.path: file.size for turn in turns for file in turn.files}
    last = turns[-1]
    how = outcome(last.status, last.stop_reason, last.error, last.failure)
    return StoredRun(record, steps, actions, Ending(how, tuple(sorted(files.items()))))


def _roots(store: Store, record: SessionRecord) -> list[str]:
    """Return the paths that the workspace has had: a fork's first steps name the one of the other session."""
    kinds = [note.kind for note in (AgentStarted, SessionOpened, SessionChanged, SessionForked)]
    query = """select distinct coalesce(payload ->> 'cwd', payload ->> 'workspace') from v_events
               where session_id = ? and direction = 'note' and kind in (select unnest(?))"""
    found = [path for (path,) in store.sql(query, [record.id, kinds]).fetchall() if path]
    return sorted({*found, record.workspace}, key=len, reverse=True)
