"""Rebuild: beside others, resumable; it and compact leave the store whole after a kill at any moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from session_widgets._store import rebuilding
from session_widgets._store import store as open_store
from session_widgets._store.database import Store
from tests.store.filling import everything, fill
from tests.store.importing.claude import story
from tests.support.drafts import TABLES, chunk, opened

pytestmark = pytest.mark.slow


def rows_of(path: Path) -> dict[str, object]:
    """The same of a file that nobody has, without a store."""
    with duckdb.connect(str(path), config={"threads": 1}) as connection:
        names = ("events", *TABLES, "v_turns")
        return {name: connection.execute(f"select * from {name} order by all").fetchall() for name in names}


@pytest.fixture
def filled(store: Store) -> Store:
    for session in ("a", "b", "c"):
        fill(store, session)
    return store


@pytest.mark.parametrize("at_once", [1, 3, 16, 1000])
def test_a_rebuild_in_pieces_gives_the_same_rows_and_says_how_far_it_is(
    filled: Store, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    before, seen = everything(filled), []
    monkeypatch.setattr(rebuilding, "AT_ONCE", at_once)
    with filled._file.transaction() as connection:
        for table in ("turns", "steps", "permissions"):
            connection.execute(f"delete from store.{table}")
        connection.execute("update store.sessions set title = 'wrong'")
        connection.execute("insert into store.sessions select * replace ('gone' as session_id) from store.sessions")
    filled.rebuild(progress=lambda done, total: seen.append((done, total)))
    assert everything(filled) == before
    pieces = [min(done, 17) for done in range(at_once, 17 + at_once + (17 % at_once == 0), at_once)]
    assert seen == [(first + done, 51) for first in (0, 17, 34) for done in pieces], "session by session"


def test_a_rebuild_of_one_session_leaves_the_others(filled: Store) -> None:
    before = everything(filled)
    with filled._file.transaction() as connection:
        connection.execute("update store.turns set text = session_id || ' wrong' where turn = 1")
    filled.rebuild("b")
    texts = dict(filled.sql("select session_id, text from v_turns where turn = 1").fetchall())
    assert (texts["a"], texts["c"]) == ("a wrong", "c wrong")
    filled.rebuild()
    assert everything(filled) == before
    seen: list[tuple[int, int]] = []
    filled.rebuild("never-seen", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 0)]


def test_a_session_is_rebuilt_within_a_transaction_of_its_caller(filled: Store) -> None:
    before = everything(filled)
    with filled._file.transaction() as connection:
        connection.execute("update store.steps set text = session_id || ' wrong'")
        connection.execute("update store.sessions set title = 'wrong'")
        rebuilding.rebuild(connection, "b")
    query = "select distinct session_id from v_steps where text like '% wrong' order by all"
    assert filled.sql(query).fetchall() == [("a",), ("c",)]
    assert filled.sql("select session_id, title from v_sessions order by all").fetchall() == [
        *(("a", "wrong"), ("b", None), ("c", "wrong"))
    ]
    filled.rebuild()
    assert everything(filled) == before


def test_a_session_has_as_many_turns_after_a_rebuild(store: Store) -> None:
    store.append("none", [opened(), chunk(1, turn=None)])
    store.append("late", [opened(), chunk(1, turn=1), chunk(2, turn=2), chunk(3, turn=1), chunk(4, turn=None)])
    before = everything(store)
    store.rebuild()
    assert everything(store) == before
    assert store.sql("select session_id, turns from v_sessions order by all").fetchall() == [("late", 2), ("none", 0)]


def test_an_imported_session_is_rebuilt_from_its_file_and_ours_from_their_events(store: Store, tmp_path: Path) -> None:
    fill(store, "a")
    (tmp_path / "a.jsonl").write_text(str(story()))
    (imported,) = store.import_(tmp_path / "a.jsonl").sessions
    before = everything(store)

    def wrong() -> set[str]:
        found = store.sql("select distinct session_id from v_turns where text = 'wrong'").fetchall()
        return {session_id for (session_id,) in found}

    for session_id, left in (("a", {imported}), (imported, {"a"}), (None, set())):
        with store._file.transaction() as connection:
            connection.execute("update store.turns set text = 'wrong'")
        seen: list[tuple[int, int]] = []
        store.rebuild(session_id, progress=lambda done, total, seen=seen: seen.append((done, total)))
        assert wrong() == left
        assert seen == ([] if session_id == imported else [(17, 17)])
    assert everything(store) == before


def test_others_write_between_the_pieces_of_a_rebuild(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "AT_ONCE", 4)
    numbers = iter(range(100, 200))

    def write(done: int, total: int) -> None:
        number = next(numbers)
        filled.append("a", [chunk(number, "more", turn=2)])
        if number == 104:
            filled.delete_session("c")
            filled.append("c", [opened(1, source="kernel:b")])

    filled.rebuild(progress=write)
    live = everything(filled)
    assert filled.sql("select count(*) from v_events where session_id = 'c'").fetchall() == [(1,)]
    monkeypatch.undo()
    filled.rebuild()
    assert everything(filled) == live


KILLED = """
import os, shutil, signal, sys
from contextlib import contextmanager
from pathlib import Path
import duckdb, numpy, orjson, psutil
from session_widgets._store import compacting, rebuilding, store
from session_widgets._store.connection import StoreFile

