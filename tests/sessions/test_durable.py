"""Sessions whose workspace is in a bucket, on good days and bad ones. The evidence is read from the bucket."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import session_widgets as sw
from session_widgets.errors import (
    BadPath,
    LimitExceeded,
    NotFound,
    SessionConflict,
    SessionGone,
)
from session_widgets.workspaces import files as object_files
from tests.support.evidence import in_directory
from tests.support.flaky_s3 import Fault, wait_for_request
from tests.support.kernels import Kernel, exactly_once
from tests.support.mid_turn import WRITE, Hold
from tests.support.model.serving import bridge_address
from tests.support.waiting import until

pytestmark = [
    pytest.mark.needs("seaweedfs"),
    pytest.mark.timeout(120),
    pytest.mark.usefixtures("nothing_is_left", "nothing_else_is_touched"),
]


DOCKER = pytest.param({"sandbox": "docker"}, marks=pytest.mark.needs("docker"), id="docker")
S3FS = pytest.param({"attachment": "fuse:s3fs"}, marks=pytest.mark.needs("fuse", "s3fs"), id="s3fs")


@pytest.fixture
def session(open_session, lab):
    return open_session(workspace=lab)


def files_of(found):
    return {path: data for path, data in found.items() if not path.startswith(".harness/")}


def test_a_turn_is_durable_when_the_bucket_shows_its_files(session, bucket):
    turn = session.send(WRITE.format("notes.md"))
    assert turn.durable_at is not None
    assert turn.durability_error is None
    assert files_of(bucket()) == {"notes.md": b"content of notes.md\n"}
    assert any(path.startswith(".harness/demo/") for path in bucket()), "the agent's memory is part of the workspace"
    row = sw.store().sql("select durable_at, durability_error from v_turns where session_id = 's1'").fetchall()
    assert row == [(turn.durable_at, None)]


def test_files_are_read_written_and_deleted_with_no_sandbox_alive(session, bucket, tmp_path):
    session.send("\n".join(WRITE.format(name) for name in ("a", "ab", "a.d/x", "a.d/y/z")))
    session.park()
    files = session.files
    assert [info.path for info in files.list()] == [".harness", "a.d", "a", "ab"]
    assert [info.path for info in files.list("a.d", recursive=True)] == ["a.d/x", "a.d/y", "a.d/y/z"]
    assert files.read_text("a") == "content of a\n"
    assert files.read_bytes("a", 8, 2) == b"of"
    assert files.read_bytes("a", 1000, 10) == b""
    assert files.stat("a").size == 13
    assert files.stat("a.d").type == "directory"
    for wrong in ("missing", "a/below", "a."):
        with pytest.raises(NotFound):
            files.read_bytes(wrong)
    for wrong in ("../s1x/a", "/etc/passwd", "a/../../b", "x\0", "a.d\\x", "..\\s2\\a", "\udcff"):
        with pytest.raises(BadPath):
            files.read_bytes(wrong)
        with pytest.raises(BadPath):
            files.write(wrong, "x")
    files.delete("a")
    assert "ab" in bucket()
    assert "a.d/x" in bucket()
    with pytest.raises(BadPath, match="not empty"):
        files.delete("a.d")
    files.move("ab", "moved/ab")
    files.write("new.txt", "by hand")
    files.upload(__file__, "test.py")
    assert files.download("new.txt", tmp_path).read_text() == "by hand"
    assert shutil.which("unzip") is None or files.zip(tmp_path / "all.zip").exists()
    files.delete("a.d", recursive=True)
    assert set(files_of(bucket())) == {"moved/ab", "new.txt", "test.py"}
    assert session.status == "parked", "looking at files woke the sandbox"
    turn = session.send("run cat new.txt moved/ab; ls")
    assert "by hand" in str(turn.steps)
    assert turn.tier == "resume"
    assert set(files_of(bucket())) == {"moved/ab", "new.txt", "test.py"}


def test_one_read_from_the_bucket_is_bounded(session, monkeypatch):
    session.send(WRITE.format("a"))
    session.park()
    monkeypatch.setattr(object_files, "MAX_READ", 8)
    for length in (None, 9, 1000):
        with pytest.raises(LimitExceeded, match=r"'a' has 13 bytes; one read gives 8 at most.*download\(\)"):
            session.files.read_bytes("a", length=length)
    assert session.files.read_bytes("a", length=8) == b"content "
    assert session.files.read_bytes("a", 8) == b"of a\n"


def test_a_session_is_resumed_by_its_id_alone_and_cannot_be_moved_by_mistake(session, lab, tmp_path):
    session.send(WRITE.format("a"))
    again = sw.open_session("s1")
    assert again is session
    assert (again.location, again.attachment) == (f"{lab}/s1", "sync")
    with pytest.raises(SessionConflict, match="cannot be moved"):
        sw.open_session("s1", workspace=tmp_path)
    with pytest.raises(SessionConflict, match="cannot be moved"):
        sw.open_session("s1", workspace=lab, attachment="fuse:weed")


def test_another_machine_goes_on_with_files_and_memory_of_its_own_store(forked, session, lab, tmp_path, monkeypatch):
    """The files travel; the transcript is the other machine's own, so the agent there starts afresh, said aloud."""
    session.send(WRITE.format("a"))
    session.park()
    monkeypatch.setenv("SESSION_WIDGETS_HOME", str(tmp_path / "elsewhere"))
    kernel = Kernel(
        forked,
        f"""
s = sw.open_session("s1", workspace={lab!r}, permissions="allow_all")
turn = s.send("run cat a && echo more > b")
print(json.dumps([turn.status, turn.error, turn.tier, str(turn.steps).count("content of a")]))
s.park()
s.store.delete_session("s1")
sw.store().close()
""",
    )
    code, ((status, error, tier, count),) = kernel.end()
    assert code == 0
    assert (status, error, tier) == ("completed", None, "fresh")
    assert count
    monkeypatch.undo()


