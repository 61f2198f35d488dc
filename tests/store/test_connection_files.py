"""The store's file on the disk: what opens it, makes its tables, and keeps it private."""

from __future__ import annotations

import errno
import os
import stat
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest

from session_widgets._store import connection as module
from session_widgets._store import migrations
from session_widgets._store.connection import StoreFile
from session_widgets._store.file_queue import FileQueue
from session_widgets.errors import StoreBusy, StoreError
from tests.store.of_file import facts, is_free, put, values

pytestmark = pytest.mark.slow


def test_a_file_that_cannot_be_opened_is_named_at_once(file: StoreFile) -> None:
    file.path.write_text("hello " * 1000)
    with pytest.raises(StoreError, match=rf"^cannot open the store {file.path}: .*not a valid DuckDB") as caught:
        put(file, 1)
    assert not isinstance(caught.value, StoreBusy)
    assert isinstance(caught.value.__cause__, duckdb.Error)


def test_errors_beside_the_file_name_it(file: StoreFile, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refuse(name: object, *rest: int, ending: str) -> int:
        if str(name).endswith(ending):
            raise OSError(errno.EIO, "why")
        return real(name, *rest)

    for ending in (".wal", ".line"):
        monkeypatch.setattr(os, "open", partial(refuse, ending=ending))
        file._detach()
        with pytest.raises(StoreError) as caught:
            put(file, 1)
        assert str(caught.value) == f"cannot use the store {file.path}: why."
        assert is_free(file.path)


def test_a_new_file_and_its_log_are_private_before_the_first_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[tuple[int, int]] = []
    migrate = migrations.migrate
    log = path.with_name("transcripts.duckdb.wal")

    def look(connection: duckdb.DuckDBPyConnection, at: Path) -> None:
        modes.append((stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(log.stat().st_mode)))
        assert at == path
        migrate(connection, at)

    monkeypatch.setattr(migrations, "migrate", look)
    before = os.umask(0)
    file = StoreFile(path)
    try:
        put(file, 1)
        put(file, 2)
        assert modes == [(0o600, 0o600)]
        assert stat.S_IMODE(log.stat().st_mode) == 0o600
    finally:
        os.umask(before)
        file.close()


def test_the_mode_of_a_file_that_is_there_stays(file: StoreFile) -> None:
    file.path.chmod(0o640)
    put(file, 1)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o640


def test_an_empty_file_of_a_killed_process_is_made_again_with_small_blocks(path: Path) -> None:
    path.touch(0o666)
    file = StoreFile(path)
    put(file, 1)
    with file.looking() as connection:
        query = "select block_size from pragma_database_size() where database_name = 'store'"
        assert connection.execute(query).fetchall() == [(65_536,)]
    assert values(file) == [1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    file.close()


def test_a_file_with_large_blocks_keeps_them(path: Path) -> None:
    duckdb.connect(str(path)).close()
    file = StoreFile(path)
    put(file, 1)
    assert values(file) == [1]
    file.close()


def test_tables_that_cannot_be_made_leave_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = StoreFile(path)

    def fail(connection: duckdb.DuckDBPyConnection, _: Path, *, error: Exception) -> None:
        connection.execute("create table store.half (a integer)")
        raise error

    monkeypatch.setattr(migrations, "migrate", partial(fail, error=duckdb.IOException("why")))
    with pytest.raises(StoreError, match=f"^cannot make the tables of the store {path}: why\\.$"):
        values(file)
    assert is_free(path)
    monkeypatch.setattr(migrations, "migrate", partial(fail, error=ValueError("why")))
    with pytest.raises(ValueError, match="why"):
        values(file)
    assert is_free(path)
    monkeypatch.undo()
    put(file, 1)
    with file.looking() as connection:
        assert connection.execute("select count(*) from duckdb_tables() where table_name = 'half'").fetchall() == [(0,)]
    file.close()


def test_the_tables_are_looked_at_once_a_file(file: StoreFile, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Path] = []
    version = migrations.version
    monkeypatch.setattr(migrations, "version", lambda connection, at: looked.append(at) or version(connection, at))
    monkeypatch.setattr(migrations, "migrate", lambda *_: pytest.fail("they are of this release"))
    put(file, 1)
    for _ in range(2):
        file._detach()
        values(file)
        put(file, 2)
    assert looked == [file.path]


def test_connections_are_private_and_load_nothing(file: StoreFile) -> None:
    settings = ["autoinstall_known_extensions", "temp_directory", "TimeZone"]
    query = ", ".join(f"current_setting('{name}')" for name in settings)
    with file.transaction() as connection:
        wrote = connection.execute(f"select {query}, current_setting('threads')").fetchall()[0]
    file._detach()
    with file.looking() as connection:
        read = connection.execute(f"select {query}").fetchall()[0]
    for loads, place, zone in (wrote[:3], read):
        assert (loads, zone) == (False, "UTC")
        assert Path(place).parent == file.path.with_name("transcripts.duckdb.tmp")
    assert wrote[3] == 1


def test_what_does_not_fit_into_memory_is_kept_beside_the_store(
    file: StoreFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with file.alone() as deadline, file.attached_to_read(deadline) as connection:
        connection.execute("set memory_limit = '60MB'")
        place = Path(connection.execute("select current_setting('temp_directory')").fetchall()[0][0])
        connection.execute("create temp table big as select range, hash(range)::varchar as text from range(3_000_000)")
        assert list(place.iterdir()), "it was too large for the memory"
    assert list(here.iterdir()) == []
    assert [stat.S_IMODE(each.stat().st_mode) for each in (place, place.parent)] == [0o700, 0o700]


def test_much_text_is_written_in_smaller_groups(file: StoreFile) -> None:
    put(file, 1)
    seen = []
    for bulk in (True, True, False):
        with file.transaction(bulk=bulk) as connection:
            seen.append((facts(connection, "options")["options"].get("row_group_size"), file.attachment))
    file._detach()
    with file.transaction() as connection:
        seen.append((facts(connection, "options")["options"].get("row_group_size"), file.attachment))
    assert seen == [("4096", 2), ("4096", 2), ("4096", 2), (None, 3)]
    with file.transaction(bulk=True):
        assert file.attachment == 4, "it was attached for small commits"


def test_an_import_makes_earlier_checkpoints_and_the_next_commit_ordinary_ones(file: StoreFile) -> None:
    def checkpoints(*, bulk: bool) -> object:
        with file.transaction(bulk=bulk) as connection:
            ((size,),) = connection.execute("select current_setting('checkpoint_threshold')").fetchall()
        file._detach()
        return size

    ordinary = checkpoints(bulk=False)
    assert ordinary == "16.0 MiB"
    assert [checkpoints(bulk=bulk) for bulk in (True, True, False, True)] == [
        "7.6 MiB",
        "7.6 MiB",
        "15.2 MiB",
        "7.6 MiB",
    ]
    file._drop_writer()
    assert checkpoints(bulk=True) == "7.6 MiB", "another writer"
    file._drop_writer()
    assert checkpoints(bulk=False) == ordinary


def test_a_reader_that_is_forgotten_is_made_again(file: StoreFile) -> None:
    put(file, 1)
    with file.alone() as deadline, file.attached_to_read(deadline):
        before = file._reader
        file.forget_reader()
    assert values(file) == [1]
    assert file._reader is not before


def test_a_path_with_a_quotation_mark(tmp_path: Path) -> None:
    file = StoreFile(tmp_path / "it's.duckdb")
    put(file, 1)
    file._detach()
    assert values(file) == [1]
    file.close()


# The time that the file stays attached


def test_commits_without_a_pause_give_the_file_to_a_process_that_waits(
    file: StoreFile, line: FileQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.threading, "Thread", lambda **_: SimpleNamespace(start=lambda: None, join=lambda: None))
    monkeypatch.setattr(module, "SHARE", 60.0)
    put(file, 1)
    assert line.enter(0)
    put(file, 2)
    assert file._attached, "its share of time is not over"
    monkeypatch.setattr(module, "SHARE", 0.0)
    line.leave()
    put(file, 3)
    assert file._attached, "nobody waits"
    assert line.enter(0)
    put(file, 4)
    assert not file._attached
    line.leave()
