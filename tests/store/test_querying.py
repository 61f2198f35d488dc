"""Long queries: they stop on request, and block no other process."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from session_widgets._store import querying
from session_widgets._store.database import Store
from session_widgets._store.file_queue import FileQueue
from session_widgets.errors import MissingDependency, StoreBusy
from tests.support.drafts import chunk, opened

ENDLESS = (
    "select count(*) as n from range(10_000_000) a, range(9999) b, range(9999) c, v_events "
    "where hash(a.range + c.range) = 1"
)


@pytest.fixture
def filled(store: Store) -> Store:
    store.append("s", [opened(), *(chunk(number) for number in range(1, 6))])
    return store


def test_a_query_ends_at_its_time_limit_and_harms_nothing(filled: Store) -> None:
    with pytest.raises(TimeoutError, match=r"not done after 0.3 s.*timeout=seconds"):
        filled.sql(ENDLESS, timeout=0.3)
    assert filled.sql("select count(*) from v_events", timeout=60).fetchall() == [(6,)]
    assert [event.seq for event in filled.append("s", [chunk(6)])] == [7]


def test_an_interrupt_ends_a_query(filled: Store) -> None:
    program = """
import os, signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)
from session_widgets._store import store
opened = store(sys.argv[1])

def interrupt():
    while "session-widgets query" not in {thread.name for thread in threading.enumerate()}:
        pass
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
try:
    opened.sql(sys.argv[2])
except KeyboardInterrupt:
    print(opened.sql("select count(*) from v_events").fetchall())
"""
    filled.close()
    command = [sys.executable, "-c", program, filled.path, ENDLESS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout == "[(6,)]\n"


@pytest.fixture
def endless(filled: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Thread]:
    """A query that runs until the test is over."""
    runs: list[querying._Run] = []
    start = querying._Run._start
    monkeypatch.setattr(querying._Run, "_start", lambda run: runs.append(run) or start(run))

    def work() -> None:
        with pytest.raises(duckdb.InterruptException):
            filled.sql(ENDLESS, timeout=60)

    thread = threading.Thread(target=work)
    thread.start()
    yield thread
    while thread.is_alive():
        runs[-1]._connection.interrupt()
        thread.join(0.01)


def test_a_query_does_not_block_a_writer(filled: Store, endless: threading.Thread) -> None:
    for number in range(6, 26):
        filled.append("s", [chunk(number)])
    program = "import sys; from session_widgets._store import store; print(len(store(sys.argv[1]).events('s')))"
    there = subprocess.run([sys.executable, "-c", program, filled.path], capture_output=True, text=True, check=True)
    assert there.stdout == "26\n"
    assert endless.is_alive(), "all of this while the query ran"


def test_a_query_that_gives_way_ends_on_a_copy_with_the_same_result(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(querying, "ALONE_SECONDS", 0.0)
    monkeypatch.setattr(filled._file, "wanted", lambda: True)
    seen = []
    monkeypatch.setattr(
        querying, "copy_attached", lambda file, copy=querying.copy_attached: seen.append(copy(file)) or seen[-1]
    )
    query = "select count(*) from v_events, range(20_000_000) where hash(range) % 3 < 2"
    (found,) = filled.sql(query).fetchall()
    assert seen
    assert seen[0] is not None
    assert not seen[0].exists(), "and the copy is gone"
    monkeypatch.undo()
    assert filled.sql(query).fetchall() == [found]


def test_a_copy_goes_as_far_as_it_can_be_deleted(filled: Store) -> None:
    place = filled._file.scratch.directory()
    (place / "transcripts.duckdb").write_text("x")
    (place / "kept").mkdir()
    querying.discard(place / "transcripts.duckdb", filled._file)
    assert [left.name for left in place.iterdir()] == ["kept"]
    (place / "kept").rmdir()
    querying.discard(place / "transcripts.duckdb", filled._file)
    assert not place.exists()


def test_a_query_without_a_file_has_a_time_limit_and_errors_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    query = "select $a + 1, current_setting('autoinstall_known_extensions')"
    assert querying.compute(query, {"a": 1}, time.monotonic() + 60, 60).fetchall() == [(2, False)]
    with pytest.raises(TimeoutError, match=r"not done after 0\.2 s"):
        querying.compute(ENDLESS.replace(", v_events", ""), None, time.monotonic() + 0.01, 0.2)
    with pytest.raises(duckdb.IOException, match=r"none\.csv"):
        querying.compute("select * from read_csv('none.csv')", None, time.monotonic() + 60, 60)
    assert list(here.iterdir()) == []


def test_a_query_waits_for_its_turn_no_longer_than_any_other_call(filled: Store) -> None:
    filled._file._patience = 0.01
    before_it = FileQueue(filled.path)
    assert before_it.enter(0)
    with pytest.raises(StoreBusy, match=r"not free within 0\.01 s"):
        filled.sql("select 1")
    before_it.leave()
    filled._file._patience = 10
    assert filled.sql("select 1").fetchall() == [(1,)]


def test_a_query_that_gets_no_thread_leaves_the_store_usable(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            filled.sql("select 1")
    assert filled.sql("select 1").fetchall() == [(1,)]


def test_a_query_is_stopped_by_an_interrupt_and_by_the_next_one_not_left_behind(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two interrupts in a row the second comes while DuckDB is still about to stop."""
    wait, left = threading.Event.wait, [2]

    def interrupted(event: threading.Event, timeout: float | None = None) -> bool:
        running = [each for each in threading.enumerate() if each.name == "session-widgets query"]
        if running and threading.current_thread() is threading.main_thread() and left[0]:
            assert all(each.daemon for each in running), "the end of the process does not wait for it"
            left[0] -= 1
            raise KeyboardInterrupt
        return wait(event, timeout)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Event, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            filled.sql(ENDLESS)
    assert left == [0]
    assert not [each for each in threading.enumerate() if each.name == "session-widgets query"]
    assert len(filled.events("s")) == 6


