"""Actions from a short notation, and the alignments that were made by hand in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from session_widgets.analysis.alignment.actions import Action
from session_widgets.transcript.records import Step
from session_widgets.transcript.tool_input import FileEdit
from tests.support.paths import ROOT

TS = datetime(2026, 11, 21, 9, tzinfo=UTC)
GOLDEN = sorted((ROOT / "tests" / "fixtures" / "alignments").glob("*.txt"))


def action(text: str, index: int = 0) -> Action:
    """`edit src/a.py #old>new !` and the like (tests/fixtures/alignments/README.md)."""
    failed = text.endswith("!")
    head, _, arguments = text.rstrip("! ").partition("#")
    kind, _, target = head.strip().partition(" ")
    family = target.split(" ")[0] if kind == "execute" else target.rpartition("/")[2]
    old, _, new = arguments.partition(">")
    edits = (FileEdit(target, old or None, new),) if kind == "edit" else ()
    step = Step(
        "s", 1, index, "tool_call", index + 1, index + 1, TS, TS, "failed" if failed else "completed", title=text
    )
    return Action(step, kind, target, family, arguments, failed, edits)


def run(*texts: str) -> list[Action]:
    return [action(text, index) for index, text in enumerate(texts)]


@dataclass
class Golden:
    """Runs, and the columns and the divergences that a person gave them."""

    runs: list[list[Action]] = field(default_factory=list)
    columns: list[tuple[int | None, ...]] = field(default_factory=list)
    parts: dict[str, int | None] = field(default_factory=dict)


def golden(path: Path) -> Golden:
    lines = path.read_text().splitlines()
    table = [[cell.strip() for cell in line.split("|")] for line in lines if not line.startswith("@")]
    found = Golden([[] for _ in table[0]])
    for cells in table:
        places: list[int | None] = []
        for actions, cell in zip(found.runs, cells, strict=True):
            places.append(len(actions) if cell else None)
            if cell:
                actions.append(action(cell, len(actions)))
        found.columns.append(tuple(places))
    for name, place in (line[1:].split() for line in lines if line.startswith("@")):
        found.parts[name] = len(table) if place == "end" else None if place == "none" else int(place)
    return found
