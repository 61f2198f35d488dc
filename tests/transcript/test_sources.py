"""One fold for everybody: it may begin in the middle, and is made whole while events arrive."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from session_widgets.transcript.fold import Fold
from session_widgets.transcript.options import AgentOptions
from session_widgets.transcript.records import Event
from session_widgets.transcript.sources import Folded, SharedFold, shared_fold
from tests.support.acp_captures import events as recorded
from tests.support.acp_captures import scenarios
from tests.support.paths import CAPTURES


@pytest.fixture(params=["claude-rich", "codex-basic", "opencode-rich"])
def events(request: pytest.FixtureRequest) -> list[Event]:
    lines = [line for found in scenarios(CAPTURES / f"{request.param}.ndjson").values() for line in found]
    return recorded(lines)


def folded(events: list[Event]) -> Fold:
    fold = Fold("capture")
    for event in events:
        fold.feed(event)
    return fold


def begun_at(events: list[Event], after: int) -> SharedFold:
    """A fold of the rest, as a session has one that is opened again."""
    before = folded(events[:after])
    options, first_turn = AgentOptions.of(events[:after]), max(before.turns, default=0) + 1
    return SharedFold("capture", before.state, after=after, first_turn=first_turn, options=options)


def same(shared: SharedFold, events: list[Event]) -> None:
    whole = folded(events)
    assert shared.fold.steps == whole.steps
    assert [shared.fold.turn(turn) for turn in shared.fold.turns] == [whole.turn(turn) for turn in whole.turns]
    assert shared.fold.session() == whole.session()
    assert shared.options.config == AgentOptions.of(events).config


def test_it_is_made_whole_while_events_arrive(events: list[Event]) -> None:
    half, three_quarters = len(events) // 2, len(events) * 3 // 4
    shared = begun_at(events, half)
    shared.feed(events[half : three_quarters - 2])
    assert not shared.whole

    def read(after: int, limit: int) -> list[Event]:
        if after == 0:
            shared.feed(events[three_quarters - 2 : three_quarters])  # arrive while the past is read
        return events[after : after + 7]

    shared.complete(read)
    assert shared.whole
    same(shared, events[:three_quarters])
    shared.feed(events[three_quarters - 5 :])
    same(shared, events)
    shared.complete(lambda *_: pytest.fail("it is whole"))


def test_a_turn_is_folded_from_its_beginning(events: list[Event]) -> None:
    start = next(event.seq for event in events if event.kind == "turn_started")
    shared, state = begun_at(events, start + 3), folded(events[: start - 1]).state
    with shared.refold(state, start - 1, 1) as take:
        take(events[start - 1 :])
    assert shared.fold.steps_of(1) == folded(events[: start + 3]).steps_of(1)
    assert shared.last_seq == start + 3


def test_what_fails_in_between_changes_nothing(events: list[Event]) -> None:
    shared = begun_at(events, 5)
    with pytest.raises(OSError, match="held"):
        shared.complete(lambda *_: (_ for _ in ()).throw(OSError("held")))
    shared.feed(events[5:])
    assert shared.fold.session() == folded(events).session()
    assert not shared._refolds


def test_views_get_every_change_once_and_a_broken_one_affects_no_other(
    events: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    shared, got = SharedFold("capture"), list[Folded]()

    def broken(_: list[Folded]) -> None:
        raise RuntimeError("broken")

    shared.watch(broken)
    end = shared.watch(got.extend)
    shared.feed(events[:-2])
    shared.feed(events[:-1])
    assert [one.event for one in got] == events[:-1]
    fold = Fold("capture")
    assert [list(one.changes) for one in got] == [fold.feed(event) for event in events[:-1]]
    end()
    shared.feed(events)
    assert len(got) == len(events) - 1
    assert "a view of session capture failed" in caplog.text


def test_ended_turns_are_dropped_unless_it_is_whole(events: list[Event]) -> None:
    whole, part = SharedFold("capture"), begun_at(events, 1)
    for shared in (whole, part):
        shared.feed(events)
        shared.forget(1)
    assert 1 in whole.fold.turns
    assert 1 not in part.fold.turns
    late = events[-1]
    part.feed([Event("capture", late.seq + 1, 1, late.ts, "in", None, "agent_message_chunk", {})])
    assert 1 not in part.fold.turns, "what comes late concerns the session alone"


def test_a_source_without_a_fold_of_its_own_is_folded_once(events: list[Event]) -> None:
    class Source(SimpleNamespace):
        __hash__ = object.__hash__

        def subscribe(self, callback, after=0):
            self.subscribed.append(after)
            callback(events)
            return lambda: None

    source = Source(record=SimpleNamespace(id="capture"), live=False, subscribed=[])
    assert shared_fold(source) is shared_fold(source)
    assert source.subscribed == [0]
    same(shared_fold(source), events)
