"""A session in a cloud whose files go between the box and the bucket by themselves."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

import session_widgets as sw
from session_widgets._sandboxes.clouds import limits
from session_widgets._sandboxes.runner_tree import RunnerTree
from tests.clouds.journeys import completed, output
from tests.standins.e2b_account import E2BAccount

pytestmark = [pytest.mark.needs("boxes"), pytest.mark.timeout(120)]


def test_a_session_is_durable_by_the_box_alone_and_goes_home(home, lab, seaweed, tmp_path, monkeypatch):
    """Without a way from the box to the bucket the first turn says what to do, and nothing has happened."""
    monkeypatch.setattr(limits, "SECONDS_BETWEEN", 0)
    with E2BAccount(tmp_path / "e2b") as account:
        for name, value in account.environment.items():
            monkeypatch.setenv(name, value)
        session = sw.open_session("s1", sandbox="e2b", workspace=lab, attachment="direct", permissions="allow_all")
        turn = session.send("write a <<EOT\nmine\nEOT")
        assert turn.status == "failed"
        assert "cannot reach the bucket" in turn.error
        assert "attachment='sync'" in turn.error
        (box,) = account.boxes
        account.behind_our_back(box, f"lead-out-{urlsplit(seaweed.endpoint).port}")
        monkeypatch.setattr(RunnerTree, "write_many", None)
        monkeypatch.setattr(RunnerTree, "read_many", None)
        turn = completed(
            session.send("write a <<EOT\nmine\nEOT\nrun seq 100000 > b; ln -s a link; env; cat /proc/*/environ")
        )
        assert seaweed.credentials.secret_key not in output(turn)
        session.park()
        assert session.files.read_text("a") == "mine\n", "in the bucket"
        assert account.boxes == {box: "paused"}
        session.files.write("c", "from here")
        assert "from here" in output(completed(session.send("run cat c")))
        monkeypatch.undo()
        for name, value in account.environment.items():
            monkeypatch.setenv(name, value)
        session.switch(sandbox="local")
        assert account.boxes == {}
        turn = completed(session.send("run cat a link; tail -1 b\nremember"))
        assert "100000" in output(turn)
        session.delete()
        assert account.take_unknown() == []
