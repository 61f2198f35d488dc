"""Queries that go on with a copy of the file, because another process waits for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest

from session_widgets._store import querying
from session_widgets._store.database import Store
from session_widgets.errors import StoreError
from tests.support.drafts import chunk, opened

pytestmark = pytest.mark.slow

ENDLESS = (
    "select count(*) as n from range(10_000_000) a, range(9999) b, range(9999) c, v_events "
    "where hash(a.range + c.range) = 1"
)


@pytest.fixture
def filled(store: Store) -> Store:
    store.append("s", [opened(), *(chunk(number) for number in range(1, 6))])
    return store


class Copying:
    """Copies as `cp` does, in this process, whose lock on the file nobody needs in these tests."""

    def __init__(self) -> None:
        self.commands: list[list[str | Path]] = []
        self.options: dict[str, object] = {}
        self.room = True
        self.looked = threading.Event()

    def wanted(self) -> bool:
        self.looked.set()
        return True

    def __call__(self, command: list[str | Path], **options: object) -> subprocess.CompletedProcess[bytes]:
        *sources, place = command[2:]
        self.commands.append(command)
        self.options = options
        for source in sources:
            shutil.copy(source, place)
        if not self.room:
            os.truncate(Path(place, "transcripts.duckdb"), 100)
        if not self.room and options["check"]:
            raise subprocess.CalledProcessError(1, command)
        return subprocess.CompletedProcess(command, 0 if self.room else 1)


@pytest.fixture
def copying(filled: Store, monkeypatch: pytest.MonkeyPatch) -> Copying:
    """The copies that are made while another process waits for the file from the start."""
    copying = Copying()
    monkeypatch.setattr(querying, "ALONE_SECONDS", 0.0)
    monkeypatch.setattr(querying, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(filled._file, "wanted", copying.wanted)
    monkeypatch.setattr(querying.subprocess, "run", copying)
    copy_out = querying.copying_out.copy_out

    def once_looked(*args: Any) -> Any:
        assert copying.looked.wait(10)
        return copy_out(*args)

    monkeypatch.setattr(querying.copying_out, "copy_out", once_looked)
    return copying


LONG = """select ? as n, count(*), (select path from duckdb_databases() where database_name = 'store')
    from v_events, range(500_000) where hash(range) % 3 < 3"""
COUNTED = 3_000_000


def counted_on(store: Store, count: int = COUNTED) -> Path:
    """Run the long query; return the path of the file that it read in the end."""
    ((n, found, path),) = store.sql(LONG, ["x"]).fetchall()
    assert (n, found) == ("x", count)
    return Path(path)


def test_a_copy_is_private_and_is_gone_while_the_query_runs_on_it(filled: Store, copying: Copying) -> None:
    ran_on = counted_on(filled)
    ((*command, file, place),) = copying.commands
    assert ran_on == place / "transcripts.duckdb"
    assert (command, file) == (["cp", "--"], filled.path)
    assert place.parent == filled.path.with_name("transcripts.duckdb.tmp")
    assert copying.options == {"capture_output": True, "check": False, "umask": 0o077}
    assert not place.exists()
    assert not any(filled._file.scratch._place.glob("*/*"))
    assert [event.seq for event in filled.append("s", [chunk(6)])] == [7]


def test_a_copy_has_the_commits_that_are_only_in_the_log(
    filled: Store, copying: Copying, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with filled._file.transaction() as connection:
        connection.execute("set checkpoint_threshold = '1GB'")
    filled.append("s", [chunk(6)])
    names = ("transcripts.duckdb", "transcripts.duckdb.wal")
    (tmp_path / "it's").mkdir()
    with filled._file.alone():
        for name in names:
            shutil.copy(filled.path.with_name(name), tmp_path / "it's" / name)
    killed = Store(tmp_path / "it's" / "transcripts.duckdb")
    monkeypatch.setattr(killed._file, "wanted", copying.wanted)
    try:
        assert counted_on(killed, 3_500_000).parent.parent == killed.path.with_name("transcripts.duckdb.tmp")
    finally:
        killed.close()
    (command,) = copying.commands
    assert command[2:4] == [killed.path.with_name(name) for name in names]


def test_without_room_for_a_copy_a_query_goes_on_and_nothing_is_left(filled: Store, copying: Copying) -> None:
    copying.room = False
    assert counted_on(filled) == filled.path
    assert len(copying.commands) == 1
    assert not any(filled._file.scratch._place.glob("*/*"))


@pytest.mark.parametrize(("alone", "wanted"), [(60.0, True), (0.0, False)])
def test_a_query_stays_on_the_file_until_another_process_waits_for_long(
    filled: Store, copying: Copying, monkeypatch: pytest.MonkeyPatch, alone: float, wanted: bool
) -> None:
    monkeypatch.setattr(querying, "ALONE_SECONDS", alone)
    monkeypatch.setattr(filled._file, "wanted", lambda: wanted)
    copying.looked.set()
    assert counted_on(filled) == filled.path
    assert copying.commands == []


@pytest.mark.parametrize("room", [True, False])
def test_the_time_limit_counts_from_the_start_wherever_the_query_goes_on(
    filled: Store, copying: Copying, room: bool
) -> None:
    copying.room = room
    with pytest.raises(TimeoutError, match=r"not done after 0\.8 s"):
        filled.sql(ENDLESS, timeout=0.8)
    assert len(copying.commands) == 1
    assert not any(filled._file.scratch._place.glob("*/*"))
    assert filled.sql("select 1").fetchall() == [(1,)]


@pytest.mark.parametrize("room", [True, False])
@pytest.mark.parametrize("alone", [60.0, 0.0])
def test_tables_of_the_caller_are_there_wherever_the_query_goes_on(
    filled: Store, copying: Copying, monkeypatch: pytest.MonkeyPatch, room: bool, alone: float
) -> None:
    monkeypatch.setattr(querying, "ALONE_SECONDS", alone)
    copying.room = room
    if alone:
        copying.looked.set()
    mine = [{"session_id": "s", "task": "t"}, {"session_id": "other", "task": "u"}]
    query = f"select task, n from ({LONG}), mine join v_sessions using (session_id)"
    assert filled.sql(query, ["x"], frames={"mine": mine}).fetchall() == [("t", "x")]
    assert len(copying.commands) == (alone == 0)


@pytest.mark.parametrize("room", [True, False, None])
def test_an_error_is_that_of_the_query_or_of_the_store_wherever_the_query_goes_on(
    filled: Store, copying: Copying, monkeypatch: pytest.MonkeyPatch, room: bool | None
) -> None:
    """On a copy, on the file because there is no room for a copy, on the file because nobody waits (None)."""
    copying.room = room is True
    if room is None:
        monkeypatch.setattr(filled._file, "wanted", copying.looked.set)  # which is None
    query = "select error(? || max(a.range)) from range(2_000_000) a where hash(a.range) >= 0"
    with pytest.raises(duckdb.Error, match="late 1999999"):
        filled.sql(query, ["late "])
    copying.looked.clear()
    with pytest.raises(StoreError, match=f"cannot read the store {filled.path}: .*Corrupt database file 1999999"):
        filled.sql(query, ["Corrupt database file "])
    assert len(copying.commands) == (0 if room is None else 2)
    assert not any(filled._file.scratch._place.glob("*/*"))
