"""A kernel killed at each step of opening, parking, switching and deleting: opening again heals what it has left."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kills.table import LOCAL, SOMETIMES
from kills.zygote import Zygote, zygote
from sessions.mid_turn import left_of

OPERATIONS = ("open", "park", "switch", "delete")


class Chain:
    """Lives of kernels one after the other: each heals what the one before has left."""

    def __init__(self, zygote: Zygote, tmp_path: Path, operation: str, how: dict[str, Any]) -> None:
        self._zygote = zygote
        self._places = tmp_path
        self._operation = operation
        self._how = how
        self._home = str(tmp_path / "home 0")
        self._lives = 0
        self.met: set[str] = set()

    def live(self, step: str | None, after: str) -> None:
        """Let a kernel die before `step`."""
        before: str | None = None
        if self._operation == "open":
            self._lives += 1
            before, self._home = (self._home if self._lives > 1 else None), str(self._places / f"home {self._lives}")
        code, said = self._zygote.run(
            "kills.operations:life",
            home=self._home,
            session="s1",
            how=self._how,
            operation=self._operation,
            step=step,
            before=before,
        )
        self.met |= {one["met"] for one in said}
        assert code in {0, -signal.SIGKILL}, f"what was left by a kernel killed before {after!r} does not heal"
        assert code < 0 or step is None or step in SOMETIMES, f"the kernel did not come to {step!r}"

    def end(self, after: str) -> None:
        code, _ = self._zygote.run("kills.operations:end", home=self._home, session="s1", how=self._how)
        assert code == 0, f"what was left by a kernel killed before {after!r} does not heal"


def check(chain: Chain, table: Sequence[str], steps: Sequence[str]) -> None:
    after = ""
    for step in steps:
        chain.live(step, after)
        after = step
    chain.live(None, after)
    chain.end("the end of its work")
    assert sorted(chain.met | SOMETIMES.intersection(table)) == sorted(table)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_local(operation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = LOCAL[operation]
    with zygote() as parent:
        check(Chain(parent, tmp_path, operation, {"sandbox": "local"}), steps, steps)
    assert left_of(tmp_path, monkeypatch) == []
