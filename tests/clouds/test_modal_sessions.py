"""Sessions with their agent at Modal: files, permissions, parking, moving, the loss of a kernel or of the box."""

import os

import pytest

import session_widgets as sw
from session_widgets.errors import BadValue, MissingDependency, SandboxAuth
from tests.clouds.journeys import (
    allowing,
    completed,
    files_in,
    output,
    over_bad_connections,
    stopped_in_mid_turn,
)
from tests.standins.modal_account import ModalAccount
from tests.support.mid_turn import outlived_by_its_sandbox
from tests.support.waiting import until

pytestmark = [pytest.mark.needs("boxes"), pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with ModalAccount.entered(tmp_path_factory.mktemp("modal")) as account:
        yield account


def test_files_permissions_parking_and_memory(opened, account, folder):
    session = opened(permissions="ask")
    large = os.urandom(3 << 20)
    session.files.write("large.bin", large)
    turn = session.start("write out/answer.txt <<EOT\nyes\nEOT\nrun cp large.bin copy.bin; hostname")
    until(lambda: session.pending, seconds=60, what="the request")
    assert not turn.ended
    allowing(session, turn)
    (box,) = account.running
    assert box.lower() in output(turn)
    assert files_in(folder) == {"large.bin": large, "copy.bin": large, "out/answer.txt": b"yes\n"}
    assert session.exec("hostname").out.strip() == box.lower()
    session.park()
    assert account.running == []
    assert len(account.books()["images"]) == 1
    session.files.write("meanwhile", "here")
    session.files.write("out/answer.txt", "no")
    (folder / "copy.bin").unlink()
    turn = allowing(session, session.start("run cat meanwhile\nremember"))
    assert files_in(folder) == {"large.bin": large, "out/answer.txt": b"no", "meanwhile": b"here"}
    assert turn.tier == "resume"
    assert "here" in output(turn)
    assert "1 earlier turn" in turn.text
    (other,) = account.running
    assert other != box

    (snapshot,) = account.books()["images"]
    session.park()
    (newer,) = {*account.books()["images"]} - {snapshot}
    account.forget_image(newer)
    turn = allowing(session, session.start("run cat meanwhile\nremember"))
    assert "here" in output(turn)
    assert "2 earlier turns" in turn.text


def test_bad_connections_and_a_time_that_ends(opened, account, folder, monkeypatch):
    """Both in mid-turn: the first changes nothing; the second fails the turn, and loses no saved file and no memory."""
    session = opened()
    over_bad_connections(session, account, folder, monkeypatch)
    (box,) = account.running

    turn = stopped_in_mid_turn(session, lambda: account.end(box))
    assert "once" not in output(turn), "it is lost with the box, and not sent again"
    assert "3 earlier turns" in turn.text
    (other,) = account.running
    assert other != box


def test_a_kernel_that_dies_leaves_the_turn_to_the_box(opened, account, forked, folder):
    outlived_by_its_sandbox(opened, forked, lambda: files_in(folder))
    assert len(account.running) == 1


def test_bad_input_is_refused_before_anything_is_made(account, home, tmp_path, monkeypatch):
    made = account.books()["made"]
    with pytest.raises(BadValue, match=r"got mounts=\. .*mounts= is an option of .*'docker'"):
        sw.open_session("b", sandbox=sw.Sandbox("modal", mounts={str(tmp_path): "/data"}))
    with pytest.raises(BadValue, match=r"'modal' takes no address here"):
        sw.open_session("b", sandbox="modal:https://elsewhere")
    monkeypatch.delenv("MODAL_TOKEN_ID")
    monkeypatch.setenv("MODAL_CONFIG_PATH", str(tmp_path / "none.toml"))
    with pytest.raises(SandboxAuth, match=r"set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET\. 'modal token new' stores one"):
        sw.open_session("b", sandbox="modal")
    monkeypatch.setattr("session_widgets._sandboxes.clouds.modal.find_spec", lambda _: None)
    with pytest.raises(MissingDependency, match=r"pip install 'session-widgets\[modal\]'"):
        sw.open_session("b", sandbox="modal")
    assert sw.store().sessions() == []
    assert account.books()["made"] == made


def test_refusals_of_modal_end_the_turn_with_a_remedy(account, home, folder):
    """The turn fails and nothing is made; the next prompt tries again."""
    long = sw.open_session("a", sandbox=sw.Sandbox("modal", lifetime="25h"), workspace=folder)
    turn = long.send("say hello")
    assert turn.status == "failed"
    assert "Modal ends every sandbox after 24 hours; got 25 hours" in turn.error
    long.switch(sandbox=sw.Sandbox("modal", lifetime="4h"))
    account.fault("SandboxCreateV2", status="RESOURCE_EXHAUSTED", message="spend limit reached")
    turn = long.send("say hello")
    assert turn.status == "failed"
    assert "a limit of the account is reached" in turn.error
    assert account.running == []
    completed(long.send("say hello"))
    long.delete()
    assert account.running == []
