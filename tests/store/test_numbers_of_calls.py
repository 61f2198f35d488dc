"""Tool calls, waits and errors in the views: what counts as work, and what as a failure."""

from __future__ import annotations

import pytest

from session_widgets._store.database import Store
from tests.store.story import Story
from tests.support.acp_captures import drafts as recorded
from tests.support.acp_captures import scenarios
from tests.support.drafts import chunk, update
from tests.support.paths import CAPTURES, shared

pytestmark = pytest.mark.slow


def test_waiting_for_a_person_is_no_work(store: Store) -> None:
    story = Story(store)
    story.agent("c1")
    story.begin(1)  # second 3
    story.ask(1, 0, "one")  # 4
    story.ask(1, 1, "two")  # 5
    story.ask(1, 2, "one")  # 6
    story.decide(1, "c1/0", "y")  # 7
    story.decide(1, "c1/2", "y")  # 8: "one" waited from 4 to 8
    story.decide(1, "c1/1", "n")  # 9: "two" from 5 to 9
    story.add(update("tool_call_update", 0, toolCallId="one", status="completed"))  # 10
    story.add(update("tool_call", 0, toolCallId="free", status="completed"))  # 11
    story.ask(1, 0, "open")  # 12
    story.end(1)  # 13
    assert story.rows("select tool_call_id, seconds, waited_s, run_s from v_tool_calls order by step") == [
        ("one", 6, 4, 2),
        ("two", 4, 4, 0),
        ("free", 0, 0, 0),
        ("open", 1, 1, 0),
    ]
    assert story.rows("select seconds, waited_s, run_s from v_turns") == [(10, 6, 4)]
    assert story.rows("select waited_s from v_steps where kind = 'user'") == [(None,)]


def test_waiting_for_the_answer_to_a_question_is_no_work_either(store: Store) -> None:
    story = Story(store)
    story.agent("c1")
    story.begin(1)  # second 3
    story.envelope("in", "elicitation/create", "request", 1, id=7, params={"message": "Which?"})  # 4
    story.ask(1, 8, "asked meanwhile")  # 5
    story.note("question_answered", 1, request_id="c1/7", action="accept")  # 6
    story.note("question_answered", 1, request_id="c1/7", action="accept")  # 7
    story.decide(1, "c1/8", "y")  # 8
    story.envelope("in", "elicitation/create", "request", 1, id=9, params={"message": "And?"})  # 9
    story.end(1)  # 10
    assert story.rows("select kind, waited_s from v_steps where step > 0 order by step") == [
        ("question", 2),
        ("tool_call", 3),
        ("question", 1),
    ]
    assert story.rows("select seconds, waited_s, run_s from v_turns") == [(7, 5, 2)]


def test_a_rejected_call_has_not_failed(store: Store) -> None:
    for name in ("claude-reject", "codex-reject", "opencode-reject", "claude-rich"):
        (lines,) = scenarios(CAPTURES / f"{name}.ndjson").values()
        store.append(name, recorded(lines))
    query = """select session_id, status, failure, failed, permission_outcome from v_tool_calls
               where failure is not null order by all"""
    assert store.sql(query).fetchall() == [
        ("claude-reject", "failed", "rejected", False, "rejected"),
        ("claude-rich", "failed", "exit_code", True, "allowed"),
        ("codex-reject", "cancelled", "rejected", False, "rejected"),
        ("opencode-reject", "failed", "rejected", False, "rejected"),
    ]
    outcomes = store.sql("select outcome, option_kind from v_permissions order by all").fetchall()
    assert set(outcomes) == {("allowed", "allow_once"), ("rejected", "reject_once")}


def test_calls_that_their_turn_took_along_are_no_errors(store: Store) -> None:
    story = Story(store)
    story.agent("c1")
    story.begin(1)
    story.add(update("tool_call", 0, toolCallId="cut off", status="in_progress"))
    story.ask(1, 0, "denied")
    story.decide(1, "c1/0", None, by="policy:deny")
    story.ask(1, 1, "stopped")
    story.decide(1, "c1/1", None)
    story.end(1, "failed")
    assert story.rows("select tool_call_id, failure, failed, permission_outcome from v_tool_calls order by step") == [
        ("cut off", "interrupted", False, None),
        ("denied", "rejected", False, "rejected"),
        ("stopped", "interrupted", False, "cancelled"),
    ]


def test_what_fails_after_a_cancel_was_stopped(store: Store) -> None:
    story = Story(store)
    story.begin(1)
    story.add(update("tool_call", 0, toolCallId="before", status="failed"))
    story.envelope("out", "session/cancel", "notification", 1, params={})
    story.add(update("tool_call", 0, toolCallId="after", status="failed"))
    story.end(1, "cancelled")
    assert story.rows("select tool_call_id, failure from v_tool_calls order by step") == [
        ("before", "error"),
        ("after", "interrupted"),
    ]


@pytest.mark.parametrize(
    ("name", "exit_code"),
    [("claude", 3), ("codex", 3), ("codex-next", 3), ("opencode", 3), ("pi", 3), ("pi-next", 1)],
)
def test_the_same_command_reads_the_same_in_every_harness(store: Store, name: str, exit_code: int) -> None:
    lines = scenarios(shared(f"contracts/acp-captures/{name}.ndjson"))["rich"]
    store.append("s", recorded(lines))
    query = "select kind, command, exit_code, failure from v_tool_calls where title in ('bash', ?) or command = ?"
    script = "cat a.txt; echo oops >&2; exit 3"
    told = None if name == "pi-next" else script  # which tells it in the title alone
    assert store.sql(query, [script, script]).fetchall() == [("execute", told, exit_code, "exit_code")]


@pytest.mark.parametrize(
    ("capture", "outcomes"),
    [
        ("pi-error", ["no_answer", "completed"]),
        ("pi-next-error", ["no_answer", "completed"]),
        ("codex-next-error", ["model_error", "completed"]),
    ],
)
def test_a_model_that_failed_in_silence_is_no_success(store: Store, capture: str, outcomes: list[str]) -> None:
    (lines,) = scenarios(CAPTURES / f"{capture}.ndjson").values()
    store.append("s", recorded(lines))
    assert [word for (word,) in store.sql("select outcome from v_turns order by turn").fetchall()] == outcomes
    failures = store.sql("select failure, status from v_turns order by turn").fetchall()
    assert failures == [(outcomes[0], "completed"), (None, "completed")]


def test_an_id_that_is_used_again_names_another_request(store: Store) -> None:
    story = Story(store)
    story.agent("c1")
    for turn, option in ((1, "y"), (2, "n")):
        story.begin(turn)
        story.ask(turn, 0, f"t{turn}")
        story.decide(turn, "c1/0", option)
        if turn == 2:
            story.ask(turn, 0, "again")
            story.decide(turn, "c1/0", "y")
        story.end(turn)
    query = "select turn, request_id, outcome, step from v_permissions order by asked_seq"
    assert story.rows(query) == [
        (1, "c1/0", "allowed", 1),
        (2, "c1/0", "rejected", 1),
        (2, "c1/0", "allowed", 2),
    ]


def test_a_context_of_nothing_is_unknown_once_a_model_answered(store: Store) -> None:
    story = Story(store)
    story.begin(1)
    story.add(update("usage_update", 0, used=0, size=9))
    story.end(1)
    story.begin(2)
    story.add(update("usage_update", 0, turn=2, used=0, size=9))
    story.add(chunk(0, turn=2))
    story.end(2)
    assert story.rows("select context_used, context_size from v_turns order by turn") == [(0, 9), (None, 9)]
