"""Worse days of a durable session: a disk that fills up, a deletion in mid-turn, an agent that looks around."""

from __future__ import annotations

import subprocess
from urllib.parse import urlsplit

import pytest

from matrix.bucket import in_bucket, in_directory
from model.serving import bridge_address
from sessions.mid_turn import WRITE, untouched
from support import until

pytestmark = [pytest.mark.needs("seaweedfs"), pytest.mark.timeout(120)]
DOCKER = pytest.param({"sandbox": "docker"}, marks=pytest.mark.needs("docker"), id="docker")
S3FS = pytest.param({"attachment": "fuse:s3fs"}, marks=pytest.mark.needs("fuse", "s3fs"), id="s3fs")


@pytest.fixture
def bucket(lab):
    return in_bucket(lab, "s1")


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
def test_delete_in_mid_turn_leaves_nothing_and_touches_nobody(options, open_session, lab, seaweed, bucket):
    session = open_session(workspace=lab, **options)
    session.send(WRITE.format("a"))
    workspace = session._core.workspace.path
    with untouched(seaweed.client(), lab):
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
