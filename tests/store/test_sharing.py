"""Many processes and threads on one file."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from session_widgets._store import store as open_store
from session_widgets._store.connection import StoreFile
from session_widgets._store.database import Store
from session_widgets.errors import StoreBusy, StoreError, StoreVersion
from tests.store.importing.claude import story
from tests.store.writers import process, result
from tests.support.drafts import chunk, derived, note, opened
from tests.support.waiting import until

IN_OPEN, IN_CLOSE = 0x20, 0x18


def test_two_writers_of_one_session_and_a_reader(store: Store) -> None:
    count = 20_000
    with (
        process("rows", store.path) as reader,
        process("stream", store.path, "s", "a", count, 250) as one,
        process("stream", store.path, "s", "b", count, 250) as two,
    ):
        waits = [result(one), result(two), result(reader)]
    assert max(waits) < 2, waits
    rows = store.sql("select count(*), count(distinct seq), min(seq), max(seq) from v_events").fetchall()
    assert rows == [(2 * count, 2 * count, 1, 2 * count)]
    for source in "ab":
        numbers = store.sql("select source_seq from v_events where source = ? order by seq", [source]).fetchall()
        assert numbers == [(number,) for number in range(1, count + 1)], "each writer's own order is kept"


def test_processes_and_threads_on_several_sessions(store: Store) -> None:
    waits: list[float] = []

    def thread(source: str) -> None:
        for number in range(1, 61):
            begin = time.perf_counter()
            store.append("s1" if number % 2 else "s2", [chunk(number, source=source)])
            waits.append(time.perf_counter() - begin)

    threads = [threading.Thread(target=thread, args=(f"t{number}",)) for number in range(3)]
    with (
        process("stream", store.path, "s1", "p", 100, 2) as one,
        process("stream", store.path, "s2", "p", 100, 2) as two,
    ):
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        waits += [result(one), result(two)]
    assert len(waits) == 182
    assert max(waits) < 2
    query = "select session_id, count(*), max(seq), count(distinct seq) from v_events group by all order by all"
    assert store.sql(query).fetchall() == [("s1", 190, 190, 190), ("s2", 190, 190, 190)]
    before = derived(store)
    store.rebuild()
    assert derived(store) == before


def test_a_killed_holder_loses_nothing_that_was_committed(store: Store) -> None:
    with process("die", store.path, "s") as victim:
        victim.wait(timeout=30)
        assert victim.returncode == -signal.SIGKILL
    assert len(store.events("s")) == 2
    assert [event.seq for event in store.append("s", [chunk(2)])] == [3]
    assert store.steps("s")[0].text == "xx"


@pytest.mark.parametrize("call", [lambda file: file.transaction(), lambda file: file.looking()])
def test_the_error_after_a_long_wait_names_the_holder(path: Path, call: Callable[[StoreFile], object]) -> None:
    open_store(path).close()
    Store(path).close()
    with process("hold", path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        file = StoreFile(path, patience=0.5)
        with pytest.raises(StoreBusy, match=rf"process {holder.pid} \(.*store_writer hold") as caught, call(file):
            pass
        assert caught.value.pid == holder.pid
        assert isinstance(caught.value, TimeoutError)
    file.close()


def test_a_plain_duckdb_connection_in_this_process_is_named_too(store: Store) -> None:
    store.append("s", [opened()])
    store.close()
    file = StoreFile(store.path, patience=0.2)
    with duckdb.connect(str(store.path)), pytest.raises(StoreBusy, match="this one"), file.transaction():
        pass
    with file.transaction():
        pass
    file.close()


def test_the_file_is_detached_soon_after_the_last_commit(store: Store) -> None:
    store.append("s", [opened()])
    deadline = time.monotonic() + 5
    while True:
        probe = subprocess.run(
            [sys.executable, "-c", f"import duckdb; duckdb.connect({str(store.path)!r})"],
            capture_output=True,
            check=False,
            text=True,
        )
        if probe.returncode == 0:
            break
        assert time.monotonic() < deadline, probe.stderr
    assert not store.path.with_name(store.path.name + ".wal").exists(), "and nothing is left in the log"


def test_one_store_object_per_real_file(path: Path, tmp_path: Path) -> None:
    one = open_store(path)
    link = tmp_path / "link.duckdb"
    link.symlink_to(path)
    assert open_store(link) is one
    assert open_store(str(path)) is one
    one.close()
    one.close()
    with pytest.raises(StoreError, match="closed"):
        one.events("s")
    two = open_store(path)
    assert two is not one
    two.close()


def test_a_file_of_a_newer_release_is_left_untouched(store: Store) -> None:
    store.append("s", [opened()])
    store.close()
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("update schema_version set version = 99")
    before = store.path.read_bytes()
    newer = open_store(store.path)
    for call in (lambda: newer.append("s", [chunk(1)]), lambda: newer.events("s"), newer.rebuild):
        with pytest.raises(StoreVersion, match=r"format 99.*pip install -U"):
            call()
    newer.close()
    assert store.path.read_bytes() == before


def test_a_file_of_an_older_release_is_brought_up_to_date(store: Store) -> None:
    turn = [
        note("turn_started", 2, turn=1, prompt=[]),
        note("turn_ended", 3, turn=1, status="failed", error="last status: 429"),
    ]
    store.append("s", [opened(), *turn])
    log = store.path.with_name("a.jsonl")
    log.write_text(str(story()))
    store.import_(log)
    before = derived(store)
    store.close()
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("delete from schema_version where version > 1")
        connection.execute("create or replace view v_turns as select session_id, turn from turns")
    newer = open_store(store.path)
    assert newer.sql("select outcome from v_turns where session_id = 's'").fetchall() == [("rate_limited",)]
    assert derived(newer) == before, "also of the import"
    newer.close()


def test_a_file_of_something_else_is_left_untouched(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table mine (a int)")
    before = path.read_bytes()
    store = open_store(path)
    with pytest.raises(StoreError, match="not a transcript store"):
        store.append("s", [chunk(1)])
    store.close()
    assert path.read_bytes() == before


def test_a_file_that_is_no_database(path: Path) -> None:
    path.write_text("hello " * 1000)
    store = open_store(path)
    with pytest.raises(StoreError, match="not a valid DuckDB database"):
        store.events("s")
    store.close()
    assert path.read_text() == "hello " * 1000


def test_a_file_that_was_deleted_meanwhile_is_made_again(store: Store) -> None:
    store.append("s", [opened()])
    store.sessions()
    store.path.unlink()
    assert store.events("s") == []
    assert [event.seq for event in store.append("s", [opened()])] == [1]


@contextmanager
def opens_of(path: Path) -> Iterator[Callable[[], int]]:
    """Yield a function that returns how often the file was opened since the last call, by inotify(7)."""
    libc, event = ctypes.CDLL(None, use_errno=True), struct.Struct("iIII")
    watch = libc.inotify_init1(os.O_CLOEXEC)
    try:  # equal events in a row are one: so closes are watched as well
        assert libc.inotify_add_watch(watch, bytes(path), IN_OPEN | IN_CLOSE) > 0, os.strerror(ctypes.get_errno())
        yield lambda: sum(mask == IN_OPEN for _, mask, _, _ in event.iter_unpack(os.read(watch, 65_536)))
    finally:
        os.close(watch)


def test_the_file_is_read_under_its_lock_alone(store: Store) -> None:
    """DuckDB looked at it before it had the lock, and dropped what others committed in between."""
    store.append("s", [opened()])
    store._file._detach()
    with opens_of(store.path) as opens:
        store.append("s", [chunk(2)])
        assert opens() == 1
        store.sql("select 1")
        assert opens() == 1


def test_a_thread_behind_another_one_names_the_process_that_both_wait_for(store: Store) -> None:
    store.append("s", [opened()])
    file = store._file
    file._detach()
    holder = f"import duckdb; held = duckdb.connect({str(store.path)!r}); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        first = threading.Thread(target=store.append, args=("s", [chunk(2)]))
        first.start()
        until(lambda: file._holder == process.pid, what="the wait of the first thread")
        file._patience = 0.2
        with pytest.raises(StoreBusy, match=f"process {process.pid} "):
            store.append("s", [chunk(3)])
        process.communicate(b"\n")
        first.join()
    assert len(store.events("s")) == 2
