"""The places where aligned runs part, in four respects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from session_widgets.analysis.alignment.actions import CHANGES, Action
from session_widgets.analysis.alignment.edited_files import apply
from session_widgets.analysis.alignment.progressive import Columns
from session_widgets.analysis.alignment.similarity import similarity
from session_widgets.printing import one_line, plural

ALIKE = 0.5
"""Similarity below which a column counts against the runs."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where runs part in one respect.

    Attributes:
        column: index of the column in the alignment, from 0; the number of columns if only the end differs; None if
            they do not part.
        detail: what differs, as text.
    """

    column: int | None = None
    detail: str = "no difference"

    def __bool__(self) -> bool:
        return self.column is not None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended.

    Attributes:
        outcome: of its last turn, as in `v_turns`; None if it had none.
        files: each file that its turns changed, with the size in bytes that it had last; None if deleted or unknown.
    """

    outcome: str | None = None
    files: tuple[tuple[str, int | None], ...] = ()


def column_similarity(runs: Sequence[Sequence[Action]], column: tuple[int | None, ...]) -> float:
    """Return the mean similarity of all pairs of runs in a column: 1 for two gaps, 0 for a gap and an action."""
    actions = [None if place is None else run[place] for run, place in zip(runs, column, strict=True)]
    found = [
        float(one is other) if one is None or other is None else similarity(one, other)
        for one, other in combinations(actions, 2)
    ]
    return sum(found) / len(found)


def action_divergence(similarities: Sequence[float]) -> Divergence:
    """Return the column from which the similarity stays low.

    It is the change point that best divides the columns into alike and unlike: the last maximum of the sum of
    `similarity - 0.5` over the columns before it. A detour that the runs leave again is none; single equal actions
    after it do not undo it. Source: Page (1954), *Continuous Inspection Schemes*, Biometrika 41:100-115.
    """
    best = total = 0.0
    place = 0
    for number, value in enumerate(similarities, 1):
        total += value - ALIKE
        if total >= best - 1e-9:
            best, place = max(best, total), number
    if place == len(similarities):
        return Divergence()
    rest = similarities[place:]
    return Divergence(place, f"{sum(rest) / len(rest):.0%} alike from here on, {_mean(similarities[:place])} before")


def edit_divergence(runs: Sequence[Sequence[Action]], columns: Columns) -> Divergence:
    """Return the column of the first edit, deletion or move that is not the same in all runs, at any time."""
    edits: list[list[tuple[int, Action]]] = [[] for _ in runs]
    for number, column in enumerate(columns):
        for run, (actions, place) in enumerate(zip(runs, column, strict=True)):
            if place is not None and actions[place].kind in CHANGES and not actions[place].failed:
                edits[run].append((number, actions[place]))
    for rank in range(max(map(len, edits))):
        here = [found[rank] if rank < len(found) else None for found in edits]
        facts = {None if one is None else (one[1].kind, one[1].target, one[1].arguments) for one in here}
        if len(facts) > 1:
            targets = sorted({"nothing" if one is None else f"{one[1].kind} {one[1].target}" for one in here})
            said = " or ".join(one_line(target, 60) for target in targets)
            return Divergence(
                min(one[0] for one in here if one is not None),
                f"change {rank + 1} is {said}" if len(targets) > 1 else f"change {rank + 1}, {said}, has other lines",
            )
    return Divergence()


def file_divergence(runs: Sequence[Sequence[Action]], columns: Columns, endings: Sequence[Ending]) -> Divergence:
    """Return the first column after which files differ that the runs have edited, or whose sizes differ at the end.

    Edits are applied to the text of a file as far as it is known. Changes by commands are seen at the end alone, by
    the sizes that the store has.
    """
    states: list[dict[str, str]] = [{} for _ in runs]
    for number, column in enumerate(columns):
        changed = False
        for state, actions, place in zip(states, runs, column, strict=True):
            changed |= place is not None and apply(state, actions[place])
        if changed and (differ := _unlike(states)):
            return Divergence(number, _differ(differ))
    last = [dict(ending.files) for ending in endings]
    paths = sorted({path for files in last for path in files})
    differ = [path for path in paths if len({(path in files, files.get(path)) for files in last}) > 1]
    return Divergence(len(columns), f"at the end alone: {_differ(differ)}") if differ else Divergence()


def outcome_divergence(columns: Columns, endings: Sequence[Ending]) -> Divergence:
    """Return the end of the alignment if the runs have different outcomes."""
    outcomes = [ending.outcome or "none" for ending in endings]
    if len(set(outcomes)) == 1:
        return Divergence(None, f"{outcomes[0]} in all runs")
    return Divergence(len(columns), ", ".join(outcomes))


def _unlike(states: Sequence[dict[str, str]]) -> list[str]:
    """Return the paths that differ; a known text and a history cannot be compared."""
    found = []
    for path in sorted({path for state in states for path in state}):
        texts = {state.get(path) for state in states}
        known = {text for text in texts if text is None or text.startswith("=")}
        if len(known) > 1 or len(texts - known) > 1 or (None in texts and len(texts) > 1):
            found.append(path)
    return found


def _differ(paths: Sequence[str]) -> str:
    more = f" and {plural(len(paths) - 3, 'other file')}" if len(paths) > 3 else ""
    return f"{', '.join(one_line(path, 60) for path in paths[:3])}{more} differ" + ("s" if len(paths) == 1 else "")


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.0%}" if values else "nothing"
