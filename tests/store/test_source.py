"""A stored session as a source of events."""

from __future__ import annotations

import pytest

from session_widgets._store import source as module
from session_widgets._store.database import Store
from session_widgets._store.source import StoredSession
from session_widgets.errors import SessionGone
from session_widgets.transcript.records import Event
from tests.store.importing.claude import story
from tests.support.drafts import chunk, opened


@pytest.fixture(params=["live", "imported"])
def source(request: pytest.FixtureRequest, store: Store) -> StoredSession:
    if request.param == "live":
        store.append("s", [opened(), *(chunk(number) for number in range(1, 8))])
        return store.source("s")
    log = store.path.with_name("a.jsonl")
    log.write_text(str(story()))
    (imported,) = store.import_(log).sessions
    return store.source(imported)


def test_events_are_read_after_a_place_and_up_to_a_number(source: StoredSession) -> None:
    every = source.events()
    assert [event.seq for event in every] == list(range(1, len(every) + 1))
    assert len(every) > 5
    assert {event.session_id for event in every} == {source.record.id}
    assert source.events(2) == every[2:]
    assert source.events(2, 2) == source.events(after=2, limit=2) == every[2:4]
    assert source.events(1, 0) == source.events(len(every)) == []
    assert source.live is False


def test_a_subscriber_gets_all_in_pages_before_the_call_returns(
    source: StoredSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    every = source.events()
    for after in (0, 1, len(every)):
        pages: list[list[Event]] = []
        source.subscribe(pages.append, after)()
        assert [event for page in pages for event in page] == every[after:]
        assert all(len(page) == 3 for page in pages[:-1])
    first: list[list[Event]] = []
    source.subscribe(first.append)
    assert first[0] == every[:3]


def test_the_events_of_an_import_are_made_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    log = store.path.with_name("a.jsonl")
    log.write_text(str(story()))
    (imported,) = store.import_(log).sessions
    source = store.source(imported)
    every = source.events()
    monkeypatch.setattr(module, "events_of", lambda *_: pytest.fail("they are there"))
    assert source.events() == every


def test_a_session_without_events_has_no_source(store: Store) -> None:
    with pytest.raises(SessionGone) as caught:
        store.source("never")
    assert str(caught.value) == "the store holds no session 'never'. Its sessions are store().sessions()."
