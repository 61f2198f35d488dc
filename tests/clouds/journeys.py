"""What journeys through clouds look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import session_widgets as sw
from tests.support.kernels import Kernel, exactly_once
from tests.support.waiting import until


def completed(turn):
    """The turn, which ended as it should, with its files saved."""
    assert (turn.status, turn.error, turn.durability_error) == ("completed", None, None)
    assert turn.durable_at is not None
    return turn


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


def outlived_by_its_box(opened: Callable[[], Any], forked, folder: Path) -> None:
    """A kernel is killed in mid-turn: the box goes on, and the next kernel brings the files home, each event once.

    Args:
        opened: opens the session.
        forked: starts the kernel that is killed.
        folder: the session's workspace.
    """
    session = opened()
    completed(session.send("write before <<EOT\nx\nEOT"))
    session.detach()
    sw.store().close()
    kernel = Kernel(
        forked,
        f"""
s = sw.open_session({session.id!r}, permissions="allow_all")
waiting = "touch begun; while [ ! -e go ]; do sleep 0.1; done; echo done > after"
turn = s.start("write during <<EOT\\nthe last words\\nEOT\\nrun " + waiting)
while "begun" not in [file.name for file in s.files.list()]: time.sleep(0.05)
print(json.dumps("running"))
time.sleep(60)
""",
    )
    assert kernel.read() == "running"
    kernel.kill()
    assert "during" not in files_in(folder)
    session = opened()
    session.exec("touch go")
    turn = completed(session.turns[-1].wait(60))
    made = {"during": b"the last words\n", "begun": b"", "go": b"", "after": b"done\n"}
    assert files_in(folder) == {"before": b"x\n", **made}
    assert {file.path for file in turn.files} == set(made)
    assert completed(session.send("remember")).tier == "warm"
    exactly_once(session.events())
