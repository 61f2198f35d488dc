"""Derived rows: the same however the events came, and the same again from raw."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from session_widgets._store.database import Store
from session_widgets.transcript.fold import Fold
from session_widgets.transcript.records import Draft
from tests.store.made_up import made_up
from tests.support.acp_captures import drafts as recorded
from tests.support.acp_captures import scenarios
from tests.support.drafts import chunk, derived, note, opened, update
from tests.support.paths import CAPTURES, shared

pytestmark = pytest.mark.slow

FEW = ("claude-rich", "codex-cancel", "gemini-basic")


def captures(root: Path) -> dict[str, list[Draft]]:
    """Recorded sessions by name: all below a directory, of our own fixtures a few."""
    return {
        f"{path.parent.name}-{path.stem}-{name}": recorded(lines)
        for path in sorted(root.rglob("*.ndjson"))
        if root != CAPTURES or path.stem in FEW
        for name, lines in scenarios(path).items()
    }


def pieces(drafts: list[Draft], chance: random.Random, longest: int) -> list[list[Draft]]:
    """The same drafts in batches of random length."""
    cut, start = [], 0
    while start < len(drafts):
        length = chance.randint(1, longest)
        cut.append(drafts[start : start + length])
        start += length
    return cut


def fill(stores: list[Store], sessions: dict[str, list[Draft]], seed: int, longest: int) -> None:
    chance = random.Random(seed)
    for name, drafts in sessions.items():
        for batch in pieces(drafts, chance, longest):
            chance.choice(stores).append(name, batch)


def test_any_split_and_two_writers_and_rebuild_give_the_same_rows(tmp_path: Path) -> None:
    sessions = captures(CAPTURES)
    whole, split, first = (Store(tmp_path / f"{name}.duckdb") for name in ("whole", "split", "shared"))
    second = Store(first.path)
    try:
        fill([whole], sessions, 0, 10_000)
        fill([split], sessions, 1, 3)
        fill([first, second], sessions, 2, 9)
        expected = derived(whole)
        assert all(expected.values()), "every table has rows"
        assert derived(split) == expected
        assert derived(first) == expected
        second.rebuild()
        assert derived(first) == expected
    finally:
        for each in (whole, split, first, second):
            each.close()


@pytest.mark.parametrize("seed", range(3))
def test_any_split_of_a_made_up_session_gives_the_rows_of_a_rebuild_at_every_moment(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    sessions = {f"s{number}": made_up(chance, 90) for number in range(2)}
    whole, split = (Store(tmp_path / f"{name}.duckdb") for name in ("whole", "split"))
    second = Store(split.path)
    try:
        fill([whole], sessions, seed, 10_000)
        for name, drafts in sessions.items():
            for batch in pieces(drafts, chance, 9):
                chance.choice([split, second]).append(name, batch)
                if chance.random() < 0.15:
                    before = derived(split)
                    chance.choice([split, second]).rebuild(name)
                    assert derived(split) == before
        assert derived(split) == derived(whole)
        for name, drafts in sessions.items():
            fold = Fold(name)
            for event in split.events(name):
                fold.feed(event)
            assert len(drafts) == split.last_seq(name)
            assert split.turns(name) == [fold.turn(turn) for turn in fold.turns]
            assert tuple(split.steps(name)) == fold.steps
    finally:
        for each in (whole, split, second):
            each.close()


def test_every_capture_rebuilds_to_equal_rows(store: Store) -> None:
    sessions = captures(shared("contracts/acp-captures"))
    fill([store], sessions, 3, 10_000)
    before = derived(store)
    store.rebuild()
    assert derived(store) == before
    name = next(iter(sessions))
    store.rebuild(name)
    assert derived(store) == before


def test_rebuild_repairs_what_was_damaged(store: Store) -> None:
    fill([store], captures(CAPTURES), 4, 50)
    before = derived(store)
    with store._file.transaction() as connection:
        for table in before:
            connection.execute(f"delete from store.{table} where random() < 0.5")
        connection.execute("insert into store.file_changes values ('ghost', 1, 'p', 'created', 1)")
    assert derived(store) != before
    store.rebuild()
    assert derived(store) == before


def test_typed_reads_equal_the_fold_at_every_moment(store: Store) -> None:
    for name, drafts in captures(CAPTURES).items():
        fold = Fold(name)
        for batch in pieces(drafts, random.Random(name), 5):
            for event in store.append(name, batch):
                fold.feed(event)
            assert tuple(store.steps(name)) == fold.steps
            assert store.turns(name) == [fold.turn(turn) for turn in fold.turns]
            assert store.session(name) == fold.session()
        assert store.steps(name, 1) == [step for step in fold.steps if step.turn == 1]


def started(number: int, turn: int) -> Draft:
    return note("turn_started", number, turn=turn, prompt=[{"type": "text", "text": "go"}])


def test_a_streaming_text_is_written_once_at_its_end(store: Store) -> None:
    store.append("s", [opened(), started(2, 1)])
    for number in range(1, 6):
        store.append("s", [chunk(number)])
    assert store.sql("select count(*) from v_steps where kind = 'message'").fetchall() == [(0,)]
    assert store.steps("s")[1].text == "xxxxx"
    store.append("s", [note("turn_ended", 3, turn=1, status="completed")])
    assert store.sql("select text, status from v_steps where kind = 'message'").fetchall() == [("xxxxx", "completed")]
    assert store.turns("s")[0].text == "xxxxx"


def test_a_running_tool_call_is_there_from_its_first_moment(store: Store) -> None:
    store.append("s", [opened(), started(2, 1)])
    states: list[Any] = []
    for number, status in enumerate(("pending", "in_progress", "completed"), 1):
        store.append("s", [update("tool_call_update", number, toolCallId="t", status=status, title=f"at {status}")])
        states += store.sql("select status, title from v_tool_calls").fetchall()
    assert states == [(status, f"at {status}") for status in ("pending", "in_progress", "completed")]


def test_late_events_of_an_old_turn_land_there(store: Store) -> None:
    first = [opened(), started(2, 1), update("tool_call", 1, toolCallId="t", status="in_progress")]
    first += [note("turn_ended", 3, turn=1, status="cancelled"), started(4, 2), chunk(2, turn=2)]
    store.append("s", first)
    store.append("s", [note("turn_ended", 5, turn=2, status="completed"), started(6, 3)])
    store.append("s", [update("tool_call_update", 3, toolCallId="t", status="completed"), chunk(4, "late")])
    steps = store.steps("s", 1)
    assert [(step.kind, step.status, step.text) for step in steps[1:]] == [
        ("tool_call", "completed", None),
        ("message", "completed", "late"),
    ]
    store.append("s", [update("tool_call", 5, turn=9, toolCallId="odd"), chunk(6, turn=7)])
    before = derived(store)
    store.rebuild()
    assert derived(store) == before


def test_tokens_stand_once_in_llm_calls(store: Store) -> None:
    usage = {"inputTokens": 5, "outputTokens": 7}
    answer = Draft(
        "in",
        "response",
        '{"result": {"stopReason": "end_turn", "usage": {"inputTokens": 5, "outputTokens": 7}}}',
        "c1",
        1,
        1,
        opened().ts,
        "session/prompt",
    )
    agent = note("agent_started", 9, connection="c1", models={"currentModelId": "m"})
    store.append("s", [opened(model="wanted"), agent, started(2, 1), answer])
    store.append("s", [note("turn_ended", 3, turn=1, status="completed")])
    store.append("s", [note("turn_ended", 4, turn=1, status="completed", usage=usage)])
    store.append("s", [started(5, 2), note("turn_ended", 6, turn=2, status="completed")])
    rows = store.sql("select llm_call_id, model, input_tokens, output_tokens, thought_tokens from llm_calls").fetchall()
    assert rows == [("s/1", "m", 5, 7, None)], "a turn whose tokens nobody counted has no row"
    assert store.sql("select input_tokens, cost from v_turns order by turn").fetchall() == [(5, None), (None, None)]


def test_steps_of_a_subagent_are_stored_under_its_step(store: Store) -> None:
    def of(number: int, session_id: str, kind: str, **fields: Any) -> Draft:
        said = update(kind, number, **fields)
        params = {"sessionId": session_id, "update": {"sessionUpdate": kind, **fields}}
        return replace(said, payload=json.dumps({"method": "session/update", "params": params}))

    agent = note("agent_started", 2, connection="c1", agent_session_id="main")
    child = {"sessionId": "child", "title": "Tests"}
    store.append("s", [opened(), agent, started(3, 1)])
    store.append("s", [of(4, "main", "subagent_update", **child, state={"state": "running"})])
    store.append(
        "s", [of(5, "child", "tool_call", toolCallId="t", title="write", name="write_file", status="completed")]
    )
    ended = {"state": "idle", "stopReason": "end_turn", "usage": {"totalTokens": 7}}
    store.append("s", [of(6, "main", "subagent_update", **child, state=ended), of(7, "main", "notice", title="Done")])
    running = store.steps("s")
    store.append("s", [note("turn_ended", 8, turn=1, status="completed")])
    assert store.steps("s") == running
    query = "select step, kind, parent, tool_name, raw_output ->> '$.usage.total_tokens' from v_steps order by step"
    assert store.sql(query).fetchall() == [
        (0, "user", None, None, None),
        (1, "subagent", None, None, "7"),
        (2, "tool_call", 1, "write_file", None),
        (3, "notice", None, None, None),
    ]
    assert store.sql("select total_tokens from v_turns").fetchall() == [(None,)]
