"""The directories of a process beside the store: private, and gone with it."""

from __future__ import annotations

import gc
import os
import stat
import tempfile
from pathlib import Path

import pytest

from session_widgets._store import scratch as module
from session_widgets._store.scratch import Scratch


@pytest.fixture
def place(path: Path) -> Path:
    return path.with_name("transcripts.duckdb.tmp")


def test_a_directory_is_private_and_beside_the_store(path: Path, place: Path) -> None:
    scratches = [Scratch(path), Scratch(path)]
    before = os.umask(0)
    try:
        made = [scratch.directory() for scratch in scratches]
    finally:
        os.umask(before)
    assert all(each.parent == place for each in made)
    assert [stat.S_IMODE(each.stat().st_mode) for each in (place, *made)] == [0o700] * 3


def test_what_another_process_left_is_removed_and_what_it_uses_stays(path: Path, place: Path) -> None:
    other, mine = Scratch(path), Scratch(path)
    used, left = other.directory(), other.directory()
    for each in (used, left):
        (each / "file").write_text("x")
    (place / "a file").write_text("x")
    held = dict(other._made)[left]
    os.close(held)  # as its exit does
    other._made.remove((left, held))
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    made = mine.directory()
    assert len(os.listdir("/proc/self/fd")) == files + 1, "that of its lock"  # noqa: PTH208
    assert {each.name for each in place.iterdir()} == {used.name, made.name, "a file"}
    assert (used / "file").exists()


def test_its_programs_do_not_keep_it(path: Path) -> None:
    scratch = Scratch(path)
    scratch.directory()
    ((_, held),) = scratch._made
    assert not os.get_inheritable(held)


def test_the_empty_ones_are_removed_when_they_are_not_used_any_more(path: Path, place: Path) -> None:
    scratch = Scratch(path)
    _, full = scratch.directory(), scratch.directory()
    (full / "file").write_text("x")
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    scratch.tidy()
    assert len(os.listdir("/proc/self/fd")) == files - 1  # noqa: PTH208
    assert [each.name for each in place.iterdir()] == [full.name]
    assert [made for made, _ in scratch._made] == [full]
    (full / "file").unlink()
    scratch.tidy()
    assert not place.exists()
    scratch.tidy()


def test_beside_a_store_that_cannot_have_one_it_is_with_the_systems_temporary_files(
    path: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write_text("in the way")
    (tmp_path / "system").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "system"))
    scratch = Scratch(path)
    made = scratch.directory()
    assert made.parent == tmp_path / "system"
    assert made.name.startswith("session-widgets-")
    scratch.tidy()
    assert not made.exists()
    assert place.read_text() == "in the way"


def test_at_the_end_of_its_process_nothing_is_left_and_a_fork_removes_nothing(
    path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = Scratch(path)
    made = scratch.directory()
    (made / "file").write_text("x")
    with monkeypatch.context() as patch:
        patch.setattr(module.os, "getpid", lambda: 1)
        module._remove(4711, scratch._made)
    assert made.exists()
    other = Scratch(path)
    kept = other.directory()
    del scratch
    gc.collect()
    assert [each.name for each in place.iterdir()] == [kept.name]
    del other
    gc.collect()
    assert not place.exists()


def test_what_is_gone_or_used_by_others_does_not_stop_the_removal(path: Path, place: Path) -> None:
    mine, other = Scratch(path), Scratch(path)
    made, kept = mine.directory(), other.directory()
    module._remove(os.getpid(), [(place / "gone", 0), *mine._made])
    assert not made.exists()
    assert kept.exists()
