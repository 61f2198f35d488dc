"""Rules that find behaviours in a session's steps, each with the steps that show it. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

from session_widgets.analysis import ended, trouble
from session_widgets.analysis.alignment.actions import CHANGES, Action
from session_widgets.analysis.mode import Behaviour, Endings, place, script
from session_widgets.analysis.running_tests import runs_tests
from session_widgets.printing import one_line, plural
from session_widgets.transcript.records import Step

REPEATS = 3
"""Equal actions from which they are a loop."""
_WAITING = re.compile(r"(?i)(bash|task|agent)?_?(output|wait|poll|status)|write_stdin|sleep")
"""Names of tools that are called again to wait for something."""
_LOOKS = frozenset(("read", "search", "fetch", "think"))
_CODE = re.compile(
    r"\.(?:py|pyi|ipynb|js|jsx|mjs|cjs|ts|tsx|go|rs|java|kt|scala|c|h|cc|cpp|hpp|cs|rb|php|swift|m|mm|sh|bash|sql|vue|"
    r"svelte|ex|exs|erl|hs|ml|lua|pl|r|jl|zig|dart)$",
    re.IGNORECASE,
)
_BUILDS = re.compile(
    r"(?:(?:npm|pnpm|yarn|bun|cargo|go|make|mvn|gradle|gradlew|dotnet|bazel|npx|uv|poetry|just|rake)\b"
    r"|git (?:commit|push|merge|rebase|apply)\b|(?:tsc|mypy|ruff|eslint|gcc|g\+\+|clang|rustc|javac)\b)"
)
_ADMITTED = re.compile(
    r"(?i)fail|error|could ?n[o']t|couldn.t|can.?not|can.t|unable|(?:does|do|did)(?: not|n.t)|not (?:work|pass|possible"
    r"|available|installed)|broken|issue|problem|warning|skipp|unresolved|block|reject|missing|unfortunately|still"
)


def find(
    session_id: str,
    steps: Sequence[Step],
    actions: Sequence[Action],
    ends: Endings,
    expected: Sequence[str] | None = None,
) -> Iterator[Behaviour]:
    """Yield what is found in a session.

    Args:
        session_id: of the session.
        steps: the agent's own, in order, on the branch that is active.
        actions: the tool calls among them.
        ends: of each turn.
        expected: the files that a right solution changes, relative to the workspace; None if they are not known.
    """
    yield from ended.failed_turns(session_id, steps, ends)
    yield from trouble.timeouts(session_id, actions)
    yield from trouble.environment_failures(session_id, actions)
    yield from trouble.no_edits(session_id, actions)
    if expected is not None:
        yield from trouble.wrong_files(session_id, actions, expected)
    yield from trouble.tests_never_passed(session_id, actions)
    yield from trouble.storms(session_id, actions)
    yield from ended.gave_up(session_id, steps, ends)
    yield from _loops(session_id, actions)
    yield from _edits_without_read(session_id, actions)
    yield from _errors_ignored(session_id, steps, actions, ends)
    yield from _gave_up(session_id, steps, actions, ends)
    yield from _edits_without_test(session_id, actions)


def _completed(ends: Endings, turn: int) -> bool:
    return turn in ends and ends[turn].status == "completed"


def _loops(session_id: str, actions: Sequence[Action]) -> Iterator[Behaviour]:
    """The same action again, while nothing was done in between that could change its result."""
    seen: dict[tuple[str, str, str], list[Step]] = {}
    turn = 0

    def found() -> Iterator[Behaviour]:
        for (kind, target, _), steps in seen.items():
            if len(steps) >= REPEATS:
                detail = f"{len(steps)} times {kind} {one_line(target, 80)}"
                yield Behaviour(session_id, "loop", tuple(map(place, steps)), detail)

    for action in actions:
        key = action.kind, action.target, action.arguments
        changes = action.kind not in _LOOKS and not action.failed
        if action.step.turn != turn or (changes and key not in seen):
            yield from found()
            seen, turn = {}, action.step.turn
        if not _WAITING.fullmatch(action.step.tool_name or ""):
            seen.setdefault(key, []).append(action.step)
    yield from found()


def _edits_without_read(session_id: str, actions: Sequence[Action]) -> Iterator[Behaviour]:
    """A part of a file was replaced that no step before had read, written or named in a command."""
    known: set[str] = set()
    named = ""
    for action in actions:
        named += " " + script(action)
        if action.kind == "edit":
            for path in dict.fromkeys(edit.path or action.target for edit in action.edits if edit.old):
                if path not in known and posixpath.basename(path) not in named:
                    detail = f"edited {one_line(path, 80)}, which it had not read"
                    yield Behaviour(session_id, "edit_without_read", (place(action.step),), detail)
            known.update(edit.path or action.target for edit in action.edits)
        if action.kind in {"read", "edit", "move"}:
            known.update(action.target.split(", "))


def _errors_ignored(
    session_id: str, steps: Sequence[Step], actions: Sequence[Action], ends: Endings
) -> Iterator[Behaviour]:
    """A failed test, build or edit that nothing put right in its turn, and that the last answer does not name."""
    answers = {step.turn: step for step in steps if step.kind == "message"}
    last = {action.step.turn: action.step for action in actions}
    for number, action in enumerate(actions):
        turn, ran = action.step.turn, script(action)
        matters = action.kind in CHANGES or runs_tests(ran) or bool(_BUILDS.match(action.target))
        if not matters or action.step.failure != "error" or not _completed(ends, turn):
            continue
        later = [one for one in actions[number + 1 :] if one.step.turn == turn]
        if any(one.family == action.family and not one.failed for one in later):
            continue
        answer = answers.get(turn)
        if answer is None or answer.index < last[turn].index or _ADMITTED.search(answer.text or ""):
            continue
        detail = f"{action.kind} {one_line(action.target, 80)} failed, and the answer does not say so"
        yield Behaviour(session_id, "error_ignored", (place(action.step), place(answer)), detail)


def _gave_up(session_id: str, steps: Sequence[Step], actions: Sequence[Action], ends: Endings) -> Iterator[Behaviour]:
    """The last tool call of a completed turn was rejected, and no other way was tried."""
    answers = {step.turn: step for step in steps if step.kind == "message"}
    last = {action.step.turn: action for action in actions}
    for turn, action in last.items():
        rejected = action.step.failure == "rejected"
        answer = answers.get(turn)
        if rejected and _completed(ends, turn) and answer is not None and answer.index > action.step.index:
            detail = f"{action.kind} {one_line(action.target, 80)} was rejected; no other call followed"
            yield Behaviour(session_id, "gave_up_after_rejection", (place(action.step), place(answer)), detail)


def _edits_without_test(session_id: str, actions: Sequence[Action]) -> Iterator[Behaviour]:
    """Code was changed, and neither tests nor a changed program ran afterwards."""
    edits: list[Step] = []
    changed: set[str] = set()
    tested = False
    for action in actions:
        ran = script(action)
        if runs_tests(ran) or (ran and _program(action) in changed):
            edits, tested = [], True
        elif action.kind in CHANGES and not action.failed and _CODE.search(action.target):
            edits.append(action.step)
            changed.add(action.family)
    if edits:
        detail = f"{plural(len(edits), 'edit')} of code after the last test run" if tested else "no test was run"
        yield Behaviour(session_id, "edit_without_test", tuple(map(place, edits)), detail)


def _program(action: Action) -> str:
    """Return the name of the file that a command runs, by itself or with an interpreter."""
    return posixpath.basename(action.target.rpartition(" ")[2]) if action.target.count(" ") <= 1 else ""
