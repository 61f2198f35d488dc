"""SQL over the views: results that live on their own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC
from typing import Any

import duckdb
import pandas as pd
import pytest

from session_widgets._store import result
from session_widgets._store.database import Store
from session_widgets._store.result import MANY, Result
from session_widgets._store.views import VIEWS
from tests.support.drafts import TS, chunk, note, opened

pytestmark = pytest.mark.slow


@pytest.fixture
def filled(store: Store) -> Store:
    store.append("s", [opened(title="t"), *(chunk(n) for n in range(1, 6))])
    store.append("s", [note("turn_ended", 2, turn=1, status="completed")])
    return store


@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")  # DuckDB 2.0's .df() with pandas 3.1
def test_a_result_can_be_used_in_every_way_and_again(filled: Store) -> None:
    relation = filled.sql("select seq, kind, ts from v_events order by seq")
    assert relation.fetchall()[0] == (1, "session_opened", TS)
    assert relation.fetchall()[0][2].astimezone(UTC) == TS
    assert len(relation) == 7
    assert list(relation.df().columns) == ["seq", "kind", "ts"]
    assert relation.filter("seq > 5").aggregate("count(*)").fetchall() == [(2,)]
    assert "session_opened" in str(relation)


def test_results_hold_no_lock_and_stay_as_they_were(filled: Store) -> None:
    relations = [filled.sql("select ? as n, count(*) as c from v_events", [n]) for n in range(20)]
    filled.append("s", [chunk(99)])
    probe = f"import duckdb; c = duckdb.connect({str(filled.path)!r}); c.execute('select * from v_events')"
    filled.sessions()
    subprocess.run([sys.executable, "-c", probe], check=True)
    assert [relation.fetchall() for relation in relations] == [[(n, 7)] for n in range(20)]
    filled.close()
    assert relations[3].fetchall() == [(3, 7)]


def test_parameters_by_place_and_by_name(filled: Store) -> None:
    assert filled.sql("select count(*) from v_events where kind = ?", ["agent_message_chunk"]).fetchall() == [(5,)]
    by_name = filled.sql("select $a + $b as n;", {"a": 1, "b": 2})
    assert (by_name.columns, by_name.fetchall()) == (["n"], [(3,)])


@pytest.mark.parametrize(
    "query",
    ["delete from events", "insert into events select * from events", "drop view v_events", "create table x (a int)"],
)
def test_a_write_fails_and_changes_nothing(filled: Store, query: str) -> None:
    before = filled.sql("select count(*) from v_events").fetchall()
    with pytest.raises(duckdb.Error):
        filled.sql(query)
    with pytest.raises(duckdb.Error, match="read-only"):
        filled.sql(f"select 1; {query}")
    assert filled.sql("select count(*) from v_events").fetchall() == before


def test_a_wrong_query_says_what_is_wrong_and_does_no_harm(filled: Store) -> None:
    with pytest.raises(duckdb.CatalogException, match="v_nothing"):
        filled.sql("select * from v_nothing")
    with pytest.raises(duckdb.BinderException) as caught:
        filled.sql("select turns, colour from v_sessions")
    assert "LINE 1: select turns, colour from v_sessions\n                      ^" in str(caught.value)
    assert len(filled.sql("select * from v_sessions")) == 1


def test_an_empty_store_answers_too(store: Store) -> None:
    assert [view for view in VIEWS if store.sql(f"select * from {view}").fetchall()] == ["v_sandbox_rates"]  # our list


def test_payload_can_be_taken_apart(filled: Store) -> None:
    query = "select payload ->> '$.params.update.content.text' from v_events where kind = 'agent_message_chunk'"
    assert filled.sql(query).fetchall() == [("x",)] * 5


def test_a_cell_draws_a_result_as_a_table_without_markup_of_agents(store: Store) -> None:
    drawn = store.sql("select '<img src=x onerror=alert(1)>' || chr(27) as text, null as nothing, 7 as n")._repr_html_()
    head = "<th>text</th><th>nothing</th><th>n</th>"
    row = "<td>&lt;img src=x onerror=alert(1)&gt;␛</td><td></td><td>7</td>"
    assert drawn == f"<table><thead><tr>{head}</tr></thead><tbody><tr>{row}</tr></tbody></table><p>1 row</p>"
    for count, words in ((50, "50 rows"), (51, "the first 50 of 51 rows"), (2000, "the first 50 of 2,000 rows")):
        many = store.sql("select range from range(?)", [count])
        assert many._repr_html_().count("<tr>") == 51
        assert many._repr_html_().endswith(f"</table><p>{words}</p>")
        assert len(many.fetchall()) == count


@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")  # DuckDB 2.0's .df() with pandas 3.1
def test_a_frame_of_many_rows_is_the_one_that_duckdb_makes(store: Store) -> None:
    """It is made column by column, for a third less memory."""
    query = """
        select 'text ' || n as text, if(n % 3 = 0, null, 'é' || n) as some, null::varchar as nothing, n as text,
            json_object('n', n) as json, if(n % 2 = 0, n, null)::integer as half, n::decimal(18, 9) as money,
            if(n % 7 = 0, null, list_resize([n::varchar, 'b'], n % 4)) as list,
            n % 2 = 0 as flag, timestamptz '2026-11-28' + n * interval 1 second as at,
            {'a': n} as struct, if(n = 5, null, n % 2 = 0) as maybe
        from range(20_000) t(n)"""
    found = store.sql(query)
    pd.testing.assert_frame_equal(found.df(), duckdb.DuckDBPyRelation.df(found))
    assert list(found.df().columns) == found.columns


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the columns that were made without an object for each value."""
    names: list[str] = []

    def noted(make: Callable[[duckdb.DuckDBPyRelation], pd.DataFrame]) -> Any:
        return lambda column: names.extend(column.columns) or make(column)

    for name in ("_text_column", "_lists_column"):
        monkeypatch.setattr(result, name, noted(getattr(result, name)))
    return names


