"""The data directory at another path: its sessions are there, with their files, and their agents work there."""

import shutil

import pytest

import session_widgets as sw


@pytest.mark.parametrize("how", [shutil.move, shutil.copytree], ids=["moved", "copied"])
def test_a_session_goes_on_where_its_directory_is_now(how, open_session, home, monkeypatch, tmp_path):
    session = sw.open_session("s1", permissions="allow_all")
    session.send("say first\nwrite a.txt <<EOT\nx\nEOT")
    before = session.workspace
    session.park()
    sw.store().close()
    how(home, tmp_path / "elsewhere")
    monkeypatch.setenv("SESSION_WIDGETS_HOME", str(tmp_path / "elsewhere"))
    session = open_session()
    assert session.workspace == tmp_path / "elsewhere" / "workspaces" / "s1"
    assert session.location == str(session.workspace)
    assert session.files.read_text("a.txt") == "x\n"
    turn = session.send("remember\nrun pwd > where.txt")
    assert (turn.status, turn.tier) == ("completed", "load"), turn.error
    assert "say first" in turn.text
    assert (session.workspace / "where.txt").read_text() == f"{session.workspace}\n"
    assert before.exists() is (how is shutil.copytree)
    if before.exists():
        assert [path.name for path in before.iterdir() if path.is_file()] == ["a.txt"]


def test_a_directory_that_the_user_gave_stays_where_it_is(open_session, home, monkeypatch, tmp_path):
    given = tmp_path / "mine" / "workspaces" / "s1"
    given.mkdir(parents=True)
    session = sw.open_session("s1", permissions="allow_all", workspace=given)
    session.send("write a.txt <<EOT\nx\nEOT")
    session.park()
    sw.store().close()
    shutil.move(home, tmp_path / "elsewhere")
    monkeypatch.setenv("SESSION_WIDGETS_HOME", str(tmp_path / "elsewhere"))
    assert open_session().workspace == given
