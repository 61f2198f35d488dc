"""How much of what an agent did in a session, and how soon. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from session_widgets.analysis.alignment.actions import CHANGES, Action, changed_lines
from session_widgets.analysis.mode import broke, place, script
from session_widgets.analysis.running_tests import runs_tests
from session_widgets.transcript.records import Step

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a session besides its steps.

    Attributes:
        began: when steps began; only of those whose time is known.
        calls: the model call of a step.
        output: output tokens of a model call.
        turns: number of turns.
        refused: number of turns that the model refused.
    """

    began: Mapping[Place, datetime]
    calls: Mapping[Place, str]
    output: Mapping[str, int]
    turns: int
    refused: int


def activity_of(steps: Sequence[Step], actions: Sequence[Action], facts: Facts) -> dict[str, int | float | None]:
    """Return the figures of a session; docs/analysis.md describes each.

    Args:
        steps: the agent's own, in order, on the branch that is active.
        actions: the tool calls among them.
        facts: about them.
    """
    kinds = Counter(action.kind for action in actions)
    tests = [action for action in actions if runs_tests(script(action))]
    passed = [action for action in tests if not action.failed]
    edits = [action for action in actions if action.kind in CHANGES and not action.failed]
    reads = [action for action in actions if action.kind == "read" and not action.failed]
    asked = Counter(step.kind for step in steps)
    return {
        "turns": facts.turns,
        "steps": len(steps) - asked["user"],
        "tool_calls": len(actions),
        "reads": kinds["read"],
        "searches": kinds["search"],
        "edits": sum(kinds[kind] for kind in CHANGES),
        "commands": kinds["execute"],
        "failed_calls": sum(broke(action) for action in actions),
        "rejected_calls": sum(action.step.failure == "rejected" for action in actions),
        "test_runs": len(tests),
        "failed_test_runs": sum(broke(action) for action in tests),
        "files_read": len({action.target for action in reads}),
        "files_changed": len({action.target for action in edits}),
        "read_again": _read_again(actions),
        **_lines(edits),
        "plan_changes": asked["plan"],
        "compactions": asked["compaction"],
        "subagents": asked["subagent"],
        "permissions_asked": sum(step.permission is not None for step in steps),
        "refused_turns": facts.refused,
        **_until("read", reads, steps, facts),
        **_until("edit", edits, steps, facts),
        **_until("test_run", tests, steps, facts),
        **_until("passed_test_run", passed, steps, facts),
    }


def _read_again(actions: Sequence[Action]) -> int:
    """Count reads of a file that was read before, and that no edit has changed since."""
    known: set[str] = set()
    again = 0
    for action in actions:
        if action.kind == "read" and not action.failed:
            again += action.target in known
            known.add(action.target)
        elif action.kind in CHANGES and not action.failed:
            known.difference_update(action.target.split(", "))
    return again


def _lines(edits: Sequence[Action]) -> dict[str, int | float | None]:
    """Count changed lines, and the removed ones that the agent itself had added; None if an edit has no text."""
    if any(action.kind == "edit" and not action.edits for action in edits):
        return dict.fromkeys(("lines_added", "lines_removed", "lines_churned"))
    own: Counter[tuple[str | None, str]] = Counter()
    added = removed = churned = 0
    for action in edits:
        for edit in action.edits:
            old, new = changed_lines(edit.old, edit.new)
            for text in (old or "").splitlines():
                removed += 1
                if own[edit.path, text.strip()] > 0 and text.strip():
                    own[edit.path, text.strip()] -= 1
                    churned += 1
            for text in (new or "").splitlines():
                added += 1
                own[edit.path, text.strip()] += 1
    return {"lines_added": added, "lines_removed": removed, "lines_churned": churned}


def _until(name: str, found: Sequence[Action], steps: Sequence[Step], facts: Facts) -> dict[str, int | float | None]:
    """Return steps, seconds and output tokens up to the first of some actions; None without one, or if unknown."""
    count: int | None = None
    seconds: float | None = None
    tokens: int | None = None
    if found and steps:
        first, begin = place(found[0].step), place(steps[0])
        before = [step for step in steps if place(step) <= first]
        count = sum(step.kind != "user" for step in before)
        if first in facts.began and begin in facts.began:
            seconds = (facts.began[first] - facts.began[begin]).total_seconds()
        calls = {facts.calls[place(step)] for step in before if place(step) in facts.calls}
        if calls and calls <= facts.output.keys():
            tokens = sum(facts.output[call] for call in calls)
    return {f"steps_to_{name}": count, f"seconds_to_{name}": seconds, f"output_tokens_to_{name}": tokens}
