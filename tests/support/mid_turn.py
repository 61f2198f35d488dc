"""A turn held in the middle until the test continues it, with other processes and leftovers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from session_widgets._sessions import Turn
from tests.support.guard import Census
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


def left_of(home: Path, monkeypatch: pytest.MonkeyPatch, seconds: float = 10) -> list[str]:
    """Return what still runs, is mounted, or is a container of the test with this home."""
    with monkeypatch.context() as patch:
        patch.setenv(Census.VARIABLE, "")
        return Census(home).left(seconds)
