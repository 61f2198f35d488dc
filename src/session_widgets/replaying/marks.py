"""What a person looks for on the time line: prompts, edits, errors, permissions, test runs, compactions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from session_widgets.analysis.alignment.actions import CHANGES, command_head
from session_widgets.transcript.envelopes import as_object
from session_widgets.transcript.records import Step
from session_widgets.transcript.tool_input import script_of

MarkKind = Literal["prompt", "edit", "error", "permission", "test", "compaction"]
MARKS: tuple[MarkKind, ...] = ("prompt", "edit", "error", "permission", "test", "compaction")

_TESTS = re.compile(
    r"(?:pytest|py\.test|unittest|tox|nox|nosetests|jest|vitest|mocha|ava|ctest|rspec|phpunit|tap|bats)\b"
    r"|(?:npm|pnpm|yarn|bun|deno|cargo|go|make|mvn|gradle|gradlew|dotnet|just|rake|swift|mix|zig|bazel|sbt|lein)"
    r" (?:test|tests|check|verify|t)\b"
)
_RUN = re.compile(r"\b(npm|pnpm|yarn|bun)\s+run\s+(?=test)")
_SEPARATORS = re.compile(r"&&|\|\||[;|\n]")


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


def runs_tests(script: str) -> bool:
    """Whether a command of a script runs tests.

    Example:
        >>> runs_tests("cd src && python -m pytest -q | tail"), runs_tests("npm run test"), runs_tests("cat test.py")
        (True, True, False)
    """
    parts = _SEPARATORS.split(_RUN.sub(r"\1 ", script[:4000]))
    return any(_TESTS.match(command_head(part)[0]) for part in parts if part.strip())
