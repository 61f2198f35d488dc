"""Compact: a new file without what was deleted, put in place beside others."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from itertools import accumulate, pairwise
from pathlib import Path

import duckdb
import pytest

from session_widgets._store import compacting
from session_widgets._store import store as open_store
from session_widgets._store.database import Store
from session_widgets.errors import StoreError
from tests.store.filling import everything, fill
from tests.store.writers import process, result
from tests.support.drafts import chunk, note, opened

pytestmark = pytest.mark.slow


@pytest.fixture
def filled(store: Store) -> Store:
    for session in ("a", "b", "c"):
        fill(store, session)
    return store


def test_what_was_deleted_is_gone_from_the_file_after_compact(store: Store) -> None:
    sentences = [secrets.token_hex(40) for _ in range(150)]  # so few are not compressed
    fill(store, "kept")
    store.append("s", [opened(), *(chunk(number, text) for number, text in enumerate(sentences, 1))])
    store.append("s", [note("turn_ended", 2, turn=1, status="completed")])
    store.close()
    store = open_store(store.path)
    store.delete_session("s")
    before = everything(store)
    store.close()
    assert sum(text.encode() in store.path.read_bytes() for text in sentences) > 100, "deleted, and still there"
    again, seen = open_store(store.path), []
    mode = again.path.stat().st_mode
    again.compact(progress=lambda done, total: seen.append((done, total)))
    assert everything(again) == before
    again.append("kept", [chunk(99, "more", turn=2)])
    again.close()
    for file in again.path.parent.iterdir():
        assert not any(text.encode() in file.read_bytes() for text in sentences if file.is_file()), file
    assert seen[-1][0] == seen[-1][1] > 0
    assert again.path.stat().st_mode == mode


def test_processes_that_write_and_read_find_the_new_file(store: Store) -> None:
    count = 1_500
    with (
        process("rows", store.path) as reader,
        process("stream", store.path, "s", "a", count, 50) as one,
        process("stream", store.path, "s", "b", count, 50) as two,
    ):
        compacted = 0
        while one.poll() is None or two.poll() is None:
            store.compact()
            store.append("t", [chunk(compacted + 1)])
            compacted += 1
        for each in (one, two, reader):
            result(each)
    rows = store.sql("select count(*), count(distinct seq), max(seq) from v_events where session_id = 's'").fetchall()
    assert rows == [(2 * count, 2 * count, 2 * count)]
    assert store.sql("select count(*) from v_events where session_id = 't'").fetchall() == [(compacted,)]
    assert compacted > 1


def test_a_copy_that_fails_leaves_the_store_and_nothing_else(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything(filled)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compacting, "_force", fail)
    with pytest.raises(StoreError, match=rf"^cannot use the store {filled.path}: No space .*The disk is full"):
        filled.compact()
    monkeypatch.undo()
    assert everything(filled) == before
    filled.close()
    assert {each.name for each in filled.path.parent.iterdir()} == {"transcripts.duckdb", "transcripts.duckdb.line"}


def test_a_compact_in_pieces_gives_the_same_rows_and_says_how_many_are_copied(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.delete_session("b")
    before, seen = everything(filled), []
    monkeypatch.setattr(compacting, "ROWS_AT_ONCE", 4)
    filled.compact(progress=lambda done, total: seen.append((done, total)))
    assert everything(filled) == before
    tables = filled.sql("select table_name from duckdb_tables() where database_name = 'store' order by all").fetchall()
    sizes = [filled.sql(f"select count(*) from {table}").fetchall()[0][0] for (table,) in tables]
    copied = [done for done, _ in seen]
    assert {total for _, total in seen} == {sum(sizes)}
    assert set(accumulate(sizes)) - {0} <= set(copied), "each table whole before the next one"
    assert max(after - before for before, after in pairwise([0, *copied])) <= 4
    assert copied == sorted(copied)


def test_a_store_is_compacted_whatever_its_name_is(tmp_path: Path, empty_store: Path) -> None:
    shutil.copy(empty_store, tmp_path / "it's.duckdb")
    store = open_store(tmp_path / "it's.duckdb")
    fill(store, "a")
    before = everything(store)
    store.compact()
    assert everything(store) == before
    store.close()
    assert {each.name for each in tmp_path.iterdir()} == {"it's.duckdb", "it's.duckdb.line"}


def test_a_copy_that_lacks_rows_is_not_used(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before, count = everything(filled), compacting._count
    short = ("fresh.steps", "fresh.turns")
    monkeypatch.setattr(compacting, "_count", lambda connection, table: count(connection, table) - (table in short))
    with pytest.raises(StoreError, match=r"lacks rows of steps, turns; the store was not changed"):
        filled.compact()
    assert everything(filled) == before
    assert {each.name for each in filled.path.parent.iterdir()} <= {
        *("transcripts.duckdb", "transcripts.duckdb.line", "transcripts.duckdb.tmp", "transcripts.duckdb.wal")
    }


@pytest.fixture
def swapping(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Puts a file in the place of `old`, beside an attached database."""
    with duckdb.connect() as connection:
        connection.execute("attach ':memory:' as store")
        (tmp_path / "old").write_text("old")
        (tmp_path / "old").chmod(0o640)
        (tmp_path / "fresh").mkdir()
        (tmp_path / "fresh" / "old").write_text("new")
        yield lambda name: compacting._swap(connection, tmp_path / "fresh" / "old", tmp_path / name)


def test_a_store_whose_log_is_still_needed_is_not_replaced(swapping: Callable[[str], None], tmp_path: Path) -> None:
    log = tmp_path / "old.wal"
    log.write_text("x")
    with pytest.raises(StoreError, match=r"old\.wal is still needed, so .*old was not changed"):
        swapping("old")
    assert (tmp_path / "old").read_text() == "old"
    log.write_text("")
    swapping("old")
    assert (tmp_path / "old").read_text() == "new"


def test_a_new_file_is_on_disk_before_it_replaces_the_old_one(
    swapping: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: list[tuple[str, str]] = []

    def note_it(file: int) -> None:
        forced.append((str(Path(f"/proc/self/fd/{file}").readlink()), (tmp_path / "old").read_text()))

    files = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(os, "fsync", note_it)
    swapping("old")
    assert forced == [(str(tmp_path / "fresh" / "old"), "old"), (str(tmp_path), "new")]
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o640
    assert len(list(Path("/proc/self/fd").iterdir())) == files
