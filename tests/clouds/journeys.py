"""What journeys through clouds look at."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from session_widgets.acp import stream
from session_widgets.errors import TransportError
from tests.support.kernels import exactly_once
from tests.support.mid_turn import completed
from tests.support.waiting import until


def output(turn) -> str:
    """What its tools printed."""
    return str([step.content for step in turn.steps if step.kind == "tool_call"])


def files_in(folder: Path) -> dict[str, bytes]:
    """The files of a workspace but those of the harness."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(".harness/")}


def allowing(session, turn):
    """The turn at its end; every request for a permission is allowed."""
    while not turn.ended:
        until(lambda: session.pending or turn.ended, seconds=60, what="a request or the end")
        for request in session.pending:
            request.allow()
    return completed(turn)


WAITING = "touch begun; while [ ! -e go ]; do sleep 0.1; done; echo done > after"


def begun(session) -> None:
    """Wait until the command `WAITING` runs."""
    until(lambda: "begun" in [file.name for file in session.files.list()], seconds=60, what="the command")


def over_bad_connections(session, account, folder: Path, monkeypatch) -> None:
    """A first turn whose connections are cut, whose events come twice and whose streams fall silent.

    Args:
        session: a new one.
        account: at the stand-in, which has no other box.
        folder: the session's workspace, which is empty.
        monkeypatch: so that silence is noticed soon.
    """
    monkeypatch.setattr(stream, "SILENCE", 1.5)
    turn = session.start(f"write before <<EOT\nsaved\nEOT\nrun {WAITING}\nsay the end")
    begun(session)
    (box,) = account.books()["lines"]
    account.behind_our_back(box, "repeat")
    account.behind_our_back(box, "cut")
    until(lambda: account.books()["lines"][box]["open"], seconds=20, what="the next stream")
    account.behind_our_back(box, "stall")
    session.exec("touch go")
    assert "the end" in completed(turn.wait(60)).text
    assert files_in(folder) == {"before": b"saved\n", "after": b"done\n", "begun": b"", "go": b""}
    assert "1 earlier turn" in completed(session.send("remember")).text, "no second prompt"
    exactly_once(session.events())
    line = account.books()["lines"][box]
    assert line["stalled"] >= 1, "an open stream, if there was one at that moment, and the next one"
    assert line["repeated"] >= 1


def stopped_in_mid_turn(session, stop: Callable[[], None]):
    """The turn after one whose box stops, beside a command. Both fail, neither is sent again, no saved file is lost.

    Args:
        session: whose turns have saved the file `before`.
        stop: lets the time of its box be over.
    """
    session.exec("rm -f begun go")
    turn = session.start(f"run {WAITING}")
    begun(session)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(session.exec, "echo once >> ran; sleep 300", timeout=None)
        until(lambda: "ran" in [file.name for file in session.files.list()], seconds=60, what="the other command")
        stop()
        with pytest.raises(TransportError, match="may have run, or may still run; it is not sent again"):
            running.result(60)
    assert turn.wait(60).status == "failed"
    assert turn.durable_at is None
    assert "has stopped; the next prompt starts it again" in turn.error
    assert "before" in {file.path for file in session.files.list()}, "those that were saved"
    turn = completed(session.send("run cat before ran; true\nremember"))
    assert "saved" in output(turn)
    return turn
