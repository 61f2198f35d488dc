"""Worse days of a durable session: a disk that fills up, a deletion in mid-turn, an agent that looks around."""

from __future__ import annotations

import subprocess
from urllib.parse import urlsplit

import pytest

from flaky_s3 import Fault, flaky, once
from matrix.bucket import in_bucket, in_directory
from model.serving import bridge_address
from session_widgets.daemon import Daemon
from session_widgets.workspaces.local_s3 import local_s3
from sessions.mid_turn import WRITE, Hold
from support import until

pytestmark = [
    pytest.mark.needs("seaweedfs"),
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("nothing_is_left", "nothing_else_is_touched"),
]
DOCKER = pytest.param({"sandbox": "docker"}, marks=pytest.mark.needs("docker"), id="docker")
S3FS = pytest.param({"attachment": "fuse:s3fs"}, marks=pytest.mark.needs("fuse", "s3fs"), id="s3fs")


@pytest.mark.needs("tmpfs")
def test_a_disk_that_fills_up_in_mid_turn_loses_nothing_that_was_called_durable(open_session, lab, bucket):
    session = open_session(workspace=lab)
    folder = session._core.workspace.path
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


@pytest.mark.parametrize("options", [DOCKER, S3FS])
def test_delete_in_mid_turn_leaves_nothing(options, open_session, lab, bucket):
    session = open_session(workspace=lab, **options)
    session.send(WRITE.format("a"))
    workspace = session._core.workspace.path
    turn = session.start("run while true; do date >> busy; sleep 0.01; done")
    until((workspace / "busy").exists, what="the writer")
    session.delete()
    assert turn.ended
    assert bucket() == {}
    assert not workspace.exists()


@pytest.mark.needs("docker")
def test_an_agent_in_a_container_sees_no_other_session(open_session, lab, seaweed):
    other = open_session(id="s2", workspace=lab, sandbox="docker")
    other.send("write secret-of-s2 <<EOT\nnobody else's\nEOT")
    session = open_session(workspace=lab, sandbox="docker")
    port = urlsplit(seaweed.endpoint).port
    folder = lab.removeprefix("s3://")
    stores = [f"http://{host}:{port}/{folder}/s2/secret-of-s2" for host in ("127.0.0.1", bridge_address())]
    turn = session.send(
        "run find / -name 'secret-of-*' 2>/dev/null; echo looked\n"
        + "\n".join(f"run curl --silent --max-time 5 {url}; echo asked" for url in stores)
        + "\nrun ls /dev/fuse; echo looked for it"
    )
    said = str([step.content for step in turn.steps if step.kind == "tool_call"])
    assert said.count("asked") >= 2, "the commands ran"
    assert "No such file" in said
    assert "nobody else's" not in said
    assert "/secret-of-s2" not in said.replace("/s2/secret-of-s2", "")


@pytest.mark.needs("fuse", "s3fs")
@pytest.mark.parametrize(
    "fault",
    [Fault(status=503, code="SlowDown"), Fault(status=403, code="AccessDenied"), Fault(cut=True), Fault(delay=5)],
    ids=["503", "refused", "cut", "late"],
)
def test_a_mount_whose_store_fails_tells_the_agent_and_calls_nothing_durable_that_is_not_there(
    fault, way, open_session, lab, bucket, tmp_path
):
    session, hold = open_session(workspace=lab, attachment="fuse:s3fs"), Hold(tmp_path)
    session.send(WRITE.format("a"))
    turn = session.start(f"{hold.line}\nrun cp a b && echo done")
    hold.reached(turn)
    way.rule = lambda method, path: fault if method == "PUT" and path.endswith("/b") else None
    hold.let_go()
    turn.wait(110)
    said = str(turn.steps[-1].content)
    assert ("Input/output error" in said or "Operation not permitted" in said) is (fault.delay == 0)
    assert turn.durable_at is not None, "the agent was told, and the rest is there"
    assert bucket().get("b") == (b"content of a\n" if "done" in said else None)
    way.rule = lambda _method, _path: None
    again = session.send("run cat a && echo c > c")
    assert again.durable_at is not None, again.error or again.durability_error
    assert "content of a" in str(again.steps)
    assert bucket()["c"] == b"c\n"


@pytest.fixture
def mortal(lab, tmp_path, monkeypatch):
    """A store that nobody but the test starts again, and a way to it."""
    store = local_s3(tmp_path / "store", "own")
    with flaky(store.endpoint) as way:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", way.endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", store.credentials.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", store.credentials.secret_key)
        yield store, way
    store.stop()


def test_a_store_killed_in_mid_upload(mortal, tmp_path, open_session):
    (store, way), url = mortal, "s3://own/sessions"
    session = open_session(workspace=url)
    session.send(WRITE.format("a"))
    evidence = in_bucket(url, "s1", store.client())
    kill = Fault(halfway=Daemon(tmp_path / "store" / "s3").process().kill)
    way.rule = once(kill, lambda method, path: method == "PUT" and path.endswith("/big"))
    turn = session.start("run head -c 50000000 /dev/urandom > big")
    turn.wait(110)
    assert (turn.status, turn.durable_at) == ("completed", None)
    assert turn.durability_error.startswith("unreachable: ")
    assert session.send("say too early").status == "failed"
    store.start()
    assert evidence().keys() == {"a", *(name for name in evidence() if name.startswith(".harness/"))}
    again = session.send("say now")
    assert again.durable_at is not None, again.error or again.durability_error
    assert evidence()["big"] == (session.workspace / "big").read_bytes()
    assert "Uploads" not in store.client().list_multipart_uploads(Bucket="own")
