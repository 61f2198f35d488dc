"""Tokens, costs, models, waiting times and failures in the views, on recorded and on faulty traffic."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from session_widgets.store.database import Store
from session_widgets.transcript.records import Draft
from tests.support.acp_captures import drafts as recorded
from tests.support.acp_captures import scenarios
from tests.support.drafts import TS, chunk, note, opened, update
from tests.support.paths import ROOT, shared

CAPTURES = Path(__file__).parent.parent / "fixtures" / "captures"
CLAUDE = {"name": "@zed-industries/claude-agent-acp", "version": "0.23.1"}
LATER_CLAUDE = {"name": "@agentclientprotocol/claude-agent-acp", "version": "0.80.0"}
OPTIONS = [
    {"optionId": "y", "name": "Yes", "kind": "allow_once"},
    {"optionId": "n", "name": "No", "kind": "reject_once"},
]


class Story:
    """A session, event by event, one second apart."""

    def __init__(self, store: Store, **facts: Any) -> None:
        self.store = store
        self.number = 0
        self.add(opened(**facts))

    def add(self, draft: Draft) -> None:
        self.number += 1
        moment = TS + timedelta(seconds=self.number)
        self.store.append("s", [replace(draft, source_seq=self.number, source="k", ts=moment)])

    def note(self, kind: str, turn: int | None = None, **fields: Any) -> None:
        self.add(note(kind, 0, turn=turn, **fields))

    def agent(self, connection: str, info: dict[str, str] = CLAUDE, session: str = "a1", **said: Any) -> None:
        self.note("agent_started", connection=connection, agent_session_id=session, agent_info=info, **said)

    def begin(self, turn: int) -> None:
        self.note("turn_started", turn, prompt=[{"type": "text", "text": "go"}])

    def end(self, turn: int, status: str = "completed") -> None:
        self.note("turn_ended", turn, status=status)

    def cost(self, turn: int | None, amount: float, currency: str = "USD", **more: Any) -> None:
        self.add(update("usage_update", 0, turn=turn, cost={"amount": amount, "currency": currency}, **more))

    def envelope(self, direction: Any, method: str, kind: str, turn: int | None, **body: Any) -> None:
        self.add(Draft(direction, kind, json.dumps(body), "", 0, turn, TS, method))

    def answer(self, turn: int, **usage: int) -> None:
        self.envelope("in", "session/prompt", "response", turn, id=1, result={"stopReason": "end_turn", "usage": usage})

    def ask(self, turn: int, rpc_id: object, tool: str) -> None:
        params = {"toolCall": {"toolCallId": tool, "title": tool}, "options": OPTIONS}
        self.envelope("in", "session/request_permission", "request", turn, id=rpc_id, params=params)

    def decide(self, turn: int, request_id: str, option: str | None, by: str = "user") -> None:
        outcome = "cancelled" if option is None else "selected"
        chosen = {"outcome": outcome, "option_id": option, "decided_by": by}
        self.note("permission_decision", turn, request_id=request_id, **chosen)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query, which are the same after everything was computed again."""
        found = self.store.sql(query).fetchall()
        self.store.rebuild()
        assert self.store.sql(query).fetchall() == found
        return found


def test_the_table_of_harnesses_says_what_recorded_traffic_holds(store: Store) -> None:
    page = (ROOT / "docs" / "transcripts.md").read_text().partition("## Reported usage")[2].partition("\n## ")[0]
    said = {}
    for line in page.splitlines():
        if line.startswith("| `"):
            name, tokens, cost, scope, _ = (cell.strip() for cell in line.strip("|").split("|"))
            said[name.strip("`")] = (tokens == "yes", cost == "yes", None if scope == "–" else scope)
    seen: dict[str, Any] = {}
    for path in sorted(CAPTURES.glob("*.ndjson")):
        if "-next-" not in path.stem:
            for name, lines in scenarios(path).items():
                store.append(f"{path.stem}-{name}", recorded(lines))
    query = """
        select split_part(session_id, '-', 1), bool_or(usage_quality in ('final', 'partial', 'placeholder')),
            bool_or(exists (select 1 from v_events e where e.session_id = t.session_id and kind = 'usage_update'
                            and payload ->> '$.params.update.cost.amount' is not null)),
            max(usage_scope),
            bool_and(usage_scope is not null or usage_remark is not null),
            bool_and(cost is not null or usage_remark is not null)
        from v_turns t group by 1"""
    for name, tokens, cost, scope, *explained in store.sql(query).fetchall():
        seen[name] = (tokens, cost, scope)
        assert explained == [True, True], name
    for name in ("claude", "gemini"):  # the scripted model behind them told no tokens: they reported 0, which is NULL
        seen[name] = (*seen[name][:2], "turn")
    del said["demo"]
    assert seen == said


