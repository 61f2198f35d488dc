"""What the rules find in a session, and what they look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from session_widgets.analysis.alignment.actions import Action
from session_widgets.transcript.records import Step
from session_widgets.transcript.tool_input import json_text, script_of

Mode = Literal[
    "timeout", "step_limit", "context_overflow", "crashed", "environment_failure", "other_failure",
    "no_edit", "wrong_file", "edit_without_read", "edit_without_test", "test_never_passed",
    "loop", "tool_error_storm", "error_ignored", "gave_up", "gave_up_after_rejection",
]  # fmt: skip
MODES: tuple[Mode, ...] = get_args(Mode)
_OUTPUT = 20_000
_ANSWER_NO = frozenset(("grep", "egrep", "fgrep", "rg", "diff", "cmp", "test", "[", "git diff", "git grep", "which"))
"""Programs whose exit code 1 says "no"."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a turn ended: `status`, `stop_reason`, `error` and `outcome` of `v_turns`."""

    status: str
    stop_reason: str | None = None
    error: str | None = None
    outcome: str | None = None


Endings = Mapping[int, Ending]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Something that an agent did, and the steps that show it.

    Attributes:
        mode: one of `MODES`.
        steps: turn and step of each piece of evidence, as in `v_steps`; the last one is where it shows.
        detail: for people.
    """

    session_id: str
    mode: Mode
    steps: tuple[tuple[int, int], ...]
    detail: str


def place(step: Step) -> tuple[int, int]:
    """Return turn and index of a step."""
    return step.turn, step.index


def script(action: Action) -> str:
    """Return the shell script of an action; "" if it runs no command."""
    return (script_of(action.step.raw_input) or "") if action.kind == "execute" else ""


def output(action: Action) -> str:
    """Return the end of what a tool call gave back."""
    return json_text([action.step.content, action.step.raw_output])[-_OUTPUT:]


def broke(action: Action) -> bool:
    """Whether a call failed by itself: not by a person, a cancellation or the end of its turn."""
    step = action.step
    if step.exit_code == 1 and (action.target in _ANSWER_NO or action.family in _ANSWER_NO):
        return False
    return step.failure == "error" or bool(step.exit_code and step.failure is None and step.status == "failed")
