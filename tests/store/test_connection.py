"""The store's file in one process: attached while it is needed, and by one call at a time."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from session_widgets._store import connection as module
from session_widgets._store import migrations
from session_widgets._store.connection import StoreFile
from session_widgets._store.file_queue import FileQueue
from session_widgets.errors import StoreBusy, StoreError
from tests.support.waiting import until


@pytest.fixture
def file(path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreFile]:
    """A store's file that stays attached until another one wants it."""
    monkeypatch.setattr(module, "LINGER", 600.0)
    shutil.copy(empty_store, path)
    opened = StoreFile(path, patience=5.0)
    yield opened
    if not opened._closed:
        opened.close()


@pytest.fixture
def line(file: StoreFile) -> Iterator[FileQueue]:
    """The queue, as another process sees it."""
    line = FileQueue(file.path)
    yield line
    line.leave()


def put(file: StoreFile, value: int) -> None:
    with file.transaction() as connection:
        connection.execute("create table if not exists store.probe (a integer)")
        connection.execute("insert into store.probe values (?)", [value])


def values(file: StoreFile) -> list[int]:
    with file.looking() as connection:
        return [value for (value,) in connection.execute("select a from store.probe order by a").fetchall()]


def facts(connection: duckdb.DuckDBPyConnection, *columns: str) -> dict[str, Any]:
    """What DuckDB says of the attached file."""
    query = f"select {', '.join(columns)} from duckdb_databases() where database_name = 'store'"
    return dict(zip(columns, connection.execute(query).fetchall()[0], strict=True))


def is_free(path: Path) -> bool:
    """Whether another connection can write the file."""
    try:
        duckdb.connect(str(path)).close()
    except duckdb.Error:
        return False
    return True


def test_commits_in_a_row_attach_the_file_once(file: StoreFile) -> None:
    put(file, 1)
    put(file, 2)
    assert (file.attachment, file._attached, is_free(file.path)) == (1, True, False)
    file._detach()
    assert is_free(file.path)
    put(file, 3)
    assert (file.attachment, values(file)) == (2, [1, 2, 3])


@pytest.mark.parametrize("error", [ValueError("why"), KeyboardInterrupt(), duckdb.ConversionException("why")])
def test_what_fails_is_undone_before_the_file_is_free(file: StoreFile, error: BaseException) -> None:
    put(file, 1)
    held: list[bool] = []
    expected = StoreError if isinstance(error, duckdb.Error) else type(error)

    def fail() -> None:
        with file.transaction(undo=lambda: held.append(is_free(file.path))) as connection:
            connection.execute("insert into store.probe values (2)")
            raise error

    with pytest.raises(expected) as caught:
        fail()
    if expected is StoreError:
        assert str(caught.value) == f"cannot write to the store {file.path}: why."
        assert caught.value.__cause__ is error
    assert held == [False]
    assert is_free(file.path)
    assert values(file) == [1]
    put(file, 3)
    assert values(file) == [1, 3]


def test_a_commit_that_fails_is_an_error_of_the_store(file: StoreFile) -> None:
    put(file, 1)
    with pytest.raises(StoreError, match="cannot write to the store"), file.transaction() as connection:
        connection.execute("rollback")
    assert is_free(file.path)


def test_our_queries_read_with_the_writer_while_it_has_the_file_else_read_only(file: StoreFile) -> None:
    put(file, 1)
    with file.looking() as connection:
        assert facts(connection, "readonly") == {"readonly": False}
        assert connection is not file._writer, "a cursor: the results of two queries do not mix"
    assert file._attached
    file._detach()
    with file.looking() as connection:
        assert facts(connection, "readonly") == {"readonly": True}
    assert is_free(file.path)


def test_our_queries_read_the_file_that_is_at_its_path(file: StoreFile, empty_store: Path) -> None:
    put(file, 1)
    shutil.copy(empty_store, file.path.with_name("other"))
    file.path.with_name("other").replace(file.path)
    with file.looking() as connection:
        assert connection.execute("select count(*) from duckdb_tables() where table_name = 'probe'").fetchall() == [
            (0,)
        ]


@pytest.mark.parametrize("attached", [True, False])
def test_a_query_that_fails_is_an_error_of_the_store_and_its_connections_are_dropped(
    file: StoreFile, attached: bool
) -> None:
    put(file, 1)
    if not attached:
        file._detach()
    with pytest.raises(StoreError) as caught, file.looking() as connection:
        connection.execute("select error('why')")
    assert str(caught.value).startswith(f"cannot read the store {file.path}: ")
    assert isinstance(caught.value.__cause__, duckdb.Error)
    assert (file._writer, file._reader, file._attached) == (None, None, False)
    assert values(file) == [1]
    with pytest.raises(ValueError, match="mine"), file.looking():
        raise ValueError("mine")
    assert file._reader is not None
    assert values(file) == [1]


def test_a_separate_reader_leaves_the_queue_and_then_the_file(file: StoreFile, line: FileQueue) -> None:
    put(file, 1)
    with file.alone() as deadline, file.attached_to_read(deadline) as connection:
        assert facts(connection, "readonly", "path") == {"readonly": True, "path": str(file.path)}
        assert not file._attached
        assert not line.occupied()
        reader = file._reader
    assert is_free(file.path)
    with pytest.raises(ValueError, match="mine"), file.alone() as deadline, file.attached_to_read(deadline):
        raise ValueError("mine")
    assert is_free(file.path)
    assert file._reader is reader


