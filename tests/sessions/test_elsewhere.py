"""Sessions whose agent works on another machine, which shares no file with this one: a container without a mount."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import session_widgets as sw
from session_widgets.errors import BadValue, NotDurable, SandboxError, TransportError
from tests.support.boxes import Box
from tests.support.evidence import in_bucket, in_directory
from tests.support.kernels import Kernel
from tests.support.mid_turn import completed, outlived_by_its_sandbox
from tests.support.waiting import until

pytestmark = [pytest.mark.needs("docker", "seaweedfs"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with Box() as box:
        yield box


BOTH = pytest.mark.parametrize("place", ["directory", "bucket"], indirect=True)


@pytest.fixture
def place(request, tmp_path):
    """A workspace, and what is in it by other ways than the session's."""
    if getattr(request, "param", "") == "bucket":
        lab = request.getfixturevalue("lab")
        return lab, in_bucket(lab, "s1")
    folder = tmp_path / "mine"
    folder.mkdir()
    return folder, in_directory(folder)


@pytest.fixture
def opened(box, home, place):
    """Opens the session of the test, again as often as it wants."""
    last = []

    def open_session(**options):
        given = {"sandbox": box.name, "token": box.token, "workspace": place[0]} if not last else {}
        last.append(sw.open_session("s1", **{"permissions": "allow_all", **given, **options}))
        return last[-1]

    yield open_session
    if last:
        sw.open_session("s1").delete()  # another process may have gone on with it
    assert box.run("ls -A /workspace") == "", "a released machine is empty"


def files_of(evidence):
    return {path: content for path, content in evidence().items() if not path.startswith(".harness/")}


@BOTH
def test_files_go_there_and_come_home(opened, place, box):
    where, evidence = place
    session = opened()
    session.files.write("given/input.txt", "42")
    session.files.write("run.sh", "#!/bin/sh\necho ran")
    large = os.urandom(3 << 20)
    session.files.write("large.bin", large)
    assert files_of(evidence)["given/input.txt"] == b"42", "no machine is needed to put it there"
    turn = completed(
        session.send(
            "run cat given/input.txt; hostname\nwrite out/answer.txt <<EOT\nyes\nEOT\n"
            "run mkdir empty; rm run.sh; cp large.bin copy.bin"
        )
    )
    said = str([step.content for step in turn.steps if step.kind == "tool_call"])
    assert "42" in said
    assert box.hostname in said
    assert {(file.path, file.change) for file in turn.files} >= {("out/answer.txt", "created"), ("run.sh", "deleted")}
    assert files_of(evidence) == {
        "given/input.txt": b"42",
        "out/answer.txt": b"yes\n",
        "large.bin": large,
        "copy.bin": large,
    }
    assert session.files.read_text("out/answer.txt") == "yes\n"
    assert session.exec("hostname").out.strip() == box.hostname
    if isinstance(where, Path):
        assert (where / "empty").is_dir()
    assert session.turns[0].files_at_end["out/answer.txt"].read_text() == "yes\n"


def test_a_permission_is_asked_for_here(opened):
    session = opened(permissions="ask")
    turn = session.start("write a <<EOT\nx\nEOT")
    until(lambda: session.pending, seconds=60, what="the request")
    assert not turn.ended
    session.pending[0].allow()
    assert completed(turn.wait(60)).files[0].path == "a"


def test_a_turn_that_changed_no_file_brings_the_memory_home(opened, place):
    """No snapshot lists the harness's own files; without them nothing would remember the prompt after a loss."""
    session = opened()
    for words in ("say the first", "say the second"):
        completed(session.send(words))
        assert any(words.encode() in content for path, content in place[1]().items() if path.startswith(".harness/"))


def test_parked_it_keeps_files_and_memory_and_no_process(opened, place, box):
    session = opened()
    completed(session.send("write a <<EOT\nx\nEOT\nrun sleep 300 >/dev/null 2>&1 &"))
    session.park()
    assert box.run("pgrep -c -r D,R,S sleep") == "0\n"
    assert session.files.read_text("a") == "x\n"
    session.files.write("b", "while it rested")
    assert files_of(place[1]) == {"a": b"x\n", "b": b"while it rested"}
    turn = completed(session.send("run cat b\nremember"))
    assert turn.tier == "resume"
    assert "1 earlier turn" in turn.text
    assert "while it rested" in str([step.content for step in turn.steps])


def test_another_process_goes_on(opened, forked, box):
    session = opened()
    completed(session.send("write a <<EOT\nx\nEOT"))
    session.detach()
    sw.store().close()
    kernel = Kernel(
        forked,
        """
s = sw.open_session("s1", permissions="allow_all")
turn = s.send("remember")
print(json.dumps([turn.status, turn.tier, turn.text]))
s.detach()
""",
    )
    _, ((status, tier, text),) = kernel.end()
    assert (status, tier) == ("completed", "warm")
    assert "write a" in text


@BOTH
def test_a_kernel_that_dies_leaves_the_files_there_and_the_next_one_brings_them_home(opened, forked, place, box):
    def let_go():
        box.run("touch /workspace/go")
        until(lambda: box.has("after"), seconds=30, what="the end of the command: the agent needs no kernel")

    outlived_by_its_sandbox(opened, forked, lambda: files_of(place[1]), let_go)


