"""Runs side by side, as of one moment, for the page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property
from typing import TypedDict

from session_widgets._store import Store
from session_widgets._store.redaction import redactor
from session_widgets.analysis import Alignment, Metrics, metrics
from session_widgets.analysis.alignment import Divergences, StoredRun, read_run
from session_widgets.analysis.run_metrics import METRICS, Figures, figure
from session_widgets.errors import BadValue, SessionGone
from session_widgets.printing import one_line
from session_widgets.transcript.records import Step
from session_widgets.transcript.tool_input import script_of
from session_widgets.widgets._final_files import FinalFiles
from session_widgets.widgets._text import safe
from session_widgets.widgets._views import StepView
from session_widgets.widgets._wire import step_view

MAX_COLUMNS = 200
"""Columns that are sent at once."""
MAX_STEPS = 40
"""Steps of a run that are sent for one column, the last ones."""
_GIST = 280
_TITLE = 300
_THERE = re.compile(r"^\s*cd\s+\S+\s*(?:&&|;)\s*(?=\S)")
"""In front of a command: the directory is that of the run."""
_SAYING = ("user", "message", "error", "subagent", "compaction")


class RunView(TypedDict):
    """A run; `missing` if the store does not have it, `running` while a turn runs.

    `deleted` says that the store had it when it was compared first. `root` is its workspace: paths below it are shown
    without it.
    """

    id: str
    title: str | None
    harness: str
    model: str | None
    origin: str
    root: str
    outcome: str | None
    missing: bool
    deleted: bool
    running: bool


class MetricView(TypedDict):
    """A figure of all runs as text, and its difference to the first run; "" if it is unknown or none."""

    label: str
    values: list[str]
    differences: list[str]


class DivergenceView(TypedDict):
    """Where the runs part in one respect; `column` is the number of columns if only the end differs."""

    name: str
    column: int | None
    detail: str


class CellView(TypedDict):
    """A tool call in a column, with what was said before it; `title` is its command, or its normalised target.

    `said` is the start of the last text before it, of kind `said_kind`, and `steps` the number of steps between.
    """

    turn: int
    index: int
    kind: str
    title: str
    failed: bool
    said: str
    said_kind: str
    steps: int


class ComparisonView(TypedDict):
    """The runs, without the content of columns.

    `signs` has a character a column: "=" for equal actions, "~" for similar ones, "!" for different ones. `problem`
    says why there is no alignment.
    """

    runs: list[RunView]
    metrics: list[MetricView]
    divergences: list[DivergenceView]
    signs: str
    problem: str


class Comparison:
    """Runs of a store side by side, as of now.

    Args:
        store: with the runs.
        ids: of the runs.
        before: an earlier comparison of them: a run that was deleted since stays as it was.
    """

    def __init__(self, store: Store, ids: Sequence[str], before: Comparison | None = None) -> None:
        self.ids = tuple(ids)
        self._store = store
        found = [_read(store, session_id) for session_id in ids]
        rows = metrics(ids, store=store).rows
        self._deleted = [
            before is not None and one is None and old is not None
            for one, old in zip(found, before.runs if before else found, strict=True)
        ]
        self.runs: list[StoredRun | None] = found
        self.metrics = Metrics(self.ids, rows)
        self._files_before: FinalFiles | None = (
            (before.__dict__.get("files") or before._files_before) if before else None
        )
        if before is not None and any(self._deleted):
            self.runs = [before.runs[n] if gone else found[n] for n, gone in enumerate(self._deleted)]
            kept = [before.metrics.rows[n] if gone else rows[n] for n, gone in enumerate(self._deleted)]
            self.metrics = Metrics(self.ids, tuple(kept))
        present = [run for run in self.runs if run is not None]
        self.alignment: Alignment | None = Alignment.of(present) if len(present) > 1 else None
        self._places = [None if run is None else present.index(run) for run in self.runs]
        self._calls = [_call_places(run) for run in self.runs]

    @cached_property
    def files(self) -> FinalFiles:
        """The files at the ends of the runs; the first use blocks."""
        return FinalFiles(self._store, self.runs, self._deleted, self._files_before)

    @property
    def problem(self) -> str:
        """Why there is no alignment; "" if there is one."""
        gone = [session_id for session_id, run in zip(self.ids, self.runs, strict=True) if run is None]
        return "" if self.alignment else f"The store does not have {', '.join(gone)}: two runs are needed."

    def view(self) -> ComparisonView:
        """Return the runs for the page."""
        return {
            "runs": [self._run(number) for number in range(len(self.ids))],
            "metrics": self._metrics(),
            "divergences": self.divergences,
            "signs": self.signs,
            "problem": safe(self.problem),
        }

    @property
    def signs(self) -> str:
        """A character a column, as in `ComparisonView`."""
        found = self.alignment.similarity if self.alignment else ()
        return "".join("=" if value == 1 else "~" if value >= 0.5 else "!" for value in found)

    @property
    def divergences(self) -> list[DivergenceView]:
        """Where the runs part, in four respects."""
        if self.alignment is None:
            return []
        parts = self.alignment.divergence
        found = [(field.name.replace("_", " "), getattr(parts, field.name)) for field in fields(Divergences)]
        return [{"name": name, "column": one.column, "detail": _plain(one.detail, 400)} for name, one in found]

    def cells(self, first: int, last: int) -> list[list[CellView | None]]:
        """Return the cells of the columns from `first` to before `last`, at most `MAX_COLUMNS`; a cell a run."""
        if self.alignment is None:
            return []
        first = max(0, first)
        columns = range(first, min(last, first + MAX_COLUMNS, len(self.alignment.columns)))
        return [[self._cell(run, column) for run in range(len(self.ids))] for column in columns]

    def endings(self) -> list[CellView | None]:
        """Return what each run said after its last tool call."""
        return [None if run is None else self._ending(number, run) for number, run in enumerate(self.runs)]

    def steps(self, column: int) -> list[list[StepView]]:
        """Return the steps of a column, a list a run: what came before its tool call, and the tool call.

        The column after the last one has what came after the last tool calls.
        """
        total = len(self.alignment.columns) if self.alignment else 0
        if not 0 <= column <= total:
            raise BadValue(f"there is no column {column}")
        found = []
        for number, run in enumerate(self.runs):
            call = self._end(number) if column == total else self._call(number, column)
            part = [] if run is None or call is None else self._between(number, call, whole=True)
            found.append([step_view(step) for step in part[-MAX_STEPS:]])
        return found

    def step(self, run: int, turn: int, index: int) -> Step:
        """Return a step of a run."""
        found = self.runs[run] if 0 <= run < len(self.runs) else None
        step = next((s for s in found.steps if (s.turn, s.index) == (turn, index)), None) if found else None
        if step is None:
            raise BadValue(f"run {run} has no step {index} in turn {turn}")
        return step

    def _run(self, number: int) -> RunView:
        run, row = self.runs[number], self.metrics.rows[number]
        title = run.record.title if run else None
        model = (row["model"] if row else None) or (run.record.model if run else None)
        return {
            "id": self.ids[number],
            "title": _plain(title, 200) if title else None,
            "harness": _plain(run.record.harness, 60) if run else "",
            "model": _plain(str(model), 100) if model else None,
            "origin": row["origin"] if row else "",
            "root": safe(run.record.workspace)[:2000] if run else "",
            "outcome": row["outcome"] if row else None,
            "missing": run is None,
            "deleted": self._deleted[number],
            "running": run is not None and run.record.status == "running",
        }

    def _metrics(self) -> list[MetricView]:
        found: list[MetricView] = []
        rows = self.metrics.rows
        for metric in METRICS:
            values = self.metrics.values(metric)
            if all(value is None for value in values):
                continue
            differences = [None, *(self.metrics.difference(metric, run) for run in range(1, len(values)))]
            units = [
                f" {row['currency']}" if row and metric.unit == "money" and row["currency"] else "" for row in rows
            ]
            shown = [figure(metric, value) for value in values]
            found.append(
                {
                    "label": metric.label,
                    "values": [
                        _plain(value + unit, 60) if value else "" for value, unit in zip(shown, units, strict=True)
                    ],
                    "differences": [figure(metric, one, signed=True) if one else "" for one in differences],
                }
            )
        counts = [_counts(row) for row in rows]
        if any(counts):
            found.append({"label": "tokens are counted", "values": counts, "differences": [""] * len(counts)})
        return found

    def _call(self, run: int, column: int) -> int | None:
        """Return which tool call of a run is in a column."""
        place = self._places[run]
        return None if place is None or self.alignment is None else self.alignment.columns[column][place]

    def _end(self, run: int) -> int:
        return len(self._calls[run])

    def _between(self, number: int, call: int, *, whole: bool = False) -> list[Step]:
        """Return the steps after the tool call before this one, with `whole` also this one."""
        run, calls = self.runs[number], self._calls[number]
        assert run is not None, "a missing run has no tool call"
        first = calls[call - 1] + 1 if call else 0
        last = calls[call] if call < len(calls) else len(run.steps)
        return [*run.steps[first : last + whole]]

    def _cell(self, number: int, column: int) -> CellView | None:
        run, call = self.runs[number], self._call(number, column)
        if run is None or call is None:
            return None
        action = run.actions[call]
        script = script_of(action.step.raw_input) if action.kind == "execute" else None
        title = _THERE.sub("", script) if script else action.target
        return self._view(action.step, self._between(number, call), action.kind, title or action.target, action.failed)

    def _ending(self, number: int, run: StoredRun) -> CellView | None:
        rest = self._between(number, self._end(number))
        if not run.steps:
            return None
        return self._view(run.steps[-1], rest, "end", run.ending.outcome or "no turn", False)

    @staticmethod
    def _view(step: Step, before: Sequence[Step], kind: str, title: str, failed: bool) -> CellView:
        texts = [one for one in before if one.text and one.kind in _SAYING]
        said = texts[-1] if texts else None
        return {
            "turn": step.turn,
            "index": step.index,
            "kind": safe(kind)[:40],
            "title": _plain(title, _TITLE),
            "failed": failed,
            "said": _plain(said.text or "", _GIST) if said else "",
            "said_kind": said.kind if said else "",
            "steps": len(before),
        }


def _read(store: Store, session_id: str) -> StoredRun | None:
    try:
        return read_run(store, session_id)
    except SessionGone:
        return None


def _call_places(run: StoredRun | None) -> list[int]:
    return [] if run is None else [place for place, step in enumerate(run.steps) if step.kind == "tool_call"]


def _counts(row: Figures | None) -> str:
    if row is None or row["usage_scope"] is None:
        return ""
    return f"by {row['usage_scope']}, {row['usage_quality']}"


def _plain(text: str, limit: int) -> str:
    """Return the start of a text of an agent on one line, without secrets."""
    return safe(one_line(redactor().plain(text[: limit * 16]), limit))
