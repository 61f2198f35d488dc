"""Sessions with their agent at E2B: files, permissions, parking, moving, the loss of a kernel or of the box."""

from __future__ import annotations

import pytest

import session_widgets as sw
from session_widgets._sandboxes.clouds import limits
from tests.clouds.journeys import allowing, completed, files_in, output
from tests.standins.e2b_account import E2BAccount

pytestmark = [pytest.mark.needs("boxes"), pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with E2BAccount(tmp_path_factory.mktemp("e2b")) as account:
        yield account


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


@pytest.fixture
def opened(account, home, folder, monkeypatch):
    """Opens the session of the test, again as often as it wants; deleted, it leaves no box."""
    for name, value in account.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(limits, "SECONDS_BETWEEN", 0)
    last = []

    def open_session(**options):
        given = {"sandbox": "e2b", "workspace": folder} if not last else {}
        last.append(sw.open_session("s1", **{"permissions": "allow_all", **given, **options}))
        return last[-1]

    yield open_session
    if last:
        sw.open_session("s1").delete()
    assert account.boxes == {}
    assert account.take_unknown() == []


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
    turn = allowing(session, session.start("run cat later\nremember"))
    assert "while it rested" in output(turn)
    assert "1 earlier turn" in turn.text
    assert account.boxes == {box: "running"}


def test_it_moves_there_and_back_with_its_files_and_its_memory(opened, account, folder):
    session = opened(sandbox="local")
    completed(
        session.send("write a <<EOT\nlocal\nEOT\nrun chmod 755 a; ln -s a link; mkdir -p deep/er; echo x > deep/er/ünï")
    )
    session.switch(sandbox="e2b")
    turn = completed(
        session.send("run test -x a && cat link; cat deep/er/ünï; hostname\nwrite b <<EOT\nthere\nEOT\nremember")
    )
    (box,) = account.boxes
    assert all(words in output(turn) for words in ("local", "x", box))
    assert "1 earlier turn" in turn.text
    there = {path: session.files.read_bytes(path) for path in ("a", "b", "link", "deep/er/ünï")}
    session.switch(sandbox="local")
    assert account.boxes == {}
    turn = completed(session.send("run cat a b; readlink link\nremember"))
    assert "2 earlier turns" in turn.text
    assert {path: (folder / path).read_bytes() for path in there} == there
