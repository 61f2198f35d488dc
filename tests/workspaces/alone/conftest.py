"""A session on two machines, with a bucket in memory, and a clock that does not wait."""

from __future__ import annotations

from pathlib import Path

import pytest

from session_widgets.workspaces import barrier
from session_widgets.workspaces.sync import SyncWorkspace
from tests.workspaces.memory import Memory, workspace


class Time:
    """A clock that moves by what is slept."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(barrier, "time", clock)
    return clock


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def here(tmp_path: Path, memory: Memory) -> SyncWorkspace:
    space = workspace(tmp_path / "here", memory)
    space.attach(lambda _: None)
    return space


@pytest.fixture
def there(tmp_path: Path, memory: Memory) -> SyncWorkspace:
    """The same session on another machine."""
    return workspace(tmp_path / "there", memory)