def test_the_holder_is_named_and_can_be_replaced(session, lab, tmp_path, monkeypatch, bucket):
    session.send(WRITE.format("a"))
    other = sw.open_session(
        "s1", workspace=lab, permissions="allow_all", store=tmp_path / "other" / "transcripts.duckdb"
    )
    turn = other.send(WRITE.format("b"))
    assert turn.status == "failed"
    assert "is worked on by" in turn.error
    assert "take_over()" in turn.error
    assert "b" not in bucket()
    other.take_over()
    assert other.send(WRITE.format("b")).durable_at
    late = session.send(WRITE.format("late"))
    assert "worked on by" in (late.error or late.durability_error)
    assert set(files_of(bucket())) == {"a", "b"}
    other.park()
    assert session.send("run ls").status == "completed"
    assert (session.workspace / "b").exists()
    other._controller.state.workspace.detach()
    other.store.delete_session("s1")
    other.store.close()


def test_a_session_taken_over_in_mid_turn_is_written_by_its_holder_alone(open_session, lab, tmp_path, bucket):
    session, hold = open_session(workspace=lab), Hold(tmp_path)
    session.send(WRITE.format("a"))
    turn = session.start(f"{hold.line}\nwrite a <<EOT\nof him who lost it\nEOT")
    hold.reached(turn)
    other = sw.open_session(
        "s1", workspace=lab, permissions="allow_all", store=tmp_path / "other" / "transcripts.duckdb"
    )
    other.take_over()
    assert other.send("run cat a && echo of its new holder > b").durable_at is not None
    hold.let_go()
    turn.wait(60)
    assert (turn.status, turn.durable_at) == ("completed", None)
    assert "worked on by" in turn.durability_error
    assert files_of(bucket()) == {"a": b"content of a\n", "b": b"of its new holder\n"}
    other.park()
    session.take_over()
    assert session.send("say back again").durable_at is not None
    assert files_of(bucket()) == {"a": b"of him who lost it\n", "b": b"of its new holder\n"}
    other._controller.state.workspace.detach()
    other.store.delete_session("s1")
    other.store.close()


def test_the_files_of_a_cancelled_turn_are_safe_too(session, bucket):
    session.send("say warm")
    turn = session.start(WRITE.format("a") + "\nwait 30")
    until(lambda: (session.workspace / "a").exists(), what="the file")
    session.cancel()
    assert turn.status == "cancelled"
    assert turn.durable_at is not None, turn.durability_error
    assert bucket()["a"] == b"content of a\n"


