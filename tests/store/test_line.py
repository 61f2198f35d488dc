"""The place in line and the room, by themselves: threads, no process."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from session_widgets._store import file_queue as module
from session_widgets._store.file_queue import FairLock, FileQueue
from tests.support.waiting import until


def soon() -> float:
    return time.monotonic() + 30


def past() -> float:
    return time.monotonic() - 1


def test_one_stands_in_line_and_the_others_see_it(path: Path) -> None:
    one, two = FileQueue(path), FileQueue(path)
    assert not one.occupied()
    assert one.enter(soon())
    assert one.occupied()
    assert two.occupied()
    assert not two.enter(past())
    one.leave()
    assert not two.occupied()
    assert two.enter(past()), "what is free is to be had even at the last moment"
    two.leave()
    two.leave()
    FileQueue(path).leave()
    assert not one.occupied()
    assert stat.S_IMODE(path.with_name("transcripts.duckdb.line").stat().st_mode) == 0o600


def test_a_waiting_process_gets_the_released_place(path: Path) -> None:
    one, two = FileQueue(path), FileQueue(path)
    assert one.enter(soon())
    got: list[bool] = []
    waiting = threading.Thread(target=lambda: got.append(two.enter(soon())))
    waiting.start()
    one.leave()
    waiting.join()
    assert got == [True]
    assert one.occupied()
    two.leave()


def test_a_place_that_is_not_had_leaves_no_file_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, real = FileQueue(path), FileQueue(path), os.close
    assert one.enter(soon())
    closed: list[int] = []
    monkeypatch.setattr(os, "close", lambda file: closed.append(file) or real(file))
    assert not two.enter(past())
    assert one.occupied()
    assert len(closed) == 2
    one.leave()
    assert len(closed) == 3


def test_other_errors_of_opening_are_reported(tmp_path: Path) -> None:
    line = FileQueue(tmp_path / "gone" / "t.duckdb")
    for call in (lambda: line.enter(soon()), line.occupied):
        with pytest.raises(FileNotFoundError):
            call()


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_where_nothing_can_be_written_a_line_that_is_there_is_used(
    path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    writer, reader, real = FileQueue(path), FileQueue(path), os.open

    def refuse(name: Path, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(code, os.strerror(code))
        return real(name, flags, *mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert reader.enter(past()), "without a line there is nothing to wait for"
        assert not reader.occupied()
        reader.leave()
    assert writer.enter(soon())
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert reader.occupied()
        assert not reader.enter(past())
    writer.leave()


def test_the_pause_is_drawn_from_the_given_range(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(module.time, "sleep", slept.append)
    for _ in range(50):
        module.pause(0.005)
    assert module.SHORTEST_WAIT <= min(slept) < max(slept) <= 0.005
    assert len(set(slept)) > 40, "no two keep in step"


def test_the_room_holds_one_and_is_handed_on_in_turn() -> None:
    room, order = FairLock(), []
    assert room.enter(soon())
    assert not room.wanted()
    assert not room.enter(past())
    assert not room.wanted(), "who gave up waits no more"
    threads = []
    for number in range(2):
        threads.append(threading.Thread(target=lambda n=number: (room.enter(soon()), order.append(n), room.leave())))
        threads[-1].start()
        until(room.wanted, what="somebody at the door")
    room.leave()
    for thread in threads:
        thread.join()
    assert sorted(order) == [0, 1]
    assert not room.wanted()
    assert room.enter(past())
    room.leave()


def test_who_waits_at_the_door_and_for_the_room_waits_until_the_deadline() -> None:
    waited: list[float] = []
    full = SimpleNamespace(acquire=lambda timeout: bool(waited.append(timeout)))
    for name in ("_door", "_room"):
        room = FairLock()
        setattr(room, name, full)
        assert not room.enter(past())
        assert not room.enter(soon())
        assert name == "_door" or not room.wanted()
    assert waited == pytest.approx([0, 30, 0, 30], abs=20)
    assert waited[::2] == [0, 0]
