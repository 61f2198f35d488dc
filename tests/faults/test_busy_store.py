"""Another process reads the store during a turn: the turn waits, says so, and continues."""

import subprocess
import sys
from contextlib import contextmanager

import duckdb
import pytest

from session_widgets._store import failures
from session_widgets.errors import StoreBusy
from tests.support.kernels import exactly_once
from tests.support.waiting import until

READER = """
import sys, time, duckdb
while True:
    try:
        held = duckdb.connect(sys.argv[1], read_only=True)
        break
    except duckdb.Error:
        time.sleep(0.001)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_here(path):
    """A plain read-only connection in this process, as `%sql`, ibis or marimo have it."""
    found = []

    def attached():
        try:
            found.append(duckdb.connect(str(path), read_only=True))
        except duckdb.Error:
            return False
        return True

    until(attached, what="a moment in which the file is free")
    with found[0]:
        yield


@contextmanager
def held_elsewhere(path):
    """The same in another process."""
    command = [sys.executable, "-c", READER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout.readline() == "held\n"
        try:
            yield
        finally:
            reader.stdin.close()


@pytest.fixture
def refusals(monkeypatch):
    """How often the store was not to be had in time."""
    seen, make = [], failures.busy
    monkeypatch.setattr(failures, "busy", lambda *args: seen.append(args) or make(*args))
    return seen


@pytest.mark.parametrize("held", [held_here, held_elsewhere])
def test_a_turn_outlives_a_reader_of_the_store(open_session, refusals, monkeypatch, tmp_path, held):
    files = tmp_path / "files"
    files.mkdir()
    session = open_session(workspace=str(files))
    session.send("say warm")
    patience = session.store._file._patience
    monkeypatch.setattr(session.store._file, "_patience", 0.1)
    turn = session.start("say begun\nstream 400\nrun touch there; until rm go; do sleep 0.05; done\nstream 400")
    until((files / "there").exists, what="the middle of the turn")
    with held(session.store.path):
        (files / "go").touch()
        until(lambda: not (files / "go").exists(), what="the agent going on")
        until(lambda: len(refusals) > 20 or turn.ended, what="many refusals")
        assert not turn.ended, turn.error
        assert "waiting for the transcript store, which " in session._controller.state.activity.words
        assert session._controller.turns._runner.wait.clock.left is None, "and no limit of the turn comes nearer"
        with pytest.raises(StoreBusy):  # what nobody has begun is not kept waiting
            session.store.delete_session("another")
    session.store._file._patience = patience
    turn.wait(30)
    assert (turn.status, turn.error, turn.text.count("chunk 399 ")) == ("completed", None, 2)
    assert session._controller.state.activity.words is None
    exactly_once(session.events())