@pytest.mark.parametrize(
    ("capture", "expected"),
    [
        ("qwen-basic", [(18_809, 55, "turn", "final"), (9_456, 9, "turn", "final"), (9_471, 9, "turn", "final")]),
        ("opencode-rich", [(2_721, 5, "call", "partial")]),
        ("opencode-reject", [(2_437, 23, "call", "partial"), (2_458, 6, "call", "final")]),
        ("copilot-basic", [(10_988, 46, "turn", "final"), (5_544, 9, "turn", "final")]),
        ("claude-rich", [(None, None, None, "placeholder")]),
        ("gemini-basic", [(None, None, None, "placeholder")]),
        ("codex-basic", [(None, None, None, "none")] * 3),
        ("pi-error", [(None, None, None, "none")] * 2),
    ],
)
def test_tokens_of_recorded_turns(store: Store, capture: str, expected: list[tuple[Any, ...]]) -> None:
    (lines,) = scenarios(CAPTURES / f"{capture}.ndjson").values()
    store.append("s", recorded(lines))
    query = "select input_tokens, output_tokens, usage_scope, usage_quality from v_turns order by turn"
    assert store.sql(query).fetchall() == expected
    counted = [row for row in expected if row[0] is not None]
    query = "select input_tokens, output_tokens, usage_scope, usage_quality from v_usage order by turn"
    assert [row for row in store.sql(query).fetchall() if row[0] is not None] == counted
    for turn in store.turns("s"):
        assert (turn.usage.remark is None) <= (turn.usage.input_tokens is not None and turn.usage.cost is not None)


@pytest.mark.parametrize(("info", "third"), [(CLAUDE, ".40"), (LATER_CLAUDE, ".121")])
def test_a_total_that_begins_again_with_each_process_counts_from_zero(store: Store, info: Any, third: str) -> None:
    story = Story(store)
    story.agent("c1", info)
    for turn, total in enumerate((0.2507, 0.2790, 0.40), 1):
        if turn == 3:
            story.note("agent_stopped", connection="c1", reason="ended")
            story.agent("c2", info)
        story.begin(turn)
        story.cost(turn, total)
        story.end(turn)
    assert story.rows("select cost from v_turns order by turn") == [
        (Decimal(".2507"),),
        (Decimal(".0283"),),
        (Decimal(third),),
    ]


def test_what_is_spent_in_no_turn_is_kept(store: Store) -> None:
    story = Story(store)
    story.agent("c1")
    story.begin(1)
    story.cost(1, 0.10)
    story.end(1)
    story.cost(None, 0.25)
    story.begin(2)
    story.cost(2, 0.30)
    story.end(2)
    story.cost(None, 0.31)
    assert story.rows("select turn, cost, usage_scope, harness from v_usage order by turn nulls last") == [
        (1, Decimal("0.1"), None, "demo"),
        (2, Decimal("0.05"), None, "demo"),
        (None, Decimal("0.16"), "session", "demo"),
    ]
    assert story.rows("select sum(cost) from v_usage") == [(Decimal("0.31"),)]


def test_a_late_cost_belongs_to_its_turn(store: Store) -> None:
    story = Story(store)
    story.agent("c1")
    story.begin(1)
    story.cost(1, 0.10)
    story.end(1)
    story.begin(2)
    story.end(2)
    story.cost(1, 0.15)
    expected = [(1, Decimal("0.15"))]
    assert story.rows("select turn, cost from v_usage where cost is not null order by turn") == expected
    assert story.rows("select turn, cost from v_turns where cost is not null order by turn") == expected


def test_a_process_that_begins_in_the_middle_takes_no_late_cost_for_one_outside(store: Store) -> None:
    story = Story(store)
    story.agent("c1")
    story.begin(1)
    story.end(1)
    story.begin(2)
    story.cost(1, 0.10)
    store._ledger.forget()  # as if another process went on: it reads from the running turn on
    story.cost(None, 0.15)
    assert story.rows("select turn, cost from v_usage order by turn nulls last") == [
        (1, Decimal("0.1")),
        (None, Decimal("0.05")),
    ]