def run(path, what, left):
    def step(*_):
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def stepping(owner, name):
        real = getattr(owner, name)
        def call(*args, **options):
            step()
            found = real(*args, **options)
            step()
            return found
        setattr(owner, name, call)

    opened = store(path)
    opened.sessions()
    transaction = StoreFile.transaction
    @contextmanager
    def counted(self, *args, **options):
        with transaction(self, *args, **options) as connection:
            yield connection
            step()
        step()
    StoreFile.transaction = counted
    rebuilding.AT_ONCE, compacting.ROWS_AT_ONCE = 12, 20
    for name in ("_copy", "_swap", "_force"):
        stepping(compacting, name)
    stepping(Path, "replace")
    getattr(opened, what)(progress=step)
    os._exit(0)

steps, status = 0, 9
while status == 9:
    path = Path(sys.argv[1]) / str(steps) / "transcripts.duckdb"
    path.parent.mkdir()
    shutil.copy(sys.argv[2], path)
    if not (child := os.fork()):  # nothing of DuckDB runs here yet
        run(path, sys.argv[3], steps)
    status = os.waitpid(child, 0)[1]
    steps += 1
print(status, steps)
"""


@pytest.mark.parametrize("what", ["rebuild", "compact"])
def test_killed_at_each_step_the_store_is_whole(filled: Store, tmp_path: Path, what: str) -> None:
    """Before and after each commit and each change on the disk."""
    filled.delete_session("c")
    filled.close()
    before, places = rows_of(filled.path), tmp_path / "places"
    places.mkdir()
    command = [sys.executable, "-c", KILLED, places, filled.path, what]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    status, steps = map(int, done.stdout.split())
    assert (status, steps > 10) == (0, True), done.stderr
    for number in range(steps):
        place = places / str(number)
        assert rows_of(place / "transcripts.duckdb") == before, number
        if number % 6 == 5:
            again = open_store(place / "transcripts.duckdb")
            getattr(again, what)()
            again.close()
            assert rows_of(again.path) == before, number
            assert {each.name for each in place.iterdir()} == {"transcripts.duckdb", "transcripts.duckdb.line"}


def test_a_rebuild_that_was_stopped_goes_on_where_it_was(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "AT_ONCE", 100)

    def stop(done: int, total: int) -> None:
        if done > 17:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        filled.rebuild(progress=stop)
    seen: list[tuple[int, int]] = []
    filled.rebuild(progress=lambda done, total: seen.append((done, total)))
    assert seen == [(17, 34), (34, 34)], "the first of three was done"
    assert filled.sql("select count(*) from duckdb_tables() where table_name = 'rebuilding'").fetchall() == [(0,)]