def test_a_clock_that_is_off_is_named(session, monkeypatch):
    import botocore.auth

    session.send("say warm")
    real = botocore.auth.get_current_datetime
    monkeypatch.setattr(
        botocore.auth, "get_current_datetime", lambda *a, **k: real(*a, **k) - timedelta(minutes=20), raising=True
    )
    turn = session.send(WRITE.format("a"))
    assert turn.status == "failed"
    assert "clock" in turn.error
    monkeypatch.undo()
    assert session.send("say again").durable_at is not None


def test_a_conflict_stops_the_turn_keeps_both_and_the_next_one_goes_on(session, bucket, lab):
    session.send(WRITE.format("a"))
    (session.workspace / "a").write_text("ours")
    objects = session._controller.state.workspace.objects
    objects.prefix.put("a", b"theirs", 6, metadata={}, if_match=None)
    turn = session.send("say first look")
    assert turn.status == "failed"
    assert "changed both here and in" in turn.error
    assert session.send("say now").durable_at is not None
    assert sorted(files_of(bucket()).values()) == [b"ours", b"theirs"]


def test_a_kernel_killed_while_it_saves_loses_nothing(forked, way, lab, open_session, bucket):
    """The answer is stored, the upload hangs, the kernel dies: the next one saves, and the turn becomes durable."""
    kernel = Kernel(
        forked,
        f"""
s = sw.open_session("s1", workspace={lab!r}, permissions="allow_all")
s.send("say before")
print(json.dumps("warm"))
s.send("write a <<EOT\\ncontent of a\\nEOT")
""",
    )
    assert kernel.read() == "warm"
    way.seen.clear()
    way.rule = lambda method, path: Fault(delay=60) if method == "PUT" and path.endswith("/a") else None
    wait_for_request(way, "PUT", "/a")
    kernel.kill()
    way.rule = lambda _m, _p: None
    session = open_session()
    turn = session.turns[-1].wait(60)
    assert turn.status == "completed"
    assert turn.durable_at is not None
    assert bucket()["a"] == b"content of a\n"
    exactly_once(session.events())


def test_a_directory_that_a_new_runner_made_again_is_not_taken_for_emptied(session, bucket):
    session.send(WRITE.format("a"))
    ref = session._controller.state.record.sandbox_ref
    record = json.loads((Path(session.store.home) / "sandboxes" / ref.split(":")[1] / "process.json").read_text())
    os.kill(record["pid"], signal.SIGKILL)
    shutil.rmtree(session.workspace)
    assert "a" in {info.path for info in session.files.list()}
    turn = session.send("say hello")
    assert turn.durable_at is not None, turn.durability_error
    assert bucket()["a"] == b"content of a\n"


@pytest.mark.needs("docker")
def test_a_container_removed_behind_our_back_is_made_again_with_its_files(open_session, lab, bucket):
    session = open_session(sandbox="docker", workspace=lab)
    session.send(WRITE.format("a"))
    first = session._controller.state.record.sandbox_ref
    subprocess.run(["docker", "rm", "-f", f"session-widgets-{first.split(':')[1]}"], check=True, capture_output=True)
    turn = session.send("run cat a")
    assert turn.status == "completed", turn.error
    assert "content of a" in str(turn.steps)
    assert session._controller.state.record.sandbox_ref != first
    assert not list(Path(session.store.home, "containers").glob(first.split(":")[1])), "its record was left"
    assert turn.durable_at is not None
    assert "gone" in [event.payload.get("reason") for event in session.events() if event.kind == "sandbox_stopped"]


@pytest.mark.needs("docker")
def test_an_agent_in_a_container_sees_no_other_session(open_session, lab, seaweed):
    look = "run echo there are $(find / -name 'secret-of-*' 2>/dev/null | wc -l); ls /dev/fuse; echo asked"
    other = open_session(id="s2", workspace=lab, sandbox="docker")
    known = other.send(f"write secret-of-s2 <<EOT\nnobody else's\nEOT\n{look}")
    assert "there are 1" in str(known.steps[-1].content), "a viewer finds the files"
    session = open_session(workspace=lab, sandbox="docker")
    store = f":{urlsplit(seaweed.endpoint).port}/{lab.removeprefix('s3://')}/s2/secret-of-s2"
    ask = [
        f"run curl --silent --max-time 5 http://{host}{store}; echo asked" for host in ("127.0.0.1", bridge_address())
    ]
    turn = session.send("\n".join([look, *ask]))
    said = [str(step.content) for step in turn.steps if step.kind == "tool_call"]
    assert ["asked" in text for text in said] == [True] * 3
    assert "there are 0" in said[0]
    assert "cannot access '/dev/fuse'" in said[0]
    assert "nobody else's" not in str(said)


