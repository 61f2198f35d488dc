"""The store's file in one process: attached while it is needed, and by one call at a time."""

from __future__ import annotations

import os
import shutil
import threading
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
from tests.support.waiting import until


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


def test_a_writer_that_can_be_neither_detached_nor_closed_is_dropped(
    file: StoreFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(file, 1)
    real = file._writer
    assert real is not None

    def refuse(*_: object) -> None:
        raise duckdb.FatalException("why")

    monkeypatch.setattr(file, "_writer", SimpleNamespace(execute=refuse, close=refuse))
    file._detach()
    real.close()
    put(file, 2)
    assert values(file) == [1, 2]


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
