"""Tokens, costs, models, waiting times and failures in the views, on recorded and on faulty traffic."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from session_widgets._store.database import Store
from tests.store.story import CLAUDE, Story
from tests.support.acp_captures import drafts as recorded
from tests.support.acp_captures import scenarios
from tests.support.drafts import update
from tests.support.paths import CAPTURES, ROOT

pytestmark = pytest.mark.slow

LATER_CLAUDE = {"name": "@agentclientprotocol/claude-agent-acp", "version": "0.80.0"}


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
