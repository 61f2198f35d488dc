"""Analysis of transcripts: alignment of made-up runs, and the comparison of nine sides of an experiment."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from difflib import SequenceMatcher

from benchmarks.figures import Figure, Reference
from session_widgets.analysis import paired
from session_widgets.analysis.alignment.actions import Action
from session_widgets.analysis.alignment.alignment import Alignment
from session_widgets.analysis.alignment.divergence import Ending
from session_widgets.transcript.records import Step

TASKS, SIDES, TIMES = 80, 9, 5
CHANGED = 0.2
"""Share of a run's actions that differ from those of the others."""
TS = datetime(2026, 11, 21, 9, tzinfo=UTC)


def measure(runs: int) -> list[Figure]:
    """Measure each with other runs."""
    figures = []
    for sessions, steps, aim in ((2, 1_000, 1.0), (8, 200, 1.0), (2, 5_000, 1.0)):
        made = [[_run(steps, seed) for seed in range(number, number + sessions)] for number in range(runs)]
        ours = [_seconds(lambda part=part: _align(part)) for part in made]
        floor = Reference(
            "difflib, of equal actions alone", [_seconds(lambda part=part: _differ(part)) for part in made]
        )
        what = f"align {sessions} x {steps:,} actions"
        figures.append(Figure(what, "s", ours, aim, beside=floor if sessions == 2 else None))
    tables = [_table(number) for number in range(runs)]
    verdicts = [_seconds(lambda table=table: paired(table)) for table in tables]
    remark = f"{TASKS * SIDES * TIMES:,} outcomes, {SIDES * (SIDES - 1) // 2} pairs"
    return [*figures, Figure("paired, with intervals and tests", "s", verdicts, 0.5, remark=remark)]


def _run(steps: int, seed: int) -> list[Action]:
    common, own = random.Random(0), random.Random(seed)
    actions = []
    for number in range(steps):
        facts = _facts(common)
        facts = _facts(own) if own.random() < CHANGED else facts
        step = Step("s", 1, number, "tool_call", number, number, TS, TS, "completed")
        actions.append(Action(step, facts[0], facts[1], facts[1], facts[2]))
    return actions


def _facts(chance: random.Random) -> tuple[str, str, str]:
    return (
        chance.choice(("read", "edit", "execute", "search")),
        f"file {chance.randrange(60)}",
        str(chance.randrange(5)),
    )


def _align(part: list[list[Action]]) -> object:
    return Alignment([f"r{number}" for number in range(len(part))], part, [Ending()] * len(part)).divergence


def _differ(part: list[list[Action]]) -> object:
    first, second = ([(a.kind, a.target, a.arguments) for a in run] for run in part[:2])
    return SequenceMatcher(None, first, second, autojunk=False).get_opcodes()


def _table(seed: int) -> list[dict[str, object]]:
    chance = random.Random(seed)
    return [
        {"task": task, "harness": f"h{side}", "success": chance.random() < 0.2 + 0.07 * side}
        for task in range(TASKS)
        for side in range(SIDES)
        for _ in range(TIMES)
    ]


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
