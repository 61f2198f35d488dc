"""A session's journal on a real store, without a session: committed first, then shown, each once and in order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from session_widgets._sessions import journal as module
from session_widgets._sessions.journal import Journal, draft, kernel, next_number, note
from session_widgets._store import store as open_store
from session_widgets._store.database import Store
from session_widgets.errors import StoreBusy, StoreError
from session_widgets.transcript.notes import FilesDropped
from session_widgets.transcript.records import Event
from tests.support.forked import Forked
from tests.support.waiting import until_async


@pytest.fixture
async def store(tmp_path) -> AsyncIterator[Store]:
    opened = open_store(tmp_path / "t.duckdb")
    yield opened
    opened.close()


class Seen:
    """What a subscriber was handed."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __call__(self, events: list[Event]) -> None:
        self.batches.append([event.seq for event in events])

    @property
    def seqs(self) -> list[int]:
        return [seq for batch in self.batches for seq in batch]


def notes(count: int) -> list:
    return [draft("note", "title", {"n": number}, None) for number in range(count)]


async def test_what_is_committed_is_stored_when_it_is_shown(store: Store) -> None:
    stored: list[int] = []
    journal = Journal(store, "s", 0, lambda events: stored.append(len(store.events("s"))))
    written = await journal.commit(notes(3))
    assert [event.seq for event in written] == [1, 2, 3]
    assert stored == [3]
    assert journal.cursor == 3
    again = draft("note", "end", {}, None, source="turn:1:end")
    assert len(await journal.commit([again])) == 1
    assert await journal.commit([again]) == [], "a note with a name of its own exists once"
    assert stored == [3, 4]


async def test_what_others_write_is_shown_in_its_place(store: Store) -> None:
    one_saw, two_saw = Seen(), Seen()
    one, two = Journal(store, "s", 0, one_saw), Journal(store, "s", 0, two_saw)
    await one.commit(notes(2))
    await two.commit(notes(2))
    assert two_saw.batches == [[1, 2, 3, 4]], "by way of the store, for others had written in between"
    await one.catch_up()
    await one.catch_up()
    assert one_saw.seqs == [1, 2, 3, 4]
    await one.publish(store.append("s", notes(1)))
    assert one_saw.batches[-1] == [5]


