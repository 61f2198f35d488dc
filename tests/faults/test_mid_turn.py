"""Failures during a turn. The evidence is in the bucket, and in this machine's leftovers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

import session_widgets as sw
from session_widgets._sandboxes.images import build_context, tag_of
from session_widgets._sessions import sandbox_manager, turn_runner
from session_widgets.errors import SandboxError
from session_widgets.host.daemon import Daemon, installation
from tests.support.flaky_s3 import Fault
from tests.support.kernels import Kernel, exactly_once, runner_pid
from tests.support.mid_turn import WRITE, Hold, left_of
from tests.support.private_dockerd import private_dockerd
from tests.support.waiting import until

pytestmark = [
    pytest.mark.needs("seaweedfs"),
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("nothing_is_left", "nothing_else_is_touched"),
]


def mounter_of(session):
    return Daemon(Path(session.store.home) / "mounts" / "s1").process()


def test_a_runner_killed(open_session, lab, bucket, tmp_path):
    session, hold = open_session(workspace=lab), Hold(tmp_path)
    turn = session.start(f"{WRITE.format('a')}\n{hold.line}")
    hold.reached(turn)
    os.kill(runner_pid(session), signal.SIGKILL)
    turn.wait(60)
    assert turn.status == "failed"
    assert "has stopped; the next prompt starts it again" in turn.error
    assert turn.durable_at is not None, turn.durability_error
    assert bucket()["a"] == b"content of a\n"
    assert session.send("remember").tier in {"resume", "load", "replay"}


@pytest.mark.needs("docker")
def test_a_container_killed(open_session, lab, bucket):
    session = open_session(sandbox="docker", workspace=lab)
    hold = Hold(session._controller.state.workspace.path, ".")
    turn = session.start(f"{WRITE.format('a')}\n{hold.line}")
    hold.reached(turn)
    name = f"session-widgets-{session._controller.state.record.sandbox_ref.split(':')[1]}"
    subprocess.run(["docker", "kill", name], check=True, capture_output=True)
    turn.wait(60)
    assert turn.status == "failed"
    assert "has stopped; the next prompt starts it again" in turn.error
    assert turn.durable_at is not None, turn.durability_error
    assert bucket()["a"] == b"content of a\n"
    assert session.send("run cat a").status == "completed"


@pytest.fixture
def own_store(home):
    """Stopped after all else: to delete a session starts it again."""
    store = sw.local_s3("own")
    yield store
    store.stop()


def test_an_embedded_store_killed_is_started_again(own_store, open_session, home, tmp_path):
    session, hold = open_session(workspace=own_store.url), Hold(tmp_path)
    session.send(WRITE.format("a"))
    turn = session.start(f"{WRITE.format('b')}\n{hold.line}")
    hold.reached(turn)
    Daemon(home / "s3").process().kill()
    hold.let_go()
    turn.wait(110)
    assert turn.status == "completed"
    assert turn.durable_at or turn.durability_error.startswith("unreachable: ")
    assert session.send("say again").durable_at is not None
    session.park()
    assert session.files.read_text("a") == "content of a\n"
    assert session.files.read_text("b") == "content of b\n"


@pytest.fixture
def dockerd(monkeypatch):
    """A Docker daemon that may be killed: nobody else uses it."""
    with private_dockerd() as dockerd:
        dockerd.take_image(tag_of(build_context()))
        monkeypatch.setenv("DOCKER_HOST", dockerd.url)
        yield dockerd


@pytest.mark.needs("docker", "dockerd")
def test_the_docker_daemon_killed_and_started_again(dockerd, open_session, lab, bucket):
    session = open_session(sandbox="docker", workspace=lab)
    session.send(WRITE.format("a"))
    hold = Hold(session._controller.state.workspace.path, ".")
    turn = session.start(f"{WRITE.format('b')}\n{hold.line}")
    hold.reached(turn)
    dockerd.end(signal.SIGKILL)
    try:
        turn.wait(60)
        early = session.send("say too early")
    finally:
        dockerd.start()
    assert turn.status == "failed"
    assert "its daemon does not run" in turn.error
    assert turn.durable_at is not None, turn.durability_error
    assert (session._controller.state.workspace.path / "b").read_text() == "content of b\n"
    assert "its daemon does not run" in early.error
    again = session.send("remember\nrun cat b")
    assert again.durable_at is not None, again.error or again.durability_error
    assert again.tier == "load"
    assert "2 earlier turns" in again.text
    assert "content of b" in str(again.steps)
    assert {name: bucket()[name] for name in "ab"} == {"a": b"content of a\n", "b": b"content of b\n"}
    exactly_once(session.events())
    session.delete()
    listed = ["docker", "--host", dockerd.url, "ps", "--all", "--quiet"]
    assert subprocess.run(listed, check=True, capture_output=True, text=True).stdout == ""


@pytest.mark.needs("docker", "dockerd")
def test_a_session_is_not_deleted_halfway_while_the_docker_daemon_is_down(dockerd, open_session, lab, bucket):
    session = open_session(sandbox="docker", workspace=lab)
    session.send(WRITE.format("a"))
    dockerd.end(signal.SIGKILL)
    try:
        with pytest.raises(SandboxError, match="its daemon does not run"):
            session.delete()
    finally:
        dockerd.start()
    assert bucket()["a"] == b"content of a\n"
    session.delete()
    assert bucket() == {}
    listed = ["docker", "--host", dockerd.url, "ps", "--all", "--quiet"]
    assert subprocess.run(listed, check=True, capture_output=True, text=True).stdout == ""


HOLDER = """
from pathlib import Path
from session_widgets._sessions import sandbox_starter
prepare = sandbox_starter.prepare
def prepare_later(*args):
    while not Path({start!r}).exists(): time.sleep(0.02)
    return prepare(*args)
