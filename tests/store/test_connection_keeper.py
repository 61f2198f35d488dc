"""The thread that detaches the store's file after a pause."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from session_widgets._store import connection as module
from session_widgets._store.connection import StoreFile
from session_widgets._store.file_queue import FileQueue
from tests.store.of_file import is_free, put
from tests.support.waiting import until


class Clock:
    """A clock that the keeper's pauses move."""

    def __init__(self, pauses: int, then: Callable[[], object]) -> None:
        self.now = 100.0
        self._left, self._then = pauses, then
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self._left -= 1
        if not self._left:
            self._then()


@pytest.fixture
def kept(file: StoreFile, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Clock]:
    """Runs the keeper for so many of its rounds after a commit, in this thread."""
    keeper = SimpleNamespace(start=lambda: None, join=lambda: None)

    def rounds(count: int) -> Clock:
        clock = Clock(count, lambda: setattr(file, "_closed", True))
        with monkeypatch.context() as patch:
            patch.setattr(module, "time", clock)
            patch.setattr(module.threading, "Thread", lambda **_: keeper)
            put(file, 1)
            file._keep_watch()
        file._closed = False
        return clock

    return rounds


def test_the_file_is_detached_after_a_pause(
    file: StoreFile, kept: Callable[[int], Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER", 0.025)
    assert kept(12).slept == [0.002] * 12
    assert file._attached
    assert file._used.is_set()
    kept(13)
    assert not file._attached
    assert not file._used.is_set()
    assert is_free(file.path)


def test_the_file_is_detached_sooner_if_a_process_waits(
    file: StoreFile, line: FileQueue, kept: Callable[[int], Clock]
) -> None:
    kept(12)
    assert file._attached
    assert line.enter(0)
    kept(1)
    assert file._attached, "the next commit may come at once"
    kept(2)
    assert not file._attached


def test_the_keeper_leaves_a_file_alone_that_is_used(
    file: StoreFile, kept: Callable[[int], Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER", 0.0)
    asked: list[float] = []
    enter = file._room.enter

    def busy(deadline: float) -> bool:
        asked.append(deadline)
        return len(asked) == 1 and enter(deadline)  # of the commit

    with monkeypatch.context() as patch:
        patch.setattr(file._room, "enter", busy)
        kept(3)
    assert file._attached
    assert asked[1:] == pytest.approx([100.002, 100.004, 100.006])


def test_one_thread_keeps_watch_and_does_not_hold_up_the_end_of_the_process(
    file: StoreFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(file, 1)
    keeper = file._keeper
    assert keeper is not None
    assert (keeper.name, keeper.daemon, keeper.is_alive()) == ("session-widgets store", True, True)
    put(file, 2)
    assert file._keeper is keeper
    monkeypatch.setattr(module, "LINGER", 0.0)
    until(lambda: not file._attached, what="the file to be free")
    assert time.monotonic() - file._last_commit >= 0


def test_a_long_job_keeps_the_file_between_its_commits_unless_a_process_waits(
    file: StoreFile, line: FileQueue, kept: Callable[[int], Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER", 0.025)
    monkeypatch.setattr(module, "LONG", 0.051)

    def work() -> None:
        with file.long_job():
            kept(25)
            assert file._attached
            assert line.enter(0)
            kept(2)
            assert not file._attached
            line.leave()
            kept(26)
            assert not file._attached
            raise ValueError("it is over")

    kept(12)
    assert file._attached
    with pytest.raises(ValueError, match="it is over"):
        work()
    kept(13)
    assert not file._attached