def test_a_machine_that_dies_in_mid_turn_fails_the_turn_and_loses_no_saved_file(opened, place, box):
    session = opened()
    completed(session.send("write before <<EOT\nx\nEOT"))
    turn = session.start("run touch begun && sleep 300")
    until(lambda: box.has("begun"), seconds=30, what="the command")
    box.kill()
    try:
        assert turn.wait(120).status == "failed"
        assert turn.durable_at is None
        assert files_of(place[1])["before"] == b"x\n"
    finally:
        box.start()
    turn = completed(session.send("run ls\nremember"))
    assert turn.tier == "load"
    assert set(files_of(place[1])) == {"before", "begun"}


def test_a_machine_that_is_gone_can_be_left(opened, place, box, forked):
    session = opened()
    completed(session.send("write a <<EOT\nsaved\nEOT"))
    box.kill()
    try:
        with pytest.raises(NotDurable, match=r"no runner answers.*force=True"):
            session.switch(sandbox="local")
        with pytest.raises(TransportError, match="no runner answers"):
            session.delete()
        session = opened()
        session.switch(sandbox="local", force=True)
        assert "saved" in str([step.content for step in completed(session.send("run cat a")).steps])
    finally:
        box.start()
    assert box.has("a")
    swept = forked.command("sandboxes", "sweep", "--yes", timeout=60)
    assert (swept.returncode, "removed runner:" in swept.stdout) == (0, True), swept.stderr


@BOTH
def test_from_here_to_there_to_a_container(opened, place, box):
    """A session moves with its files and its memory, and leaves nothing behind."""
    session = opened(sandbox="local", token=None)
    completed(
        session.send("write a <<EOT\nlocal\nEOT\nrun chmod 755 a; ln -s a link; mkdir -p deep/er; touch deep/er/ünï")
    )
    session.switch(sandbox=box.name, token=box.token)
    turn = completed(
        session.send("run test -x a && cat link; ls deep/er; hostname\nwrite b <<EOT\nelsewhere\nEOT\nremember")
    )
    said = str([step.content for step in turn.steps])
    assert all(words in said for words in ("local", "ünï", box.hostname))
    assert "1 earlier turn" in turn.text
    session.switch(sandbox="docker")
    assert box.run("ls -A /workspace") == ""
    turn = completed(session.send("run cat a b; readlink link\nremember"))
    said = str([step.content for step in turn.steps])
    assert "elsewhere" in said
    assert "2 earlier turns" in turn.text
    found = files_of(place[1])
    assert (found["a"], found["b"], found["deep/er/ünï"]) == (b"local\n", b"elsewhere\n", b"")


@BOTH
def test_files_of_an_earlier_turn_come_back_there_and_go_on_here(opened, place, box):
    session = opened()
    first = completed(session.send("run echo one > a; ln -s a link; mkdir empty; echo x > run.sh; chmod 755 run.sh"))
    second = completed(
        session.send("run echo two > a; rm link run.sh; rmdir empty; for n in 1 2 3; do echo $n > $n; done")
    )
    assert session.diff(second).deleted == ("empty", "link", "run.sh")
    done = session.restore(first)
    assert done.failed == ()
    assert box.run("cd /workspace; cat a; readlink link; ls") == "one\na\na\nempty\nlink\nrun.sh\n"
    assert files_of(place[1])["a"] == b"one\n"
    session.park()
    session.restore(done.previous)
    assert session.status == "parked"
    turn = completed(session.send("run cat a 3"))
    assert "two" in str([step.content for step in turn.steps])
    made = session.fork(first, id="fork")
    try:
        made.switch(sandbox="local")
        turn = made.send("remember\nrun test -x run.sh && cat a link")
        assert turn.text.startswith("1 earlier turn"), turn.error
        assert "one" in str([step.content for step in turn.steps])
    finally:
        made.delete()


@BOTH
def test_a_file_that_both_changed_is_kept_twice(opened, place, box):
    where, evidence = place
    session = opened()
    completed(session.send("write a <<EOT\nfirst\nEOT"))
    box.run("printf theirs > /workspace/a && chown 1000:1000 /workspace/a")
    if isinstance(where, Path):
        (where / "a").write_text("mine")
    else:
        pytest.importorskip("boto3").client("s3", region_name="us-east-1").put_object(
            Bucket=where.removeprefix("s3://").split("/")[0], Key=f"{where.split('/', 3)[3]}/s1/a", Body=b"mine"
        )
    turn = session.send("run ls")
    assert turn.status == "failed"
    assert "changed both" in turn.error
    completed(session.send("run ls"))
    assert sorted(files_of(evidence).values()) == [b"mine", b"theirs"]


def test_many_files(opened, place):
    session = opened()
    completed(session.send("run for i in $(seq 1500); do echo $i > f$i; done"))
    found = files_of(place[1])
    assert len(found) == 1500
    assert found["f1500"] == b"1500\n"


def test_an_agent_there_calls_a_function_here(opened):
    """Through the one connection that the kernel has made: the machine cannot reach the kernel."""

    def double(number: int) -> str:
        """Double a number."""
        return f"{number * 2} by {os.getpid()}"

    turn = completed(opened(tools=[double]).send('tool double {"number": 21}'))
    assert f"42 by {os.getpid()}" in str([step.content for step in turn.steps])


def test_a_mount_is_refused_with_the_remedy(home, lab, box):
    with pytest.raises(BadValue, match="sync"):
        sw.open_session("s1", sandbox=box.name, token=box.token, workspace=lab, attachment="fuse:s3fs")


def test_a_machine_that_is_taken_is_named(opened, home, box, tmp_path):
    completed(opened().send("say hello"))
    other = sw.open_session("s2", sandbox=box.name)
    turn = other.send("say hello")
    assert turn.status == "failed"
    assert "session 's1'" in turn.error
    with pytest.raises(SandboxError, match="s1"):
        other.exec("true")
    other.delete()