sandbox_starter.prepare = prepare_later
s = sw.open_session("s1", workspace={lab!r}, permissions="allow_all")
turn = s.start({prompt!r}, idempotency_key="k")
print(json.dumps("begun"))
while s._controller.turns._runner.delivery.call is None: time.sleep(0.02)
print(json.dumps("at work"))
turn.wait(60)
print(json.dumps([turn.status, turn.text, turn.error, str(turn.durable_at), turn.durability_error]))
"""


def test_two_kernels_end_the_same_turn(forked, open_session, seaweed, lab, home, bucket, tmp_path):
    """The second takes it up while the first is still about to make the sandbox."""
    hold, start = Hold(tmp_path), tmp_path / "start"
    prompt = f"{hold.line}\n{WRITE.format('a')}\nsay over"
    kernels = []
    for _ in range(2):
        kernels.append(Kernel(forked, HOLDER.format(lab=lab, prompt=prompt, start=str(start))))
        assert kernels[-1].read() == "begun"
    start.touch()
    assert [kernel.read() for kernel in kernels] == ["at work", "at work"]
    hold.let_go()
    (first, told), (second, same) = [kernel.end() for kernel in kernels]
    assert (first, second) == (0, 0)
    assert told == same
    ((status, text, error, durable_at, durability_error),) = told
    assert (status, text, error, durability_error) == ("completed", "over", None, None)
    assert durable_at != "None"
    session = open_session()
    events = session.events()
    exactly_once(events)
    kinds = [event.kind for event in events]
    assert [kinds.count(kind) for kind in ("turn_started", "memory_restored", "turn_ended")] == [1, 1, 1]
    assert [event.method for event in events].count("session/prompt") == 2  # asked, answered
    assert bucket()["a"] == b"content of a\n"
    folder = lab.removeprefix(f"{seaweed.url}/")
    lease = seaweed.client().get_object(Bucket=seaweed.bucket, Key=f"{folder}/.leases/s1.json")["Body"].read()
    held = json.loads(lease)
    assert (held["token"], held["free"], held["installation"]) == (1, False, installation(home))


LEAVER = """
s = sw.open_session("s1", sandbox="docker", workspace={lab!r}, permissions="allow_all")
s.start({prompt!r}).wait(60)
"""


@pytest.mark.needs("docker")
def test_a_kernel_killed_leaves_its_container_at_work(forked, open_session, lab, home, bucket, monkeypatch):
    hold = Hold(home / "workspaces" / "s1", ".")
    kernel = Kernel(forked, LEAVER.format(lab=lab, prompt=f"{hold.line}\n{WRITE.format('a')}\nsay over"))
    until(lambda: (hold.here / "begun").exists(), seconds=60, what="the middle of the turn")
    kernel.kill()
    assert [line for line in left_of(home, monkeypatch, 0) if line.startswith("container ")], "the census is blind"
    session = open_session()
    turn = session.turns[-1]
    assert turn.status == "running"
    hold.reached(turn)
    hold.let_go()
    turn.wait(60)
    assert (turn.status, turn.text, turn.durability_error) == ("completed", "over", None), turn.error
    assert turn.durable_at is not None
    assert bucket()["a"] == b"content of a\n"
    exactly_once(session.events())
    assert session.send("remember").tier == "warm"


MAKER = """
from session_widgets._sandboxes.containers import Containers
real = Containers.{step}
def stop_here(self, *args):
    if {after}: real(self, *args)
    print(json.dumps("here"))
    time.sleep(60)  # it is killed here