def test_a_reader_that_cannot_be_detached_is_dropped(file: StoreFile) -> None:
    with file.alone() as deadline, file.attached_to_read(deadline):
        assert file._reader is not None
        file._reader.execute("detach store")
    assert file._reader is None
    put(file, 1)
    assert values(file) == [1]


def test_who_writes_the_file_again_stands_in_the_queue_until_the_end(
    file: StoreFile, line: FileQueue, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(file, 1)
    with file.rewriting() as connection:
        assert facts(connection, "readonly") == {"readonly": False}
        assert line.occupied()
        assert file.attachment == 2
        shutil.copy(empty_store, file.path.with_name("other"))
        file.path.with_name("other").replace(file.path)
    assert not line.occupied()
    assert file._writer is None
    assert not file._attached
    monkeypatch.setattr(migrations, "version", lambda *_: pytest.fail("the new file is known"))
    put(file, 2)
    assert values(file) == [2]


def test_an_error_while_the_file_is_written_again_frees_it(file: StoreFile, line: FileQueue) -> None:
    with pytest.raises(StoreError) as caught, file.rewriting() as connection:
        connection.execute("select error('why')")
    assert str(caught.value).startswith(f"cannot write again the store {file.path}: ")
    with pytest.raises(ValueError, match="mine"), file.rewriting():
        raise ValueError("mine")
    assert is_free(file.path)
    assert not line.occupied()


def test_a_file_is_wanted_by_a_waiting_thread_or_process(file: StoreFile, line: FileQueue) -> None:
    assert not file.wanted()
    assert line.enter(0)
    assert file.wanted()
    line.leave()
    with file.alone():
        waiting = threading.Thread(target=put, args=(file, 1))
        waiting.start()
        until(file.wanted, what="the other thread")
    waiting.join()
    assert not file.wanted()


def test_a_closed_file_is_free_and_refuses_calls(file: StoreFile) -> None:
    put(file, 1)
    values(file)
    file.close()
    assert is_free(file.path)
    assert file._keeper is not None
    assert not file._keeper.is_alive()
    assert (file._writer, file._reader) == (None, None)
    assert not file.path.with_name("transcripts.duckdb.tmp").exists()
    for call in (lambda: put(file, 2), lambda: values(file), file.close):
        with pytest.raises(StoreError) as caught:
            call()
        assert str(caught.value) == f"the store {file.path} is closed; open it again with store()"


def test_a_file_that_was_never_written_is_closed_too(path: Path) -> None:
    StoreFile(path).close()
    assert not path.exists()


def test_a_thread_waits_for_another_one_no_longer_than_for_a_process(file: StoreFile) -> None:
    file._patience = 0.02
    for holder in (None, 1):
        file._holder = holder
        with file.alone(), pytest.raises(StoreBusy, match=r"was not free within 0\.02 s") as caught:
            values(file)
        assert caught.value.pid == (holder or os.getpid())


def test_a_place_that_another_process_keeps_is_waited_for(file: StoreFile, line: FileQueue) -> None:
    put(file, 0)
    file._detach()
    file._patience = 0.02
    assert line.enter(0)
    for busy in (lambda: put(file, 1), lambda: values(file), lambda: file.rewriting().__enter__()):
        with pytest.raises(StoreBusy, match="other processes wait for it") as caught:
            busy()
        assert caught.value.pid is None
        assert str(file.path) in str(caught.value)
        assert "0.02 s" in str(caught.value)
    line.leave()
    assert values(file) == [0]


def test_a_file_that_another_connection_has_is_waited_for_and_then_attached(
    file: StoreFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(file, 1)
    file._detach()
    pauses: list[float] = []
    for call in (lambda: put(file, 2), lambda: values(file)):
        other = duckdb.connect(str(file.path))

        def pause(longest: float, other: duckdb.DuckDBPyConnection = other) -> None:
            pauses.append(longest)
            assert file._holder == os.getpid()
            if len(pauses) % 3 == 0:
                other.close()

        monkeypatch.setattr(module, "pause", pause)
        call()
        assert file._holder is None
        file._detach()
    assert pauses == [0.005] * 6
    assert values(file) == [1, 2]


def test_a_file_that_another_connection_keeps_is_named_with_its_holder(file: StoreFile) -> None:
    put(file, 1)
    file._detach()
    file._patience = 0.02
    first = StoreFile(file.path, patience=0.02)
    busy = rf"^the store {file.path} was not free within 0\.02 s: process \d+ \(this one\)"
    with duckdb.connect(str(file.path)):
        for call in (lambda: put(file, 2), lambda: values(file), lambda: put(first, 2), lambda: values(first)):
            with pytest.raises(StoreBusy, match=busy) as caught:
                call()
            assert caught.value.pid == os.getpid()
    first.close()
    assert values(file) == [1]


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


def test_an_empty_file_of_a_killed_process_is_made_again(path: Path) -> None:
    path.touch(0o666)
    file = StoreFile(path)
    put(file, 1)
    assert values(file) == [1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
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
    assert seen == [("8192", 2), ("8192", 2), ("8192", 2), (None, 3)]
    with file.transaction(bulk=True):
        assert file.attachment == 4, "it was attached for small commits"


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
