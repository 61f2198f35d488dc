"""Sessions with their agent at E2B: files, permissions, parking, moving, the loss of a kernel or of the box."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import httpx
import pytest

import session_widgets as sw
from session_widgets._sessions import agent_reader, sandbox_manager
from session_widgets._sessions.sandbox_manager import SandboxManager
from session_widgets.acp import connection, stream
from tests.clouds.journeys import (
    WAITING,
    allowing,
    begun,
    completed,
    files_in,
    output,
    over_bad_connections,
    stopped_in_mid_turn,
)
from tests.standins.e2b_account import E2BAccount
from tests.support.kernels import exactly_once
from tests.support.mid_turn import outlived_by_its_sandbox
from tests.support.waiting import until

pytestmark = [pytest.mark.needs("boxes"), pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with E2BAccount(tmp_path_factory.mktemp("e2b")) as account:
        yield account


def test_a_session_lives_there_as_here(opened, account, folder):
    session = opened(permissions="ask")
    session.files.write("given/input.txt", "42")
    turn = session.start("run cat given/input.txt; hostname; id -un\nwrite out/answer.txt <<EOT\nyes\nEOT")
    allowing(session, turn)
    (box,) = account.boxes
    assert all(words in output(turn) for words in ("42", box, "agent"))
    assert files_in(folder) == {"given/input.txt": b"42", "out/answer.txt": b"yes\n"}
    session.park()
    assert account.boxes == {box: "paused"}
    session.files.write("later", "while it rested")
    shown = []
    session.control.watch_activity(lambda: shown.append(session.control.activity))
    turn = allowing(session, session.start("run cat later\nremember"))
    assert "while it rested" in output(turn)
    assert "1 earlier turn" in turn.text
    assert account.boxes == {box: "running"}
    assert shown[0] == "Starting the parked sandbox at e2b"


def test_bad_connections_a_time_that_ends_and_a_box_that_is_gone(opened, account, folder, monkeypatch):
    """All in mid-turn but the last: the first changes nothing, the second fails the turn; no saved file is lost."""
    session = opened()
    over_bad_connections(session, account, folder, monkeypatch)
    (box,) = account.boxes

    def stop():
        account.behind_our_back(box, "expire")
        assert account.boxes == {box: "paused"}

    turn = stopped_in_mid_turn(session, stop)
    assert output(turn).count("once") == 1, "no command is sent again"
    assert "3 earlier turns" in turn.text
    assert account.boxes == {box: "running"}

    account.behind_our_back(box, "gone")
    assert "before" in {file.path for file in session.files.list()}
    assert account.boxes == {}, "a look at the files makes no sandbox"
    turn = completed(session.send("run cat before\nremember"))
    assert "saved" in output(turn)
    assert turn.tier == "load"
    assert "4 earlier turns" in turn.text
    (other,) = account.boxes
    assert other != box


@pytest.fixture
def impatient(monkeypatch):
    """Silence is noticed soon. Returns how often it was asked whether to wait for the sandbox."""
    asked = []
    waiting = SandboxManager.may_come_back

    async def may_come_back(self):
        asked.append(await waiting(self))
        return asked[-1]

    monkeypatch.setattr(SandboxManager, "may_come_back", may_come_back)
    monkeypatch.setattr(sandbox_manager, "LOOK_SECONDS", 0.3)
    monkeypatch.setattr(stream, "SILENCE", 0.5)
    monkeypatch.setattr(connection, "GIVE_UP", 0.3)
    return asked


def test_an_outage_delays_a_turn_and_a_long_one_fails_it(opened, account, folder, impatient, monkeypatch):
    """The next prompt finds the same box, with what the agent has done meanwhile."""
    session = opened()
    turn = session.start(f"run {WAITING}\nsay the end")
    begun(session)
    (box,) = account.boxes
    account.network("unplug")
    until(lambda: impatient or turn.ended, seconds=30, what="patience")
    assert (turn.ended, impatient[:1]) == (False, [True])
    account.network("plug")
    session.exec("touch go")
    assert "the end" in completed(turn.wait(60)).text
    assert files_in(folder) == {"after": b"done\n", "begun": b"", "go": b""}

    session.exec("rm begun go after")
    turn = session.start(f"run {WAITING}")
    begun(session)
    session.exec("(sleep 1; touch go) >/dev/null 2>&1 &")
    account.network("unplug")
    monkeypatch.setattr(agent_reader, "OUTAGE_SECONDS", 1)
    try:
        assert turn.wait(50).status == "failed"
        assert "has not answered for 1 s" in turn.error
        assert "when the network works again, send again" in turn.error
        assert "unreachable: the sandbox does not answer. Its files are still there" in turn.durability_error
    finally:
        account.network("plug")
    assert "2 earlier turns" in completed(session.send("remember")).text
    assert files_in(folder) == {"after": b"done\n", "begun": b"", "go": b""}
    assert account.boxes == {box: "running"}
    exactly_once(session.events())


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_an_outage_of_a_minute_in_mid_turn(opened, account, folder):
    session = opened()
    turn = session.start(f"run {WAITING}\nsay the end")
    begun(session)
    session.exec("(sleep 5; touch go) >/dev/null 2>&1 &")
    account.network("unplug")
    time.sleep(60)
    assert not turn.ended
    account.network("plug")
    assert "the end" in completed(turn.wait(60)).text
    assert files_in(folder)["after"] == b"done\n"
    assert "1 earlier turn" in completed(session.send("remember")).text
    exactly_once(session.events())


def test_a_kernel_that_dies_leaves_the_turn_to_the_box(opened, account, forked, folder):
    outlived_by_its_sandbox(opened, forked, lambda: files_in(folder))
    assert len(account.boxes) == 1


def test_it_is_listed_and_its_ports_are_reached(opened, account, folder):
    session = opened(sandbox=sw.Sandbox("e2b", idle="10m", lifetime="2h", ports=[8000]))
    session.exec("echo hello > page; (python3 -m http.server 8000 >/dev/null 2>&1 &)")
    assert session.control.activity is None, "its creation is over"
    reached = session.endpoint(8000)
    until(
        lambda: httpx.get(f"{reached.url}/page", headers=reached.headers).text == "hello\n",
        seconds=30,
        what="the server",
    )
    without_token = {**reached.headers, "e2b-traffic-access-token": ""}
    assert httpx.get(f"{reached.url}/page", headers=without_token).status_code == 403
    (row,) = [row for row in sw.sandboxes() if row.ref.startswith("e2b:")]
    assert (row.session, row.running, row.wanted) == ("s1", True, True)
    assert 500 < (row.deadline - datetime.now(UTC)).total_seconds() <= 600
    assert "in 10 min" in repr(sw.sandboxes())
    assert 7000 < session.control.deadline - time.time() <= 7200
    assert (row.seconds > 0, row.cost > 0, row.currency, row.partial) == (True, True, "USD", False)
    (info,) = [info for info in sw.sandbox_providers() if info.name == "e2b"]
    assert (info.problem, info.running, info.most) == ("", 1, 4)
    row.park()
    assert list(account.boxes.values()) == ["paused"]
    assert [row.running for row in sw.sandboxes() if row.session == "s1"] == [False]
    assert completed(session.send("run cat page")).status == "completed"
    ends = "select reason, ended_at is null from v_sandboxes order by started_at"
    assert sw.store().sql(ends).fetchall() == [("parked", False), (None, True)]
    assert row.destroy() is True
    assert row.destroy() is False
    assert sw.store().sql(ends).fetchall() == [("parked", False), ("gone", False)], "it costs nothing more"
    assert account.boxes == {}