@pytest.mark.needs("docker")
def test_no_key_of_the_store_is_inside_the_container(open_session, lab, seaweed):
    session = open_session(sandbox="docker", workspace=lab)
    turn = session.send(
        "run env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'; cat /run/session-widgets/*.json"
    )
    keys = seaweed.credentials
    assert turn.durable_at is not None
    everything = str([event.payload for event in session.events()])
    assert keys.secret_key not in everything
    assert keys.access_key not in everything
    assert session.exec(f"grep -rl {keys.secret_key} /run /tmp /home /workspace /etc 2>/dev/null").out == ""


@pytest.mark.needs("fuse", "s3fs")
def test_what_a_mount_can_do_is_recorded_and_shown(open_session, lab):
    session = open_session(workspace=lab, attachment="fuse:s3fs")
    session.send("say hello")
    (told,) = [event.payload for event in session.events() if event.kind == "workspace_attached"]
    assert "symlink" in told["mount_report"]
    assert "not hard link" in told["mount_report"]
    assert session.store.session("s1").mount_report == told["mount_report"]


def test_a_key_with_a_control_character_does_not_keep_a_session_from_being_deleted(session, bucket):
    session.send("run printf x > \"$(printf 'a\\033b')\"")
    assert "a\x1bb" in bucket()
    session.delete()
    assert bucket() == {}


@pytest.mark.parametrize("options", [pytest.param({}, id="sync"), DOCKER, S3FS])
def test_delete_while_a_turn_runs_leaves_nothing(options, open_session, lab, bucket):
    session = open_session(workspace=lab, **options)
    session.send(WRITE.format("a"))
    workspace = session._controller.state.workspace.path
    turn = session.start("run while true; do date >> busy; sleep 0.01; done")
    until((workspace / "busy").exists, what="the writer")
    session.delete()
    assert turn.ended
    assert bucket() == {}
    assert not workspace.exists()
    with pytest.raises(SessionGone):
        session.send("say no")


@pytest.mark.needs("tmpfs")
def test_a_disk_that_fills_up_in_mid_turn_loses_nothing_that_was_called_durable(open_session, lab, bucket):
    session = open_session(workspace=lab)
    folder = session._controller.state.workspace.path
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)], check=True)
    try:
        assert session.send(WRITE.format("a")).durable_at is not None
        turn = session.send("run dd if=/dev/zero of=big bs=64k count=64")
        assert turn.ended
        assert turn.status == "failed" or "No space left" in str([step.content for step in turn.steps])
        assert turn.durable_at is None or bucket() == in_directory(folder)()
        (folder / "big").unlink()
        again = session.send(WRITE.format("b"))
        assert again.durable_at is not None, again.error or again.durability_error
        kept = bucket()
        assert (kept["a"], kept["b"]) == (b"content of a\n", b"content of b\n")
        assert "big" not in kept
    finally:
        session.park(force=True)
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.needs("tmpfs")
def test_a_full_disk_is_named_and_nothing_is_called_durable(session, home, bucket):
    session.send(WRITE.format("a"))
    session.park()
    folder = session._controller.state.workspace.path
    objects = session._controller.state.workspace.objects
    objects.prefix.put("big", b"x" * (2 << 20), 2 << 20, metadata={}, if_match=None)
    shutil.rmtree(folder)
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], check=True)
    try:
        turn = session.send("say hello")
        assert turn.status == "failed"
        assert "No space left" in turn.error
        session.park(force=True)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()
    assert session.send("run wc -c < big").durable_at is not None
    assert len(bucket()["big"]) == 2 << 20


@pytest.mark.needs("docker")
def test_files_that_come_from_the_bucket_belong_to_the_agent_in_the_container(open_session, lab, bucket):
    session = open_session(sandbox="docker", workspace=lab)
    session.send("say warm")
    session._controller.state.workspace.objects.prefix.put("deep/new", b"1", 1, metadata={}, if_match=None)
    turn = session.send("run echo 2 >> deep/new && echo 3 > deep/beside && rm deep/beside")
    assert turn.durable_at is not None, turn.durability_error
    assert bucket()["deep/new"] == b"12\n"