def test_only_leftovers_of_a_killed_process_are_removed(filled: Store) -> None:
    program = """
import os, signal, sys
from session_widgets._store import store
opened = store(sys.argv[1])
place = opened._file.scratch.directory()
(place / "left").write_text("x")
print(place, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    mine = filled._file.scratch.directory()
    (mine / "mine").write_text("x")
    killed = subprocess.run([sys.executable, "-c", program, filled.path], capture_output=True, text=True, check=False)
    left = Path(killed.stdout.strip())
    assert (left / "left").exists()
    filled._file.scratch.directory()
    assert not left.exists()
    assert (mine / "mine").exists()


@pytest.mark.xdist_group("polars")
def test_frames(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    relation = filled.sql("select seq, kind from v_events order by seq")
    assert isinstance(relation, duckdb.DuckDBPyRelation)
    assert relation.pl()["seq"].to_list() == [1, 2, 3, 4, 5, 6]
    assert relation.to_arrow_table().num_rows == 6
    assert relation.arrow().read_all().num_rows == 6
    assert relation.to_arrow_reader().read_all().num_rows == 6
    for name, calls in (("polars", [relation.pl]), ("pyarrow", [relation.arrow, relation.to_arrow_table])):
        monkeypatch.setitem(sys.modules, name, None)
        for call in calls:
            with pytest.raises(MissingDependency, match=r"pip install 'session-widgets\[frames\]'"):
                call()


@pytest.mark.xdist_group("polars")
def test_frames_take_the_options_of_duckdb(filled: Store) -> None:
    relation = filled.sql("select range from range(5000)")
    assert [relation.pl(rows).n_chunks() for rows in (2048, 10_000)] == [3, 1]
    assert relation.pl(lazy=True).select("range").collect().height == 5000
    for table in (relation.to_arrow_table(batch_size=2048), relation.to_arrow_table(2048)):
        assert table.column(0).num_chunks == 3
    for method in (relation.to_arrow_reader, relation.arrow):
        for reader in (lambda method=method: method(2048), lambda method=method: method(batch_size=2048)):
            assert [len(batch) for batch in reader()] == [2048, 2048, 904]


def test_a_missing_package_is_named_with_its_remedy(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    relation = filled.sql("select 1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependency) as caught:
        relation.to_arrow_table()
    assert str(caught.value) == (
        ".to_arrow_table() needs pyarrow, which is not installed. Install it with: "
        "pip install 'session-widgets[frames]'; .df() and .fetchall() work without."
    )


def test_no_statement_prints_its_progress(filled: Store) -> None:
    """Without a file as its program, as in a notebook, DuckDB draws a bar after 2 s of a statement that writes."""
    program = """if True:
        import sys
        from pathlib import Path
        from session_widgets._store import querying
        from session_widgets._store.connection import StoreFile
        file, query = StoreFile(Path(sys.argv[1])), "select current_setting('enable_progress_bar')"
        for way in (file.transaction, file.looking):
            with way() as connection:
                print(connection.execute(query).fetchall()[0][0])
        with file.alone() as deadline, file.attached_to_read(deadline) as connection:
            print(connection.execute(query).fetchall()[0][0])
            copy = querying.copy_attached(file)
        print(querying.on_copy(file, copy, lambda there: there.execute(query).fetchall()[0][0]))
    """
    filled.close()
    done = subprocess.run([sys.executable, "-c", program, filled.path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"] * 4
