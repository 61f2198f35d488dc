"""A turn held in the middle until the test continues it, with other processes and leftovers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import session_widgets as sw
from session_widgets._sessions import Turn
from tests.support.forked import Forked
from tests.support.guard import Census
from tests.support.kernels import Kernel, exactly_once
from tests.support.waiting import until

WRITE = "write {0} <<EOT\ncontent of {0}\nEOT"


class Hold:
    """A line of a script at which the agent stays until it is let go.

    Args:
        here: a directory, as this machine sees it.
        there: the same directory, as the agent sees it.
    """

    def __init__(self, here: Path, there: str | None = None) -> None:
        self.here = here
        place = str(here) if there is None else there
        self.line = f"run touch '{place}/begun'; until rm '{place}/go' 2>/dev/null; do sleep 0.05; done"

    def reached(self, turn: Turn) -> None:
        """Wait until the agent is there."""
        until(lambda: (self.here / "begun").exists() or turn.ended, seconds=60, what="the middle of the turn")
        assert not turn.ended, turn.error
        (self.here / "begun").unlink()

    def let_go(self) -> None:
        """Let the agent go on."""
        (self.here / "go").touch()


@contextmanager
def untouched(client: Any, url: str) -> Iterator[None]:
    """Put objects of other sessions beside those of "s1", and find them as they were at the end."""
    bucket, _, folder = url.removeprefix("s3://").partition("/")
    others = [f"{folder}/{name}" for name in ("s10/a", "s/a", "other/a", ".leases/s10.json")]
    made = {key: client.put_object(Bucket=bucket, Key=key, Body=key.encode())["ETag"] for key in others}
    stored = {key: client.head_object(Bucket=bucket, Key=key)["LastModified"] for key in others}
    yield
    for key in others:
        found = client.head_object(Bucket=bucket, Key=key)
        assert (found["ETag"], found["LastModified"]) == (made[key], stored[key]), f"{key} was touched"


def completed(turn: Turn) -> Turn:
    """The turn, which ended as it should, with its files saved."""
    assert (turn.status, turn.error, turn.durability_error) == ("completed", None, None)
    assert turn.durable_at is not None
    return turn


def outlived_by_its_sandbox(
    opened: Callable[[], Any],
    forked: Forked,
    files: Callable[[], dict[str, bytes]],
    let_go: Callable[[], object] | None = None,
) -> None:
    """A kernel is killed in mid-turn: the sandbox goes on, and the next kernel brings the files home, each event once.

    Args:
        opened: opens the session.
        forked: starts the kernel that is killed.
        files: returns the saved files, but those of the harness.
        let_go: creates the file `go` in the sandbox, which the agent waits for; None: the next kernel does.
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
    assert "during" not in files()
    if let_go is not None:
        let_go()
    session = opened()
    if let_go is None:
        session.exec("touch go")
    turn = completed(session.turns[-1].wait(60))
    made = {"during": b"the last words\n", "begun": b"", "go": b"", "after": b"done\n"}
    assert files() == {"before": b"x\n", **made}
    assert {file.path for file in turn.files} == set(made)
    assert completed(session.send("remember")).tier == "warm"
    exactly_once(session.events())


def left_of(home: Path, monkeypatch: pytest.MonkeyPatch, seconds: float = 10) -> list[str]:
    """Return what still runs, is mounted, or is a container of the test with this home."""
    with monkeypatch.context() as patch:
        patch.setenv(Census.VARIABLE, "")
        return Census(home).left(seconds)
