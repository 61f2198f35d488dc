"""Whether a database file may have changed, by its status alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from session_widgets._store.stamp import SETTLED_NS, Stamp


@pytest.fixture
def file(path: Path) -> Path:
    path.write_bytes(b"one")
    settle(path)
    return path


def settle(path: Path, ago: int = 10 * SETTLED_NS) -> None:
    then = time.time_ns() - ago
    os.utime(path, ns=(then, then))


def test_a_file_that_changed_just_now_is_looked_at_again(file: Path) -> None:
    file.write_bytes(b"two")
    looked = Stamp(file)
    assert looked.has_moved()
    assert looked.has_moved(), "it may change within the same tick of the clock, to the same size"
    settle(file)
    assert looked.has_moved()
    assert not looked.has_moved()


@pytest.mark.parametrize("name", ["transcripts.duckdb", "transcripts.duckdb.wal"])
def test_size_time_and_identity_of_file_and_log_count(file: Path, name: str) -> None:
    changed = file.with_name(name)
    changed.write_bytes(b"one")
    settle(changed)
    looked = Stamp(file)
    assert [looked.has_moved() for _ in range(3)] == [True, False, False]
    then = changed.stat()
    changed.write_bytes(b"more")
    os.utime(changed, ns=(then.st_mtime_ns, then.st_mtime_ns))
    assert [looked.has_moved() for _ in range(2)] == [True, False], "the size"
    settle(changed, 5 * SETTLED_NS)
    assert [looked.has_moved() for _ in range(2)] == [True, False], "the time"
    then = changed.stat()
    other = changed.with_name("other")
    other.write_bytes(b"MORE")
    os.utime(other, ns=(then.st_mtime_ns, then.st_mtime_ns))
    other.rename(changed)
    assert [looked.has_moved() for _ in range(2)] == [True, False], "another file"


def test_a_file_that_appears_or_goes_or_could_not_be_read_has_moved(file: Path) -> None:
    looked = Stamp(file)
    assert [looked.has_moved() for _ in range(2)] == [True, False]
    file.unlink()
    assert [looked.has_moved() for _ in range(2)] == [True, False]
    file.write_bytes(b"one")
    settle(file)
    assert [looked.has_moved() for _ in range(2)] == [True, False]
    looked.forget()
    assert [looked.has_moved() for _ in range(2)] == [True, False]


def test_it_has_settled_after_a_second(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = file.stat().st_mtime_ns
    looked = Stamp(file)
    for passed, moved in ((SETTLED_NS, [True, True]), (SETTLED_NS + 1, [True, False])):
        monkeypatch.setattr(time, "time_ns", lambda passed=passed: now + passed)
        assert [looked.has_moved() for _ in range(2)] == moved
