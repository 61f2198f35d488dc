"""What a person looks for on the time line: prompts, edits, errors, permissions, test runs, compactions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from session_widgets.analysis.alignment.actions import CHANGES
from session_widgets.analysis.running_tests import runs_tests
from session_widgets.transcript.envelopes import as_object
from session_widgets.transcript.records import Step
from session_widgets.transcript.tool_input import script_of

MarkKind = Literal["prompt", "edit", "error", "permission", "test", "compaction"]
MARKS: tuple[MarkKind, ...] = ("prompt", "edit", "error", "permission", "test", "compaction")


class Mark(NamedTuple):
    """Something to jump to: its kind, the event at which it happened, and the step."""

    kind: MarkKind
    seq: int
    turn: int
    step: int


def kinds_of(step: Step) -> Iterator[MarkKind]:
    """Yield the kinds of marks that apply to a step in its current form."""
    match step.kind:
        case "user":
            yield "prompt"
        case "compaction":
            yield "compaction"
        case "error":
            yield "error"
        case "notice":
            if as_object(step.raw_input).get("severity") == "error":
                yield "error"
        case "tool_call":
            if step.tool_kind in CHANGES or any(block.get("type") == "diff" for block in step.content):
                yield "edit"
            if step.status == "failed" and step.failure in {None, "error"}:
                yield "error"
            if step.permission is not None and step.permission.outcome is not None and not step.permission.by_policy:
                yield "permission"  # only the answer tells whether a person was asked
            if step.tool_kind in {"execute", "other", None} and runs_tests(script_of(step.raw_input) or ""):
                yield "test"
