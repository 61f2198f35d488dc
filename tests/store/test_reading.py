"""What a cell reads: joins with its own tables, plain connections, and one session as sequences."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from datetime import UTC
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from session_widgets._store import snapshots
from session_widgets._store.database import Store
from session_widgets.errors import BadValue, MissingDependency, SessionGone, StoreError
from tests.support.drafts import chunk, opened
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

CLAUDE = ROOT / "tests" / "fixtures" / "imports" / "claude_code"
with_polars = pytest.mark.xdist_group("polars")
"""One worker loads polars, which takes 20 MB."""


@pytest.fixture
def filled(store: Store) -> Store:
    store.append("s", [opened(), *(chunk(number) for number in range(1, 6))])
    return store


JOINED = "select s.session_id, mine.task from v_sessions s join mine using (session_id)"


def polars_frame(rows):
    import polars

    return polars.DataFrame(rows)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(pd.DataFrame, id="pandas"),
        pytest.param(polars_frame, id="polars", marks=with_polars),
        pytest.param(lambda rows: polars_frame(rows).to_arrow(), id="arrow", marks=with_polars),
        pytest.param(lambda rows: rows, id="dictionaries"),
    ],
)
def test_a_query_joins_a_table_of_the_caller(filled: Store, make) -> None:
    mine = make([{"session_id": "s", "task": "t1"}, {"session_id": "other", "task": "t2"}])
    assert filled.sql(JOINED, frames={"mine": mine}).fetchall() == [("s", "t1")]
    with pytest.raises(duckdb.CatalogException, match="mine"):
        filled.sql("select * from mine")


def test_a_result_is_a_table_of_the_next_query_also_on_a_copy(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = filled.sql("select session_id, 't1' as task from v_sessions where ? = 1", [1])
    assert filled.sql(JOINED, frames={"mine": mine}, timeout=30).fetchall() == [("s", "t1")]
    monkeypatch.setattr("session_widgets._store.querying.ALONE_SECONDS", 0.0)
    monkeypatch.setattr(filled._file, "wanted", lambda: True)
    long = f"{JOINED} where (select count(*) from range(5_000_000) where hash(range) % 3 < 3) > 0"
    assert filled.sql(long, frames={"mine": mine}).fetchall() == [("s", "t1")]


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ({"v_steps": []}, "is a view of the store"),
        ({"V_Steps": []}, "is a view of the store"),
        ({"a b": []}, "is no name of a table"),
        ({"mine": 3}, "must be a pandas or polars frame.*got int"),
        ({"mine": "text"}, "got str"),
        ({"mine": []}, "at least one column"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(filled: Store, frames, message: str) -> None:
    with pytest.raises(BadValue, match=message):
        filled.sql("select 1", frames=frames)


@with_polars
def test_polars_without_arrow_names_the_remedy(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = polars_frame({"session_id": ["s"]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr(duckdb.DuckDBPyConnection, "register", _needs_arrow)
    with pytest.raises(MissingDependency, match=r"'session-widgets\[frames\]'"):
        filled.sql(JOINED, frames={"mine": mine})


def _needs_arrow(*_: object) -> None:
    raise ModuleNotFoundError("No module named 'pyarrow'", name="pyarrow")


@with_polars
def test_a_plain_connection_reads_what_was_there_and_blocks_no_writer(filled: Store) -> None:
    import polars

    connection = filled.connect()
    assert type(connection) is duckdb.DuckDBPyConnection
    assert [event.seq for event in filled.append("s", [chunk(6)])] == [7]
    assert connection.sql("select count(*) from v_events").fetchall() == [(6,)]
    assert filled.connect().sql("select count(*) from v_events").fetchall() == [(7,)]
    with pytest.raises(duckdb.Error, match="read-only"):
        connection.execute("delete from events")
    assert polars.read_database("select session_id from v_sessions", connection)["session_id"].to_list() == ["s"]


def test_connections_share_a_copy_until_something_is_written(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    copy = snapshots.querying.copy_attached
    monkeypatch.setattr(snapshots.querying, "copy_attached", lambda file: made.append(copy(file)) or made[-1])
    filled.sql("select 1")
    long_ago = time.time_ns() - 10**9
    os.utime(filled.path, ns=(long_ago, long_ago))
    first, second = filled.connect(), filled.connect()
    assert len(made) == 1
    first.close()
    assert (
        second.sql("select count(*) from v_events").fetchall()
        == filled.connect().sql("select count(*) from v_events").fetchall()
    )
    assert len(made) == 1
    second.close()
    filled.connect()
    assert len(made) == 2, "it went with its last reader"
    third = filled.connect()
    filled.append("s", [chunk(6)])
    assert filled.connect().sql("select count(*) from v_events").fetchall() == [(7,)]
    assert third.sql("select count(*) from v_events").fetchall() == [(6,)]


def test_a_change_in_the_moment_of_a_copy_is_not_missed(filled: Store) -> None:
    """A file system's clock may tick every 4 ms: such a write leaves the same time, and maybe the same size."""
    filled.sql("select 1")
    now = time.time_ns()
    os.utime(filled.path, ns=(now, now))
    first = filled.connect()
    assert filled._snapshots._stamp is None
    assert first.sql("select count(*) from v_events").fetchall() == [(6,)]


