"""The real harnesses: which there are, how they differ, and their processes."""

from __future__ import annotations

import psutil

from session_widgets.host.daemon import is_running
from tests.support.model.serving import script
from tests.support.waiting import until

NAMES = ("claude", "codex", "opencode", "pi")
ASKING = ("claude", "codex", "opencode")
TIERS = {"claude": "resume", "codex": "resume", "opencode": "resume", "pi": "load"}
MODELS = {"opencode": "mock-model", "pi": "mock-model"}
"""A name that they know would bring another set of tools."""


def allow_once(request):
    return request.of_kind("allow_once").id


def below(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if is_running(process)]


def begin_command(session, command="touch begun; sleep 60", **options):
    """Start a turn that hangs in a shell command, and return once that runs."""
    turn = session.start(script({"text": "going", "run": command}, {"text": "it ran"}, **options))
    until(lambda: (session.workspace / "begun").exists() or turn.ended, seconds=30, what="the command")
    assert not turn.ended, turn
    return turn
