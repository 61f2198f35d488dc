"""Rules on failed calls, on tests that never passed, and on files that were not changed. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

from session_widgets.analysis.alignment.actions import CHANGES, Action
from session_widgets.analysis.mode import Behaviour, broke, output, place, script
from session_widgets.analysis.reading_commands import reads_only
from session_widgets.analysis.running_tests import runs_tests
from session_widgets.printing import one_line, plural

STORM = 4
"""Calls that fail one after the other from which they are a storm."""
_TIMEOUT = re.compile(r"(?i)(?:command|process|execution) timed out|timed out after \d|timeout: (?:the )?command")
_ENVIRONMENT = re.compile(
    r"command not found|: not found\b|No module named|No space left on device|Could not resolve host"
    r"|Temporary failure in name resolution|Network is unreachable|Connection refused|ECONNREFUSED|ENOTFOUND|ENOSPC"
    r"|Cannot connect to the Docker daemon|externally-managed-environment|Read-only file system"
    r"|ripgrep execution failed|No such container"
)
_LOOKS = frozenset(("read", "search", "fetch", "think"))


def timeouts(session_id: str, actions: Sequence[Action]) -> Iterator[Behaviour]:
    """Commands that were stopped by their time limit."""
    for action in actions:
        stopped = action.step.exit_code == 124 or (broke(action) and _TIMEOUT.search(output(action)))
        if action.kind == "execute" and stopped:
            detail = f"{one_line(action.target, 80)} was stopped by its time limit"
            yield Behaviour(session_id, "timeout", (place(action.step),), detail)


def environment_failures(session_id: str, actions: Sequence[Action]) -> Iterator[Behaviour]:
    """Calls that failed for want of a program, a module, a network, a disk."""
    for action in actions:
        if broke(action) and action.kind not in CHANGES:
            found = _ENVIRONMENT.search(output(action))
            if found is not None or action.step.exit_code == 127:
                sign = found.group() if found else "exit code 127"
                detail = f"{action.kind} {one_line(action.target, 80)}: {sign.strip(': ')}"
                yield Behaviour(session_id, "environment_failure", (place(action.step),), detail)


def storms(session_id: str, actions: Sequence[Action]) -> Iterator[Behaviour]:
    """Calls of a turn that all failed, one after the other."""
    run: list[Action] = []
    for action in [*actions, None]:
        if action is not None and broke(action) and (not run or run[-1].step.turn == action.step.turn):
            run.append(action)
            continue
        if len(run) >= STORM:
            yield Behaviour(
                session_id,
                "tool_error_storm",
                tuple(place(one.step) for one in run),
                f"{len(run)} calls failed in a row",
            )
        run = [action] if action is not None and broke(action) else []


def tests_never_passed(session_id: str, actions: Sequence[Action]) -> Iterator[Behaviour]:
    """Tests ran, and all of these runs failed."""
    runs = [action for action in actions if runs_tests(script(action))]
    if runs and all(broke(action) for action in runs):
        detail = f"{plural(len(runs), 'run')} of tests, and none passed"
        yield Behaviour(session_id, "test_never_passed", tuple(place(one.step) for one in runs), detail)


def no_edits(session_id: str, actions: Sequence[Action]) -> Iterator[Behaviour]:
    """Tools were called, and none of them can have changed a file."""
    if actions and not any(_may_change(action) for action in actions):
        detail = f"{plural(len(actions), 'tool call')}, and no file was changed"
        yield Behaviour(session_id, "no_edit", (place(actions[-1].step),), detail)


def _may_change(action: Action) -> bool:
    if action.kind in _LOOKS:
        return False
    if action.kind == "execute":
        ran = script(action)
        return action.step.failure != "rejected" and not (ran and reads_only(ran))
    return action.kind in CHANGES and action.step.failure not in {"rejected", "error"}


def wrong_files(session_id: str, actions: Sequence[Action], expected: Sequence[str]) -> Iterator[Behaviour]:
    """Files were changed, and none of the expected ones."""
    changes = [action for action in actions if action.kind in CHANGES and not action.failed]
    wanted = {posixpath.normpath(path) for path in expected}
    touched = {path for action in changes for path in action.target.split(", ")}
    if changes and not any(one == path or one.endswith(f"/{path}") for one in touched for path in wanted):
        detail = (
            f"changed {one_line(', '.join(sorted(touched)), 80)}; expected {one_line(', '.join(sorted(wanted)), 80)}"
        )
        yield Behaviour(session_id, "wrong_file", tuple(place(one.step) for one in changes), detail)