COLUMNS = "select n::varchar as text, json_object('n', n) as json, n, ['a', 'b'] as list from range(?) t(n)"


def test_texts_of_many_rows_are_made_apart_and_lists_share_them(store: Store, apart: list[str]) -> None:
    frame = store.sql(COLUMNS, [MANY]).df()
    assert apart == ["text", "json", "list"]
    assert len({id(value) for values in frame["list"] for value in values}) == 2
    store.sql(COLUMNS, [MANY - 1]).df()
    assert len(apart) == 3


def test_without_arrow_a_frame_of_many_rows_is_made_by_duckdb(
    store: Store, apart: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pyarrow" else find(name))
    assert list(store.sql(COLUMNS, [MANY]).df()["text"]) == [str(number) for number in range(MANY)]
    assert apart == []


def memory(found: Result) -> tuple[int, int]:
    """Bytes of tables in the memory of an instance of DuckDB with a result, and the results that it keeps apart."""
    tables = "select sum(memory_usage_bytes)::bigint from duckdb_memory() where tag = 'IN_MEMORY_TABLE'"
    apart = "select count(*) from duckdb_databases() where contains(database_name, 'result')"
    return found.query("r", f"select ({tables}), ({apart})").fetchall()[0]  # type: ignore[return-value]


def test_a_large_result_is_compressed_and_ends_with_its_instance(store: Store) -> None:
    small = store.sql("select 1 as one")
    query = "select 'the same words as in every other row of it ' || n % 9 as text from range(?) t(n)"
    large = store.sql(query, [300_000])
    held, apart = memory(large)
    assert held < 3_000_000
    assert apart == 1
    with pytest.raises(duckdb.Error):
        store.sql("select error('no') from range(20_000)")
    again = store.sql("select 2 as two")
    assert memory(again)[1] == 0, "neither the large one nor the failed one"
    assert memory(store.sql(query, [10_000]))[1] == 1, "it is large, too"
    assert memory(store.sql(query, [9_999]))[1] == 0
    assert store.sql(query, [9_999]).fetchall() == large.limit(9_999).fetchall()
    store.close()
    assert large.aggregate("count(*), count(distinct text)").fetchall() == [(300_000, 9)]
    assert (small.fetchall(), again.fetchall()) == ([(1,)], [(2,)])
