"""What an error of the store's file says: the file, the reason, and what helps."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import duckdb
import psutil
import pytest

from session_widgets._store import failures
from session_widgets.errors import StoreBusy, StoreError

PATH = Path("/data/a/t.duckdb")
FULL = (
    " The disk is full: nothing of this was stored. Make room there, then try again: a few MB are enough to delete "
    "sessions, and then sw.store().compact() gives their space back."
)
NO_LOCKS = (
    " The file system there (nfs at /data) gives no file locks, so nothing keeps two writers apart. Put the store on a "
    "local disk: set SESSION_WIDGETS_HOME, or name another path."
)
READ_ONLY = " It is read-only there: it can be read, but nothing can be stored."
DAMAGED = (
    " The file is damaged. Put a copy of t.duckdb and t.duckdb.wal from a backup in its place, or move both away, and "
    "a new store is made; `duckdb -readonly` may still read parts of the old one."
)


@pytest.fixture(autouse=True)
def mounts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The mounted file systems: type and place."""
    mounts = [("ext4", "/"), ("nfs", "/data"), ("tmpfs", "/data/b"), ("xfs", "/dat")]

    def partitions(*, all: bool) -> list[SimpleNamespace]:
        assert all
        return [SimpleNamespace(fstype=kind, mountpoint=place) for kind, place in mounts]

    monkeypatch.setattr(psutil, "disk_partitions", partitions)
    return mounts


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("No space left on device", FULL),
        ("FILE TOO LARGE", FULL),
        ("disk quota exceeded", FULL),
        ("Could not set lock on file", NO_LOCKS),
        ("No locks available", NO_LOCKS),
        ("read-only file system", READ_ONLY),
        ("Permission denied", READ_ONLY),
        ("Corrupt database file", DAMAGED),
        ("computed CHECKSUM differs", DAMAGED),
        ("t is not a valid DuckDB database", DAMAGED),
        ("Failed to deserialize", DAMAGED),
        ("the database was invalidated because of an error", DAMAGED),
        ("above RLIMIT_X", ""),
    ],
)
def test_an_error_says_what_failed_with_which_file_why_and_what_helps(reason: str, hint: str) -> None:
    for text in (reason, f"{reason}.\nmore\nlines", f"{reason}..."):
        found = failures.failure(PATH, "read", duckdb.IOException(text))
        assert type(found) is StoreError
        assert str(found) == f"cannot read the store /data/a/t.duckdb: {reason}.{hint}"
    assert str(failures.unusable(PATH, OSError(5, reason))) == f"cannot use the store /data/a/t.duckdb: {reason}.{hint}"


@pytest.mark.parametrize("kind", [duckdb.FatalException, duckdb.InternalException, duckdb.SerializationException])
def test_kinds_of_errors_that_only_damage_has(kind: type[duckdb.Error]) -> None:
    assert str(failures.failure(PATH, "open", kind("why"))) == f"cannot open the store {PATH}: why.{DAMAGED}"
    assert failures.is_damage(kind("why"), PATH)


def test_a_query_fails_because_of_the_file_or_of_its_text() -> None:
    assert failures.is_damage(duckdb.IOException(f"cannot read {PATH}"), PATH)
    assert failures.is_damage(duckdb.Error("Corrupt database file at 5"), PATH)
    for error in (duckdb.IOException("cannot read /data/x.csv"), duckdb.CatalogException(f"no table {PATH}")):
        assert not failures.is_damage(error, PATH)


def test_an_error_of_a_query_counts_its_lines_without_ours() -> None:
    found = failures.a_line_higher(duckdb.BinderException("no LINE 9: there\n\nLINE 12: select a\n^\nLINE 3: from b"))
    assert type(found) is duckdb.BinderException
    assert str(found) == "no LINE 9: there\n\nLINE 11: select a\n^\nLINE 2: from b"


def test_the_file_system_is_that_of_the_longest_place(mounts: list[tuple[str, str]]) -> None:
    hints = []
    for _ in range(2):
        hints.append(str(failures.failure(PATH, "read", duckdb.IOException("No locks available"))))
        mounts.clear()
    assert "there (nfs at /data) gives" in hints[0]
    assert "there (unknown) gives" in hints[1]


def test_a_file_is_held_if_duckdb_says_so_and_by_whom() -> None:
    held = duckdb.IOException("Could not set lock on file: Conflicting lock is held in /usr/bin/python (PID 4711). See")
    mine = duckdb.BinderException("Unique file handle conflict: already attached")
    assert (failures.is_held(held), failures.holder(held)) == (True, 4711)
    assert (failures.is_held(mine), failures.holder(mine)) == (True, os.getpid())
    assert not failures.is_held(duckdb.IOException("No locks available"))


REMEDY = "Close it there (DuckDB lets one process at a time write a file), or use another store."


def test_a_busy_file_names_its_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "correct-horse-battery")
    commands = {
        1: ["python", "-m", "it", "--token=correct-horse-battery"],
        2: [],
        3: ["x" * 200],
    }

    def process(pid: int) -> SimpleNamespace:
        if pid not in commands:
            raise psutil.NoSuchProcess(pid)
        return SimpleNamespace(cmdline=lambda: commands[pid])

    monkeypatch.setattr(psutil, "Process", process)
    for pid, command in (
        (1, "python -m it --token=[redacted]"),
        (2, "unknown"),
        (3, "x" * 119 + "…"),
        (4, "already gone"),
        (os.getpid(), "this one"),
    ):
        found = failures.busy(PATH, 10.0, pid)
        assert type(found) is StoreBusy
        assert found.pid == pid
        assert str(found) == (
            f"the store {PATH} was not free within 10 s: process {pid} ({command}) holds it. {REMEDY}"
        )


def test_a_busy_file_without_a_known_holder_is_waited_for() -> None:
    found = failures.busy(PATH, 0.25, None)
    assert found.pid is None
    assert str(found) == (
        f"the store {PATH} was not free within 0.25 s: other processes wait for it and stand before this one. {REMEDY}"
    )
