"""Long queries: they stop on request, and block no other process."""

from __future__ import annotations

import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from session_widgets._store import querying
from session_widgets._store.database import Store
from session_widgets.errors import MissingDependency
from tests.support.drafts import chunk, opened

ENDLESS = (
    "select count(*) as n from range(10_000_000) a, range(10_000_000) b, v_events where hash(a.range + b.range) = 1"
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
def endless(filled: Store) -> Iterator[threading.Thread]:
    """A query that runs until the test is over."""
    limit = threading.Event()

    def work() -> None:
        with pytest.raises(TimeoutError):
            filled.sql(ENDLESS, timeout=5)
        limit.set()

    thread = threading.Thread(target=work)
    thread.start()
    yield thread
    thread.join()
    assert limit.is_set()


@pytest.mark.usefixtures("endless")
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
    monkeypatch.setattr(querying, "_copy", lambda file, copy=querying._copy: seen.append(copy(file)) or seen[-1])
    query = "select count(*) from v_events, range(20_000_000) where hash(range) % 3 < 2"
    (found,) = filled.sql(query).fetchall()
    assert seen
    assert seen[0] is not None
    assert not seen[0].exists(), "and the copy is gone"
    monkeypatch.undo()
    assert filled.sql(query).fetchall() == [found]


def test_without_room_for_a_copy_a_query_goes_on_where_it_is(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(querying, "ALONE_SECONDS", 0.0)
    monkeypatch.setattr(filled._file, "wanted", lambda: True)
    monkeypatch.setattr(querying, "_copy", lambda file: None)
    query = "select count(*) from v_events, range(20_000_000) where hash(range) % 3 < 2"
    assert filled.sql(query).fetchall()[0][0] > 0


def test_what_does_not_fit_into_memory_is_kept_private_beside_the_store(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    with filled._file.alone() as deadline, filled._file.attached_to_read(deadline) as connection:
        connection.execute("set memory_limit = '60MB'")
        place = Path(connection.execute("select current_setting('temp_directory')").fetchall()[0][0])
        connection.execute("create temp table big as select range, hash(range)::varchar as text from range(3_000_000)")
        assert list(place.iterdir()), "it was too large for the memory"
    assert list(here.iterdir()) == []
    assert place.parent == filled.path.with_name("transcripts.duckdb.tmp")
    assert [stat.S_IMODE(each.stat().st_mode) for each in (place, place.parent)] == [0o700, 0o700]


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