def test_a_running_turn_has_the_tokens_of_the_calls_so_far(store: Store) -> None:
    story = Story(store)
    story.begin(1)
    for text in ("a", "", "b"):
        usage = {"usage": {"inputTokens": 5, "outputTokens": 1}}
        story.add(update("agent_message_chunk", 0, content={"type": "text", "text": text}, _meta=usage))
    assert story.rows("select input_tokens, output_tokens, usage_quality from v_turns") == [(15, 3, "partial")]


def test_currencies_are_never_added(store: Store) -> None:
    story = Story(store)
    story.agent("c1")
    story.begin(1)
    for amount, currency in ((0.10, "USD"), (0.25, "EUR"), (0.12, "USD")):
        story.cost(1, amount, currency)
    story.answer(1, inputTokens=5, outputTokens=7)
    story.end(1)
    assert story.rows("select cost, currency, usage_remark from v_turns") == [
        (None, None, "costs in EUR and USD are not added; v_usage has each")
    ]
    assert story.rows("select currency, cost, input_tokens from v_usage order by currency") == [
        ("EUR", Decimal("0.25"), 5),
        ("USD", Decimal("0.12"), None),
    ]


@pytest.mark.parametrize("totals", [(9e8, 8e8), (2e12,), (999_999_999.9999999, 0.5)])
def test_a_cost_out_of_range_fails_nothing(store: Store, totals: tuple[float, ...]) -> None:
    story = Story(store)
    story.agent("c1", LATER_CLAUDE)
    story.begin(1)
    for total in totals:
        story.cost(1, total)
    story.end(1)
    ((status, cost, currency, remark),) = story.rows("select status, cost, currency, usage_remark from v_turns")
    assert (status, cost, currency) == ("completed", None, "USD")
    assert "more than is kept" in remark
    assert story.rows("select cost, currency from v_usage") == [(None, "USD")]
    story.cost(None, 5e12)
    assert story.rows("select cost from v_usage where turn is null") == [(None,)]


def test_tokens_out_of_range_fail_nothing(store: Store) -> None:
    story = Story(store)
    story.begin(1)
    for number in (1, 2):
        usage = {"usage": {"inputTokens": 2**62 + number, "outputTokens": 1}}
        story.add(update("agent_message_chunk", 0, content={"type": "text", "text": "x"}, _meta=usage))
    story.end(1)
    assert story.rows("select input_tokens, output_tokens, status from v_turns") == [(None, 2, "completed")]


def test_every_turn_has_the_model_and_the_harness_that_ran_it(store: Store) -> None:
    story = Story(store, harness="codex", model="wanted")
    option = {"id": "m", "category": "model", "currentValue": "one", "options": [{"value": "one"}, {"value": "two"}]}
    story.begin(1)
    story.agent("c1", config=[option], models={"currentModelId": "older way"})
    story.note("memory_restored", 1, tier="fresh")
    story.end(1)
    result = {"configOptions": [{**option, "currentValue": "two"}]}
    story.envelope("in", "session/set_config_option", "response", None, id=4, result=result)
    story.begin(2)
    story.end(2)
    story.note("session_changed", harness="opencode")
    story.begin(3)
    story.agent("c2", {"name": "OpenCode", "version": "1"}, models={"currentModelId": "three"})
    story.envelope("out", "session/set_model", "request", None, id=5, params={"modelId": "four"})
    story.envelope("in", "session/set_model", "response", None, id=5, result={})
    story.cost(3, 0.5)
    story.end(3)
    story.begin(4)
    story.cost(4, 0.6, _meta={"_claude/model": "claude-opus-5-5"})
    story.end(4)
    story.note("session_changed", harness="claude")
    story.begin(5)
    story.end(5, "failed")
    assert story.rows("select harness, model from v_turns order by turn") == [
        ("codex", "one"),
        ("codex", "two"),
        ("opencode", "four"),
        ("opencode", "claude-opus-5-5"),
        ("claude", None),
    ]
    assert story.rows("select harness, model from v_usage order by turn") == [
        ("opencode", "four"),
        ("opencode", "claude-opus-5-5"),
    ]


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
        ("claude-rich", "failed", "error", True, "allowed"),
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
    assert store.sql(query, [script, script]).fetchall() == [("execute", told, exit_code, "error")]


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