Containers.{step} = stop_here
sw.open_session("s1", sandbox="docker", workspace={lab!r}, permissions="allow_all").send({prompt!r})
"""


@pytest.mark.needs("docker")
@pytest.mark.parametrize(("step", "after"), [("make", False), ("make", True), ("start_if_stopped", True)])
def test_a_kernel_killed_while_its_container_is_made(forked, step, after, open_session, lab, bucket):
    """Recorded before it is made: the next kernel finds it, or makes another one and leaves none behind."""
    kernel = Kernel(forked, MAKER.format(step=step, after=after, lab=lab, prompt=WRITE.format("a")))
    assert kernel.read() == "here"
    kernel.kill()
    session = open_session()
    session.turns[-1].wait(60)
    turn = session.send(WRITE.format("b"))
    assert turn.durable_at is not None, turn.error or turn.durability_error
    assert bucket()["b"] == b"content of b\n"
    assert ("a" in bucket()) is (session.turns[0].status == "completed")
    exactly_once(session.events())


@pytest.mark.needs("fuse", "s3fs")
def test_a_mounter_killed_fails_the_turn_and_is_mounted_again(open_session, lab, bucket, tmp_path):
    session, hold = open_session(workspace=lab, attachment="fuse:s3fs"), Hold(tmp_path)
    session.send(WRITE.format("a"))
    turn = session.start(f"{hold.line}\n{WRITE.format('late')}")
    hold.reached(turn)
    mounter_of(session).kill()
    hold.let_go()
    turn.wait(60)
    assert turn.durable_at is None
    assert turn.durability_error.startswith("mount: ")
    again = session.send("run cat a && echo b > b")
    assert again.durable_at is not None, again.error or again.durability_error
    assert "content of a" in str(again.steps)
    assert bucket()["b"] == b"b\n"


@pytest.mark.needs("fuse", "s3fs")
@pytest.mark.parametrize("stopped", [False, True], ids=["waited for", "stopped"])
def test_a_mounter_that_hangs(stopped, open_session, lab, home, bucket, tmp_path, monkeypatch):
    """An agent that waits for it can neither go on nor be killed: the mounter has to go."""
    if stopped:
        monkeypatch.setattr(turn_runner, "CANCEL_SECONDS", 1)
        monkeypatch.setattr(turn_runner, "SILENCE_SECONDS", 1)
    else:
        monkeypatch.setattr(sandbox_manager, "WATCH_SECONDS", 0.2)
        monkeypatch.setattr(sandbox_manager, "HANG_SECONDS", 2)
    session, hold = open_session(workspace=lab, attachment="fuse:s3fs"), Hold(tmp_path)
    session.send(WRITE.format("a"))
    turn = session.start(f"{hold.line}\n{WRITE.format('late')}")
    hold.reached(turn)
    assert [line for line in left_of(home, monkeypatch, 0) if line.startswith("mounted: ")], "the census is blind"
    mounter = mounter_of(session)
    mounter.suspend()
    hold.let_go()
    until(lambda: not (tmp_path / "go").exists(), what="the agent to go on")
    if stopped:
        session.cancel()
    turn.wait(60)
    assert turn.status == ("cancelled" if stopped else "failed")
    assert turn.durable_at is None
    assert turn.durability_error.startswith("mount: ")
    assert "later writes are lost" in turn.durability_error
    again = session.send("run cat a && ls && echo b > b")
    assert again.durable_at is not None, again.error or again.durability_error
    assert "content of a" in str(again.steps)
    assert "late" not in bucket()
    assert bucket()["b"] == b"b\n"
    assert mounter_of(session) not in {None, mounter}


@pytest.mark.needs("fuse", "s3fs")
def test_a_mounter_that_dies_with_its_store_is_not_blamed(way, open_session, lab, bucket, tmp_path):
    session, hold = open_session(workspace=lab, attachment="fuse:s3fs"), Hold(tmp_path)
    turn = session.start(f"{WRITE.format('a')}\n{hold.line}")
    hold.reached(turn)
    way.rule = lambda _method, _path: Fault(cut=True)
    try:
        mounter_of(session).kill()
        hold.let_go()
        turn.wait(60)
    finally:
        way.rule = lambda _method, _path: None
    assert turn.durable_at is None
    assert turn.durability_error.startswith("unreachable: ")
    assert "later writes are lost" in turn.durability_error
    assert session.send("run cat a").durable_at is not None
    assert bucket()["a"] == b"content of a\n"
