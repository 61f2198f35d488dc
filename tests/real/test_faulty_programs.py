"""A real harness that hangs, prints garbage, does not want to end, or is another version than was tried."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

import session_widgets as sw
from session_widgets._harnesses import catalog
from session_widgets._harnesses.installing import FOLDER
from session_widgets._sessions import resume
from session_widgets.cli.harness_check import self_test
from tests.support.kernels import runner_pid
from tests.support.model.serving import script
from tests.support.real_harnesses import TIERS, alive, below
from tests.support.waiting import until

pytestmark = [pytest.mark.needs("harnesses", "model"), pytest.mark.timeout(150)]


def odd(habit, name="codex"):
    """The real harness, with a bad habit."""
    harness = catalog.get(name)
    program = Path(__file__).with_name("faulty_program.py")
    return replace(harness, command=(sys.executable, str(program), habit, *harness.command))


def test_one_that_hangs_in_session_new_is_given_up_and_can_be_cancelled(start, monkeypatch):
    monkeypatch.setattr(resume, "SETUP_SECONDS", 5)
    session = start(odd("hangs"))
    turn = session.start("hello")
    hanging = wait_for_it_to_hang(session, 1)
    turn.wait(60)
    assert (turn.status, turn.error) == ("failed", "the agent did not answer session/new within 5 s.")
    until(lambda: not alive(hanging), what="the end of the program")
    monkeypatch.setattr(resume, "SETUP_SECONDS", 120)
    turn = session.start("hello")
    hanging = wait_for_it_to_hang(session, 2)
    assert session.cancel()
    assert (turn.status, turn.error) == ("cancelled", None)
    until(lambda: not alive(hanging), what="the end of the program")


def wait_for_it_to_hang(session, times):
    """Its processes, once it was asked for a session that often."""

    def asked():
        return [event for event in session.events() if (event.direction, event.method) == ("out", "session/new")]

    until(lambda: len(asked()) == times, seconds=30, what="the request")
    processes = [p for p in alive(below(runner_pid(session))) if "codex-acp" in " ".join(p.cmdline())]
    assert len(processes) == 2, "the one that hangs, and the real one"
    return processes


def test_garbage_between_messages_is_shown_and_loses_none_of_them(start):
    session = start(odd("garbage"))
    turn = session.send(script({"text": "I write", "write": ["a.txt", "x"]}, {"text": "done"}))
    assert (turn.status, turn.text) == ("completed", "I write\n\ndone")
    assert (session.workspace / "a.txt").read_text() == "x"
    notices = [step.text for step in turn.steps if step.kind == "notice"]
    assert any("no message.\nUpdate available: run npm install" in text for text in notices)
    assert any("[1, 2]" in text for text in notices)
    assert session.send(script({"text": "and on"})).tier == "warm"


@pytest.mark.parametrize("name", ["claude", "codex"])
def test_one_that_does_not_want_to_end_is_ended(name, start):
    session = start(odd("deaf", name))
    session.send(script({"text": "hi"}, note="TOKEN-kept"))
    processes = below(runner_pid(session))
    assert len(processes) > 1
    session.park()
    until(lambda: not alive(processes), what="the end of its processes")
    turn = session.send(script({"recall": True}))
    assert (turn.tier, turn.text) == (TIERS[name], "I know TOKEN-kept")
    processes = below(runner_pid(session))
    session.delete()
    until(lambda: not alive(processes), what="the end of its processes")


def test_another_version_that_is_installed_is_not_taken_for_the_one_that_is_pinned(start, monkeypatch, tmp_path):
    older = tmp_path / "harnesses" / "codex-0.15.0-00000000" / "node_modules"
    older.mkdir(parents=True)
    monkeypatch.setenv(FOLDER, str(older.parent.parent))
    info = next(info for info in sw.harnesses() if info.id == "codex")
    assert (info.installed, info.version, info.missing) == (False, "0.16.0", ("install_harness('codex')",))
    turn = start("codex").send("hello")
    assert "Codex 0.16.0 is not installed. Install it: session_widgets.install_harness('codex')" in turn.error
    (check,) = self_test("codex", None)
    assert (check.ok, "Codex 0.16.0 is not installed" in check.found) == (False, True)


def test_check_says_that_the_program_is_another_version_than_was_tried(model, home, monkeypatch):
    monkeypatch.setitem(catalog._OWN, "codex", odd("older"))
    program, *others = self_test("codex", None)
    assert program.ok
    assert "0.0.1; session-widgets was tried with 0.16.0" in program.found
    assert all(check.ok for check in others)