def test_a_copy_has_no_name_once_it_is_open(filled: Store) -> None:
    connection = filled.connect()
    place = filled.path.with_name(filled.path.name + ".tmp")
    assert not list(place.rglob("*.duckdb"))
    ((path,),) = connection.sql("select path from duckdb_databases() where not internal").fetchall()
    assert not Path(path).exists()


def test_the_copy_of_a_killed_process_is_swept(filled: Store) -> None:
    program = """
import os, signal, sys
from session_widgets._store import querying, snapshots, store
opened = store(sys.argv[1])
querying.discard = lambda copy, file: (print(copy, flush=True), os.kill(os.getpid(), signal.SIGKILL))
opened.connect()
"""
    filled.close()
    killed = subprocess.run([sys.executable, "-c", program, filled.path], capture_output=True, text=True, check=False)
    left = Path(killed.stdout.strip())
    assert left.exists()
    again = Store(filled.path)
    assert again.connect().sql("select count(*) from v_events").fetchall() == [(6,)]
    assert not left.exists()
    again.close()


def test_without_room_for_a_copy_there_is_no_connection(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots.querying, "copy_attached", lambda file: None)
    with pytest.raises(StoreError, match=r"no room for a copy.*use sql"):
        filled.connect()


TIMES = """
import sys
from datetime import timedelta
from session_widgets._store import store
opened = store(sys.argv[1])
row = opened.sql("select created_at, created_at::date::varchar, created_at::varchar from v_sessions").fetchall()
seen = [row[0][0], opened.connect().sql("select created_at from v_sessions").fetchall()[0][0],
    opened.sessions()[0].created_at, opened.transcript("s").session["created_at"],
    opened.events("s")[0].ts, opened.sql("select created_at from v_sessions").df()["created_at"][0].to_pydatetime()]
assert all(one.utcoffset() == timedelta(0) for one in seen), seen
print([one.isoformat() for one in seen], row[0][1:])
"""


def test_times_are_utc_wherever_the_machine_is(filled: Store) -> None:
    filled.close()
    said = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", TIMES, filled.path],
            env={**os.environ, "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for zone in ("America/New_York", "UTC", "Asia/Kolkata")
    }
    assert len(said) == 1
    assert "+00" in said.pop()


def test_a_live_and_an_imported_session_answer_alike(filled: Store, tmp_path: Path) -> None:
    shutil.copytree(CLAUDE, tmp_path / "claude")
    filled.import_(tmp_path / "claude")
    imported = next(record.id for record in filled.sessions() if record.turns and record.status == "imported")
    for name in ("s", imported):
        transcript = filled.transcript(name)
        for of_name, view in (("steps", "v_steps"), ("turns", "v_turns"), ("tool_calls", "v_tool_calls"),
                              ("llm_calls", "v_llm_calls"), ("files", "v_files")):  # fmt: skip
            rows = getattr(transcript, of_name)
            expected = filled.sql(f"select * from {view} where session_id = ?", [name])
            assert len(rows) == len(expected), of_name
            assert list(rows.df().columns) == expected.columns
            assert list(rows) == rows[:]
            assert f"<p>{len(rows)}" in rows._repr_html_() or "first 50 of" in rows._repr_html_()
        assert transcript.session["session_id"] == name
    steps = filled.transcript(imported).steps
    assert [step.step for step in steps if step.turn == 1] == list(range(sum(step.turn == 1 for step in steps)))
    call = next(iter(filled.transcript(imported).tool_calls))
    assert isinstance(call.raw_input, dict)
    assert call.started_at.tzinfo is not None
    assert call.started_at.astimezone(UTC) == call.started_at
    assert filled.transcript("s").llm_calls[:] == []


def test_a_session_that_is_not_there_has_no_transcript(filled: Store) -> None:
    with pytest.raises(SessionGone, match="no session 'nobody'"):
        filled.transcript("nobody")