async def test_a_page_that_is_full_is_not_the_last(store: Store, monkeypatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    store.append("s", notes(5))
    seen = Seen()
    await Journal(store, "s", 0, seen).catch_up()
    assert seen.batches == [[1, 2], [3, 4], [5]]


async def test_a_subscriber_gets_all_after_its_place_then_what_is_new(store: Store, monkeypatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    journal = Journal(store, "s", 0, Seen())
    await journal.commit(notes(5))
    late, early = Seen(), Seen()
    await journal.watch(late, 3)
    await journal.watch(early, 0)
    await journal.commit(notes(1))
    assert late.seqs == [4, 5, 6]
    assert early.seqs == [1, 2, 3, 4, 5, 6]
    assert early.batches[0] == [1, 2]
    journal.unwatch(late)
    journal.unwatch(late)
    await journal.commit(notes(1))
    assert (late.seqs[-1], early.seqs[-1]) == (6, 7)
    journal.close()
    await journal.commit(notes(1))
    assert early.seqs[-1] == 7


async def test_what_was_not_published_yet_is_not_handed_out_before(store: Store) -> None:
    journal, first, second = Journal(store, "s", 0, Seen()), Seen(), Seen()
    await journal.commit(notes(2))
    store.append("s", notes(2))
    await journal.watch(first, 0)
    await journal.watch(second, 1)
    assert (first.batches, second.batches) == ([[1, 2]], [[2]])
    await journal.catch_up()
    assert (first.batches, second.batches) == ([[1, 2], [3, 4]], [[2], [3, 4]]), "each once"


async def test_what_is_committed_in_its_turn_is_not_read_again(store: Store, monkeypatch) -> None:
    journal, seen = Journal(store, "s", 0, Seen()), Seen()
    await journal.watch(seen, 0)
    with monkeypatch.context() as patch:
        patch.setattr(store, "events", lambda *_: pytest.fail("the store is asked"))
        await journal.commit(notes(2))
        await journal.watch(Seen(), 2)
    assert seen.batches == [[1, 2]]


ENDING = """
import asyncio
import concurrent.futures.thread as pools
from session_widgets._sessions import journal
from session_widgets._store import store

async def end():
    journal.TAIL_SECONDS = 0.01
    mine = journal.Journal(store(), "s", 0, print)
    await mine.watch(print, 0)
    pools._shutdown = True  # as the interpreter's end does
    await asyncio.wait_for(mine._tail, 10)

asyncio.run(end())
"""


def test_a_program_that_ends_says_nothing_about_events_it_could_not_read(forked, home) -> None:
    done = forked.python(ENDING)
    assert (done.returncode, done.stderr) == (0, "")


async def test_a_subscriber_of_a_deleted_session_gets_later_events(store: Store) -> None:
    journal, seen = Journal(store, "s", 5, Seen()), Seen()
    await journal.watch(seen, 0)
    (event,) = store.append("s", notes(1))
    await journal.publish([replace(event, seq=6)])
    assert seen.seqs == [6]


async def test_the_caller_gets_the_original_error(store: Store) -> None:
    def fail() -> None:
        raise StoreError("oh")

    with pytest.raises(StoreError, match="oh"):
        await Journal(store, "s", 0, Seen(), lambda _: True).ask(fail)


async def test_a_failing_subscriber_stops_no_other(store: Store, caplog) -> None:
    journal, seen = Journal(store, "s", 0, Seen()), Seen()

    def fail(_: list[Event]) -> None:
        raise RuntimeError("broken viewer")

    await journal.watch(fail, 0)
    await journal.watch(seen, 0)
    await journal.commit(notes(2))
    await journal.commit(notes(1))
    assert seen.seqs == [1, 2, 3]
    assert [record.getMessage() for record in caplog.records] == ["a subscriber of session s failed"] * 2
    assert "broken viewer" in caplog.text
    journal.close()


@pytest.mark.parametrize("error", [StoreError("for a moment"), RuntimeError("for a moment")])
async def test_what_others_write_is_noticed_while_nothing_happens_here(
    store: Store, monkeypatch, caplog, error: Exception
) -> None:
    monkeypatch.setattr(module, "TAIL_SECONDS", 0.01)
    journal, seen = Journal(store, "s", 0, Seen()), Seen()
    await journal.watch(seen, 0)
    store.append("s", notes(1))
    await until_async(lambda: seen.seqs == [1], what="the event")
    with monkeypatch.context() as patch:
        broken = threading.Event()

        def fail(*_: object) -> list[Event]:
            broken.set()
            raise error

        patch.setattr(store, "events", fail)
        await until_async(broken.is_set, what="a failure")
    store.append("s", notes(1))
    await until_async(lambda: seen.seqs == [1, 2], what="the next one")
    told = {record.getMessage() for record in caplog.records if record.name == "session_widgets"}
    assert told == {"could not read new events of session s; trying again"}
    journal.unwatch(seen)
    assert journal._tail is not None
    await asyncio.wait_for(journal._tail, 5)
    await journal.watch(seen, 2)
    store.append("s", notes(1))
    await until_async(lambda: seen.seqs == [1, 2, 3], what="the tail again")
    store.close()
    await asyncio.wait_for(journal._tail, 5)


async def test_a_program_that_ends_reads_no_more_and_says_nothing(store: Store, monkeypatch, caplog) -> None:
    monkeypatch.setattr(module, "TAIL_SECONDS", 0.01)
    journal, seen = Journal(store, "s", 0, Seen()), Seen()
    await journal.watch(seen, 0)

    def fail(*_: object) -> list[Event]:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr(store, "events", fail)
    store.append("s", notes(1))
    assert journal._tail is not None
    await asyncio.wait_for(journal._tail, 5)
    assert caplog.records == []
    journal.close()


async def test_an_abandoned_commit_is_made(store: Store) -> None:
    journal = Journal(store, "s", 0, Seen())
    waiting = asyncio.ensure_future(journal.commit(notes(1)))
    await asyncio.sleep(0)
    waiting.cancel()
    await until_async(lambda: journal.cursor == 1, what="the commit")
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_patience_decides_whether_a_busy_store_is_waited_for(store: Store) -> None:
    asked: list[StoreBusy | None] = []
    answers = iter([True, True, False])

    def patience(busy: StoreBusy | None) -> bool:
        asked.append(busy)
        return busy is None or next(answers)

    journal, left = Journal(store, "s", 0, Seen(), patience), [2]

    def work(what: str, *, more: str) -> str:
        if left[0]:
            left[0] -= 1
            raise StoreBusy("held", pid=1)
        return what + more

    assert await journal.ask(work, "a", more="b") == "ab"
    assert [busy is None for busy in asked] == [False, False, True], "and it reports the end of the wait"
    assert await journal.ask(work, "a", more="c") == "ac"
    assert len(asked) == 3, "a caller that did not wait gets no report"
    left[0] = 1
    with pytest.raises(StoreBusy):
        await journal.ask(work, "a", more="b")
    left[0] = 1
    with pytest.raises(StoreBusy):
        await Journal(store, "s", 0, Seen()).ask(work, "a", more="b")


def test_a_forked_process_writes_under_a_name_of_its_own(forked: Forked) -> None:
    """With the name of the process it came from, its notes would be taken for notes that are stored already."""
    name = "from session_widgets._sessions.journal import kernel; print(kernel(), kernel())"
    said = [forked.python(name).stdout.split() for _ in range(2)]
    assert [len(set(names)) for names in said] == [1, 1]
    assert said[0] != said[1]


def test_drafts_have_names_that_no_other_has() -> None:
    one, two = draft("note", "k", {"a": 1}, None), draft("note", "k", {"a": 1}, 3)
    assert (one.source, one.direction, one.payload, one.turn, two.turn) == (kernel(), "note", '{"a":1}', None, 3)
    assert two.source_seq > one.source_seq
    assert next_number() > two.source_seq
    named = draft("out", "request", {}, 1, method="session/prompt", source="turn:1:prompt", source_seq=2)
    assert (named.source, named.source_seq, named.method, named.kind) == (
        "turn:1:prompt",
        2,
        "session/prompt",
        "request",
    )
    assert draft("note", "k", {}, None, source="turn:1:end").source_seq == 1
    assert named.ts.tzinfo is not None


def test_a_note_belongs_to_this_process_or_exists_once_under_its_name() -> None:
    said = note(FilesDropped(snapshots=("a",)), turn=3)
    assert (said.direction, said.kind, said.payload, said.turn) == ("note", "files_dropped", '{"snapshots":["a"]}', 3)
    assert said.source == kernel()
    named = note(FilesDropped(snapshots=()), source="drop:1")
    assert (named.source, named.source_seq, named.turn) == ("drop:1", 1, None)
