"""What only a sandbox elsewhere has is saved before the sandbox stops. It is a runner in another directory here."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import pytest

import session_widgets as sw
from session_widgets._sandboxes.remote import RemoteProvider
from session_widgets.errors import NotDurable
from session_widgets.host.tree import TEMPORARY
from tests.support.kernels import Kernel
from tests.support.mid_turn import completed
from tests.support.runner import TOKEN, RunnerProcess
from tests.support.waiting import until

COUNT = "i=0; while :; do i=$((i+1)); echo $i > new; mv new count; sleep 0.5; done"
WRITER = f"run setsid sh -c '{COUNT}' >/dev/null 2>&1 & until [ -e count ]; do sleep 0.02; done"  # in its own group


@pytest.fixture
def start(tmp_path):
    """Start the runner; again on the same port with the files of before."""
    started: list[RunnerProcess] = []

    def start_runner():
        port = started[0].port if started else 0
        started.append(RunnerProcess(tmp_path / "box", claims=True, agents={}, port=port))
        return started[-1]

    yield start_runner
    for runner in started:
        runner.stop()


@pytest.fixture
def runner(start):
    return start()


@pytest.fixture
def mine(tmp_path):
    place = tmp_path / "mine"
    place.mkdir()
    return place


@pytest.fixture
def session(runner, mine, open_session):
    return open_session(sandbox=f"runner:{runner.url}", token=TOKEN, workspace=mine)


def files(root: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}
    hidden = (".harness/", TEMPORARY)  # the agent's memory, and leftovers of killed writes, which no listing shows
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(hidden)}


def count(root: Path) -> int:
    with suppress(FileNotFoundError):  # not written yet; others come and go
        return int((root / "count").read_text())
    return 0


def test_a_program_that_writes_until_the_end_loses_nothing_when_it_is_parked(session, runner, mine):
    session.send(WRITER)
    until(lambda: count(runner.root) > 1, what="the writer")
    session.park()
    assert count(mine) > 1
    assert files(mine) == files(runner.root)
    assert session.files.read_text("count") == f"{count(mine)}\n"
    assert session.status == "parked"


@pytest.mark.parametrize("how", ["switched", "renewed"])
def test_a_program_that_writes_until_the_end_loses_nothing_when_it_is_removed(session, runner, mine, how, monkeypatch):
    session.send(WRITER)
    until(lambda: count(runner.root) > 1, what="the writer")
    destroy, last = RemoteProvider.destroy, []

    async def seen(self, ref):
        last.append(files(runner.root))
        return await destroy(self, ref)

    monkeypatch.setattr(RemoteProvider, "destroy", seen)
    if how == "switched":
        session.switch(sandbox="local")
        assert files(mine) == last[0]
        assert files(runner.root) == {}
        assert "1 earlier turn" in completed(session.send("remember")).text
    else:
        session.switch(sandbox=sw.Sandbox(session.sandbox, env={"WORD": "hello"}))
        completed(session.send("run echo $WORD > word"))
        assert last[0]["count"] == files(mine)["count"]
        assert files(mine)["word"] == b"hello\n"
    assert int(last[0]["count"]) > 1


def test_what_a_command_writes_comes_home_with_the_next_turn_or_at_the_end(session, mine):
    session.exec("echo 1 > a")
    assert files(mine) == {}
    completed(session.send("say hello"))
    assert files(mine) == {"a": b"1\n"}
    session.exec("echo 2 > b; rm a")
    session.park()
    assert files(mine) == {"b": b"2\n"}


def test_a_machine_that_does_not_answer_is_not_given_up(session, runner, start, mine):
    completed(session.send("write a <<EOT\nsaved\nEOT"))
    session.exec("echo unsaved > b")
    runner.stop(9)
    for leave in (session.park, lambda: session.switch(sandbox="local")):
        with pytest.raises(NotDurable, match="not verified to be saved") as caught:
            leave()
        assert caught.value.reason == "unreachable"
    assert session.sandbox.startswith("runner:")
    start()
    session.switch(sandbox="local")
    assert files(mine) == {"a": b"saved\n", "b": b"unsaved\n"}


def test_a_turn_whose_machine_dies_is_not_durable_and_its_files_come_home_later(session, runner, start, mine):
    completed(session.send("write a <<EOT\nsaved\nEOT"))
    turn = session.start("write b <<EOT\nlater\nEOT\nrun sleep 60")
    until(lambda: "b" in files(runner.root), what="the file")
    runner.stop(9)
    turn.wait(60)
    assert turn.status == "failed"
    assert turn.durability_error is not None
    assert files(mine) == {"a": b"saved\n"}
    start()
    completed(session.send("say hello"))
    assert files(mine) == {"a": b"saved\n", "b": b"later\n"}


def test_a_machine_that_was_emptied_is_filled_again(session, runner, start, mine):
    """Another disk: nothing that is missing there counts as deleted."""
    completed(session.send("write a <<EOT\nsaved\nEOT"))
    runner.stop(9)
    shutil.rmtree(runner.directory)
    start()
    completed(session.send("write b <<EOT\nnew\nEOT"))
    assert files(mine) == {"a": b"saved\n", "b": b"new\n"}
    assert files(runner.root) == files(mine)


def test_files_are_restored_there_and_at_rest(session, runner, mine):
    first = completed(session.send("write a <<EOT\none\nEOT"))
    completed(session.send("write a <<EOT\ntwo\nEOT\nwrite b <<EOT\ntwo\nEOT"))
    session.restore(first)
    assert files(mine) == files(runner.root) == {"a": b"one\n"}
    session.park()
    session.restore(session.turns[1])
    assert files(mine) == {"a": b"two\n", "b": b"two\n"}
    completed(session.send("say hello"))
    assert files(runner.root) == files(mine)


DIE = """
import os, signal
from session_widgets._sandboxes.remote import RemoteProvider
from session_widgets._sandboxes.runner_tree import RunnerTree
from session_widgets._sessions.sandbox_starter import SandboxStarter
from session_widgets.workspaces.directory_side import DirectorySide
from session_widgets.workspaces.sync_engine import SyncEngine
left = {number}
method = {place}.{name}
def dying(*args, **more):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return method(*args, **more)
s = sw.open_session("s1", permissions="allow_all")
{place}.{name} = dying
print(json.dumps("now"))
{what}
print(json.dumps("alive"))
"""
SEND = 's.send("run for i in 1 2 3 4; do echo $i > f$i; done; rm old; echo 2 > both")'


@pytest.mark.parametrize(
    ("what", "place", "name", "number"),
    [
        (SEND, "RemoteProvider", "create", 0),
        (SEND, "RunnerTree", "manifest", 0),
        (SEND, "DirectorySide", "reading", 1),
        (SEND, "SyncEngine", "save", 0),
        (SEND, "DirectorySide", "put", 0),
        (SEND, "DirectorySide", "put", 2),
        (SEND, "DirectorySide", "delete", 0),
        (SEND, "SyncEngine", "save", 1),
        (f"{SEND}; s.switch(sandbox='local')", "RemoteProvider", "end_processes", 0),
        (f"{SEND}; s.switch(sandbox='local')", "RemoteProvider", "destroy", 0),
        (f"{SEND}; s.switch(sandbox='local')", "SandboxStarter", "drop", 2),
        (f"{SEND}; s.park()", "RemoteProvider", "end_processes", 0),
        (f"{SEND}; s.park()", "RemoteProvider", "park", 0),
    ],
)
def test_a_kernel_that_is_killed_loses_no_file(session, forked, mine, runner, what, place, name, number):
    (mine / "old").write_text("old")
    (mine / "both").write_text("1")
    (mine / "kept").write_text("kept")
    session.detach()
    sw.store().close()
    kernel = Kernel(forked, DIE.format(what=what, place=place, name=name, number=number))
    assert kernel.read() == "now"
    assert kernel.end() == (-9, [])
    session = sw.open_session("s1", permissions="allow_all")
    try:
        if session.turns and not session.turns[-1].ended:
            session.turns[-1].wait(60)
        completed(session.send("say hello"))
        found = files(mine)
        assert found == {"both": b"2\n", "kept": b"kept", **{f"f{i}": f"{i}\n".encode() for i in (1, 2, 3, 4)}}
        session.switch(sandbox="local")
        assert files(mine) == found
        assert files(runner.root) == {}
    finally:
        session.delete()
