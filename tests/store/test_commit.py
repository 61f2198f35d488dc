"""State after a failed commit, and the time that the file stays attached: threads, no process."""

from __future__ import annotations

import time
from collections.abc import Callable

import duckdb
import pytest

from session_widgets._store import append, connection, queries
from session_widgets._store.database import Store
from session_widgets._store.file_queue import FileQueue
from session_widgets.errors import StoreError
from tests.support.drafts import OWNER, TS, chunk, derived, note, opened
from tests.support.waiting import until

pytestmark = pytest.mark.slow


def begun(session: str) -> list:
    return [opened(), note("turn_started", 2, turn=1, prompt=[], owner=OWNER)]


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ("turns", KeyboardInterrupt()),
        ("steps", duckdb.IOException("No space left on device")),
        ("file_changes", RuntimeError("x")),
    ],
)
def test_a_commit_that_fails_in_the_middle_was_never_there(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: BaseException, table: str
) -> None:
    store.append("s", [*begun("s"), chunk(1, "kept ")])
    before, real = derived(store), queries.write

    def fail(connection: queries.Connection, name: str, *rest: object) -> None:
        real(connection, name, *rest)  # type: ignore[arg-type]
        if name == table:
            raise error

    ended = [chunk(2, "lost"), note("turn_ended", 3, turn=1, status="completed", files=[])]
    with monkeypatch.context() as patch:
        patch.setattr(queries, "write", fail)
        expected = StoreError if isinstance(error, duckdb.Error) else type(error)
        with pytest.raises(expected):
            store.append("s", ended)
    assert derived(store) == before
    assert len(store.events("s")) == 3
    assert [event.seq for event in store.append("s", ended)] == [4, 5]
    assert store.turns("s")[0].text == "kept lost"
    live = derived(store)
    store.rebuild()
    assert derived(store) == live


def test_a_start_that_fails_leaves_no_turn_behind(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append("s", [opened()])
    with monkeypatch.context() as patch:
        patch.setattr(queries, "write", lambda *_: (_ for _ in ()).throw(duckdb.IOException("gone")))
        with pytest.raises(StoreError, match="gone"):
            store.start_turn("s", [], owner=OWNER, source="k", source_seq=1, ts=TS)
    assert store.turns("s") == []
    turn, events = store.start_turn("s", [], owner=OWNER, source="k", source_seq=1, ts=TS)
    assert (turn.index, [event.seq for event in events]) == (1, [2])


STARTED = {"owner": OWNER, "source": "k", "source_seq": 1, "ts": TS}


@pytest.mark.parametrize(
    "begin",
    [
        lambda store: store.append("s", [note("turn_started", 2, turn=1, prompt=[])]),
        lambda store: store.start_turn("s", [], **STARTED),
    ],
)
def test_what_failed_is_forgotten_even_if_another_process_wrote_as_many_events(
    store: Store, monkeypatch: pytest.MonkeyPatch, begin: Callable[[Store], object]
) -> None:
    store.append("s", [opened()])
    with monkeypatch.context() as patch:
        patch.setattr(queries, "write", lambda *_: (_ for _ in ()).throw(duckdb.IOException("gone")))
        with pytest.raises(StoreError, match="gone"):
            begin(store)
    other = Store(store.path)
    other.append("s", [note("title", 1, source="other", title="theirs")])
    other.close()
    turn, events = store.start_turn("s", [], **STARTED)
    assert (turn.index, [event.seq for event in events]) == (1, [3])
    live = derived(store)
    store.rebuild()
    assert derived(store) == live


def test_sessions_that_are_not_in_memory_any_more_are_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(append, "SESSIONS_IN_MEMORY", 2)
    names = ["a", "b", "c", "d"]
    for name in names:
        store.append(name, begun(name))
    for number in range(1, 6):
        for name in names:
            assert [event.seq for event in store.append(name, [chunk(number, f"{name}{number} ")])] == [number + 2]
            assert len(store._ledger._live) <= 2
    for name in names:
        store.append(name, [note("turn_ended", 3, turn=1, status="completed", files=[])])
        assert store.turns(name)[0].text == "".join(f"{name}{number} " for number in range(1, 6))
    live = derived(store)
    store.rebuild()
    assert derived(store) == live


def test_the_session_that_was_used_last_stays_in_memory(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(append, "SESSIONS_IN_MEMORY", 2)
    for name in ("a", "b", "a", "c"):
        store.append(name, [chunk(1, source=f"{name}{time.monotonic()}")])
    assert set(store._ledger._live) == {"a", "c"}


@pytest.fixture
def kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Whether the file is attached; it stays so for half a minute if nothing else ends that."""
    monkeypatch.setattr(connection, "LINGER", 30.0)
    return lambda: store._file._attached


def test_the_file_stays_attached_until_another_process_waits(store: Store, kept: Callable[[], bool]) -> None:
    store.append("s", [opened()])
    first = store._file.attachment
    store.append("s", [chunk(1)])
    assert kept()
    assert store._file.attachment == first, "two commits, attached once"
    line = FileQueue(store.path)
    assert line.enter(time.monotonic() + 5)
    until(lambda: not kept(), what="the file being let go")
    line.leave()
    store.append("s", [chunk(2)])
    assert store._file.attachment == first + 1


def test_commits_without_a_pause_detach_after_their_share(
    store: Store, kept: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store._file, "_keep_watch", lambda: None)
    monkeypatch.setattr(connection, "SHARE", 30.0)
    store.append("s", [opened()])
    line = FileQueue(store.path)
    assert line.enter(time.monotonic() + 5)
    store.append("s", [chunk(1)])
    assert kept(), "not yet"
    monkeypatch.setattr(connection, "SHARE", 0.0)
    store.append("s", [chunk(2)])
    assert not kept()
    line.leave()


def test_the_file_is_detached_without_a_next_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LINGER", 0.01)
    for number in (1, 2):
        store.append("s", [chunk(number)])
        until(lambda: not store._file._attached, what="the file being let go")
    with store._file.alone(), duckdb.connect(str(store.path), read_only=True) as other:
        assert other.execute("select count(*) from events").fetchall() == [(2,)]
