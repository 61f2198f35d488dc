"""A session whose object store fails: unsaved files are named, and the next turn saves them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from session_widgets._harnesses import catalog
from session_widgets.errors import NotDurable, WorkspaceError
from session_widgets.host.daemon import Daemon
from session_widgets.workspaces.local_s3 import local_s3
from tests.support.evidence import in_bucket
from tests.support.flaky_s3 import Fault, flaky, once, wait_for_request
from tests.support.mid_turn import WRITE, Hold
from tests.support.waiting import until

pytestmark = [
    pytest.mark.needs("seaweedfs"),
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("nothing_is_left", "nothing_else_is_touched"),
]


def test_a_slow_store_is_shown_and_the_turn_ends_durable(way, open_session, lab):
    session = open_session(workspace=lab)
    session.send("say warm")
    way.rule = lambda method, path: Fault(delay=1.5) if method == "PUT" and path.endswith("/a") else None
    turn = session.send(WRITE.format("a"))
    assert turn.durable_at is not None
    assert [event.payload for event in session.events() if event.kind == "persist_started"] == [{"attachment": "sync"}]


def test_stop_works_while_the_store_does_not_answer(way, open_session, lab, bucket):
    session = open_session(workspace=lab)
    session.send("say warm")
    way.rule = lambda method, path: Fault(delay=25) if method == "PUT" and path.endswith("/a") else None
    way.seen.clear()
    turn = session.start(WRITE.format("a"))
    wait_for_request(way, "PUT", "/a")
    until(lambda: any(event.kind == "persist_started" for event in session.events()), what="a turn that is answered")
    began = datetime.now(UTC)
    session.cancel()
    assert datetime.now(UTC) - began < timedelta(seconds=5)
    assert turn.status == "completed"
    assert turn.durability_error.startswith("interrupted: ")
    way.rule = lambda _m, _p: Fault(cut=True)
    session.park(force=True)
    way.rule = lambda _m, _p: None
    assert session.send("say again").durable_at is not None
    assert bucket()["a"] == b"content of a\n", "what was not saved then is saved now"


def test_what_is_written_while_it_is_parked_is_saved_by_the_next_try(way, open_session, lab, bucket, monkeypatch):
    session = open_session(workspace=lab)
    session.send(WRITE.format("a"))
    provider, place = session._controller.sandboxes.provider, session.workspace
    park = provider.park

    async def parking(ref):
        parked = await park(ref)
        (place / "last").write_text("the last words of a program")
        way.rule = lambda method, path: Fault(status=403, code="AccessDenied") if path.endswith("/last") else None
        return parked

    monkeypatch.setattr(provider, "park", parking)
    with pytest.raises(NotDurable):
        session.park()
    monkeypatch.setattr(provider, "park", park)
    way.rule = lambda _m, _p: None
    session.park()
    assert bucket()["last"] == b"the last words of a program"
    assert session.status == "parked"
    assert session.send("remember").text.startswith("1 earlier turn")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(cut=True), "unreachable"),
        (Fault(status=503, code="SlowDown"), "unreachable"),
        (Fault(status=403, code="AccessDenied"), "refused"),
        (Fault(status=400, code="ExpiredToken"), "expired"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_keeps_files_from_being_safe_is_named_and_the_next_turn_heals(
    way, open_session, lab, bucket, tmp_path, fault, reason
):
    """It begins in mid-turn: the agent's work is done and kept here, and is not called durable."""
    session = open_session(workspace=lab)
    session.send("say warm")
    began = threading.Event()

    def rule(method, path):
        return fault if began.is_set() else None

    way.rule = rule
    hold = Hold(tmp_path)
    turn = session.start(f"{WRITE.format('a')}\n{hold.line}")
    hold.reached(turn)
    began.set()
    hold.let_go()
    turn.wait(110)
    assert turn.status == "completed"
    assert turn.durable_at is None
    assert turn.durability_error.startswith(f"{reason}: ")
    with pytest.raises(NotDurable, match="parking was not done"):
        session.park()
    with pytest.raises(NotDurable, match="switching was not done"):
        session.switch(harness=replace(catalog.get("demo"), id="mine"))
    assert (session.harness, session.status) == ("demo", "idle")
    failed = session.send("say too early")
    assert (failed.status, failed.durable_at) == ("failed", None)
    began.clear()
    assert "a" not in bucket()
    assert session.send("say again").durable_at is not None
    assert bucket()["a"] == b"content of a\n"


LEAVE = """
import session_widgets as sw, sys
sw.open_session("s1", workspace=sys.argv[1], permissions="allow_all").start("write a <<EOT\\ncontent of a\\nEOT")
sys.stdin.read()
"""


def test_a_program_that_ends_while_the_store_hangs_does_not_wait_for_it(way, lab, open_session, bucket, home):
    way.rule = lambda method, path: Fault(delay=100) if method == "PUT" and path.endswith("/a") else None
    command = [sys.executable, "-c", LEAVE, lab]
    env = os.environ | {"AWS_ENDPOINT_URL_S3": way.endpoint, "SESSION_WIDGETS_HOME": str(home)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=env) as program:
        wait_for_request(way, "PUT", "/a")
        program.stdin.close()
        assert program.wait(20) == 0
    way.rule = lambda _m, _p: None
    session = open_session()
    until(lambda: session.turns[0].status == "completed", what="the end of the turn")
    assert session.turns[0].durable_at is not None
    assert bucket()["a"] == b"content of a\n"


def test_delete_waits_for_a_store_that_is_away_and_can_be_repeated(way, open_session, lab, bucket):
    session = open_session(workspace=lab)
    session.send(WRITE.format("a"))
    way.rule = lambda _m, _p: Fault(cut=True)
    with pytest.raises(WorkspaceError):
        session.delete()
    assert session.status != "deleted"
    way.rule = lambda _m, _p: None
    assert "a" in bucket()
    session.delete()
    assert bucket() == {}


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
    assert turn.durable_at is not None, "the agent received the prompt, and the rest is there"
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
    assert "a" in evidence()
    assert "big" not in evidence()
    again = session.send("say now")
    assert again.durable_at is not None, again.error or again.durability_error
    assert evidence()["big"] == (session.workspace / "big").read_bytes()
    assert "Uploads" not in store.client().list_multipart_uploads(Bucket="own")
