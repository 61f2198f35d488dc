"""Sessions with `sandbox="daytona"`, through the public API, on the stand-in of that cloud."""

from __future__ import annotations

import os

import pytest

import session_widgets as sw
from session_widgets.errors import BadValue, SandboxAuth
from tests.clouds.journeys import (
    allowing,
    completed,
    files_in,
    output,
    over_bad_connections,
    stopped_in_mid_turn,
)
from tests.standins.daytona_account import DaytonaAccount
from tests.support.kernels import Kernel
from tests.support.mid_turn import outlived_by_its_sandbox

pytestmark = [pytest.mark.needs("boxes"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with DaytonaAccount(tmp_path_factory.mktemp("daytona")) as account:
        yield account


def box_of(account):
    (id,) = account.books()["boxes"]
    return id


def test_files_permissions_parking_and_memory(opened, account, folder):
    session = opened(permissions="ask")
    large = os.urandom(2 << 20)
    session.files.write("large.bin", large)
    assert account.boxes == {}, "a file needs no box"
    turn = session.start("write out/answer.txt <<EOT\nyes\nEOT\nrun cp large.bin copy.bin; hostname")
    said = output(allowing(session, turn))
    assert box_of(account) in said
    assert [step.permission.outcome for step in turn.steps if step.permission] == ["selected"] * 2
    assert files_in(folder) == {"large.bin": large, "copy.bin": large, "out/answer.txt": b"yes\n"}
    session.park()
    assert list(account.boxes.values()) == ["stopped"]
    session.files.write("meanwhile", "here")
    session = opened(permissions="allow_all")
    turn = completed(session.send("run cat meanwhile\nremember"))
    assert turn.tier == "resume"
    assert ("here" in output(turn), "1 earlier turn" in turn.text) == (True, True)


def test_a_kernel_that_dies_leaves_the_turn_to_the_box(opened, account, forked, folder):
    outlived_by_its_sandbox(opened, forked, lambda: files_in(folder))
    assert len(account.boxes) == 1


def test_bad_connections_in_mid_turn_lose_nothing(opened, account, folder, monkeypatch):
    over_bad_connections(opened(), account, folder, monkeypatch)


def test_a_box_that_the_vendor_stops_or_removes(opened, account, folder):
    session = opened()
    completed(session.send("write before <<EOT\nsaved\nEOT"))
    first = box_of(account)
    turn = stopped_in_mid_turn(session, lambda: account.behind_our_back(first, "pass-30"))
    assert (box_of(account), "2 earlier turns" in turn.text) == (first, True)
    assert output(turn).count("once") == 1, "no command is sent again"
    account.behind_our_back(first, "gone")
    turn = completed(session.send("run cat before\nremember"))
    assert ("saved" in output(turn), "earlier turn" in turn.text, box_of(account) != first) == (True, True, True)


def test_a_refusal_fails_the_turn_and_says_what_to_do(opened, account, monkeypatch):
    session = opened()
    account.fault("429", "POST /api/sandbox", after=3)
    turn = session.send("say hello")
    assert (turn.status, "limits the rate" in turn.error) == ("failed", True)
    monkeypatch.setenv("DAYTONA_API_KEY", "dtn_another0123456789")
    turn = session.send("say hello")
    assert (turn.status, "app.daytona.io/dashboard/keys" in turn.error) == ("failed", True)
    assert account.boxes == {}
    monkeypatch.setenv("DAYTONA_API_KEY", account.environment["DAYTONA_API_KEY"])


def test_what_daytona_has_not_is_refused_before_a_session_exists(home, monkeypatch):
    monkeypatch.setenv("DAYTONA_API_KEY", "x")
    with pytest.raises(BadValue, match="mounts="):
        sw.open_session("a", sandbox=sw.Sandbox("daytona", mounts={"/usr": "/data"}))
    monkeypatch.delenv("DAYTONA_API_KEY")
    with pytest.raises(SandboxAuth, match="DAYTONA_API_KEY"):
        sw.open_session("a", sandbox="daytona")
    assert len(sw.sessions()) == 0


def test_a_box_that_another_kernel_has_started_again(opened, account, forked):
    """The vendor's token for the port is then another one."""
    session = opened()
    completed(session.send("say one"))
    kernel = Kernel(
        forked,
        """
s = sw.open_session("s1", permissions="allow_all")
s.park()
print(json.dumps(s.send("say two").status))
s.detach()
""",
    )
    _, (status,) = kernel.end()
    assert status == "completed"
    assert "2 earlier turns" in completed(session.send("remember")).text
