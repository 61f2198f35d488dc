"""Sessions with `sandbox="modal"`, through the public API, on Modal's stand-in."""

import os

import pytest

import session_widgets as sw
from session_widgets._sandboxes.clouds import limits
from tests.standins.modal_account import ModalAccount
from tests.support.evidence import in_directory
from tests.support.waiting import until

pytestmark = [pytest.mark.needs("boxes"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with ModalAccount.entered(tmp_path_factory.mktemp("modal")) as account:
        yield account


@pytest.fixture
def opened(account, tmp_path, monkeypatch):
    """Opens the session of the test; it is deleted in the end, and then the account is empty."""
    monkeypatch.setattr(limits, "SECONDS_BETWEEN", 0)
    folder = tmp_path / "mine"
    folder.mkdir()
    given = {"harness": "demo", "sandbox": "modal", "workspace": folder, "permissions": "allow_all"}

    def open_session(**options):
        return sw.open_session("a", **({**given, **options} if options or not sw.sessions() else {}))

    yield open_session
    sw.open_session("a").delete()
    books = account.books()
    assert (books["boxes"], books["images"]) == ([], []), "something is left at Modal"
    assert account.take_unexpected() == []


def completed(turn):
    assert (turn.status, turn.error, turn.durability_error) == ("completed", None, None)
    assert turn.durable_at is not None
    return turn


def files_of(folder):
    return {path: data for path, data in in_directory(folder)().items() if not path.startswith(".harness/")}


def test_files_permissions_parking_and_memory(opened, account, tmp_path):
    session = opened(permissions="ask")
    large = os.urandom(3 << 20)
    session.files.write("large.bin", large)
    turn = session.start("write out/answer.txt <<EOT\nyes\nEOT\nrun cp large.bin copy.bin; hostname")
    until(lambda: session.pending, seconds=60, what="the request")
    assert not turn.ended
    while not turn.ended:
        for request in session.pending:
            request.allow()
        until(lambda: session.pending or turn.ended, seconds=60, what="the next request, or the end")
    completed(turn)
    [box] = account.books()["boxes"]
    assert box["id"].lower() in str([step.content for step in turn.steps if step.kind == "tool_call"])
    assert files_of(tmp_path / "mine") == {"large.bin": large, "copy.bin": large, "out/answer.txt": b"yes\n"}
    assert session.exec("hostname").out.strip() == box["id"].lower()
    session.park()
    assert (account.books()["boxes"], len(account.books()["images"])) == ([], 1), account.books()
    session.files.write("meanwhile", "here")
    session = opened(permissions="allow_all")
    turn = completed(session.send("run cat meanwhile\nremember"))
    assert turn.tier == "resume"
    assert "1 earlier turn" in turn.text
    assert [other["id"] for other in account.books()["boxes"]] != [box["id"]]


def test_to_modal_and_home_again(opened, account, tmp_path):
    session = opened(sandbox="local")
    completed(session.send("write a <<EOT\nx\nEOT\nrun head -c 1000000 /dev/urandom > b; chmod 750 b; ln -s a c"))
    before = files_of(tmp_path / "mine")
    for place, boxes in (("modal", 1), ("local", 0)):
        session.switch(sandbox=place)
        turn = completed(session.send("remember"))
        assert "earlier turn" in turn.text
        assert files_of(tmp_path / "mine") == before
        assert len(account.books()["boxes"]) == boxes
    assert (tmp_path / "mine" / "b").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "mine" / "c").is_symlink()
