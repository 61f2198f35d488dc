"""Estimated costs: by dated prices, and nothing is priced in silence."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from session_widgets._store.database import Store
from session_widgets.errors import BadValue
from tests.store.story import Story
from tests.support.acp_captures import drafts as recorded
from tests.support.acp_captures import scenarios
from tests.support.drafts import TS
from tests.support.paths import CAPTURES, ROOT, shared

pytestmark = pytest.mark.slow

IMPORTS = ROOT / "tests" / "fixtures" / "imports"
MINE = {"model": "our-model", "input": 2, "output": 10, "cache_read": 0.5, "cache_write": 3, "cache_write_1h": 4}


def claude_line(number: int, model: str, day: str = "2026-11-01", **usage: Any) -> str:
    counts = {"input_tokens": 0, "output_tokens": 0, **usage}
    message = {"id": f"msg_{number}", "role": "assistant", "model": model, "stop_reason": "end_turn", "usage": counts,
               "content": [{"type": "text", "text": "said"}]}  # fmt: skip
    record = {"type": "assistant", "uuid": f"u{number}", "parentUuid": None, "sessionId": "priced", "cwd": "/w",
              "timestamp": f"{day}T12:00:00Z", "version": "2.1.0", "message": message}  # fmt: skip
    return json.dumps(record) + "\n"


def imported(store: Store, folder: Path, *lines: str) -> None:
    path = folder / "priced.jsonl"
    path.write_text("".join(lines))
    store.import_(path)


def test_each_class_of_tokens_has_its_price(store: Store, tmp_path: Path) -> None:
    written = {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 100}
    imported(
        store,
        tmp_path,
        claude_line(1, "our-model", input_tokens=1000, output_tokens=50, cache_read_input_tokens=2000,
                    cache_creation_input_tokens=400, cache_creation=written),
        claude_line(2, "our-model", input_tokens=1_000_000, output_tokens=1),
        claude_line(3, "another", input_tokens=7, output_tokens=1),
    )  # fmt: skip
    query = "select llm_call_id, cost_estimated, price_currency, price_source, unpriced from v_llm_calls order by all"
    none = (None, None, None, "no_price")
    assert [row[1:] for row in store.sql(query).fetchall()] == [none] * 3
    shown = store.prices([{**MINE, "currency": "EUR"}])
    assert shown.select("model, currency, input, source").fetchall() == [("our-model", "EUR", 2, "user")]
    # by hand, in millionths: 1000*2 + 50*10 + 2000*0.5 + 300*3 + 100*4 = 4800
    assert [row[1:] for row in store.sql(query).fetchall()] == [
        (Decimal("0.0048"), "EUR", "user", None),
        (Decimal("2.00001"), "EUR", "user", None),
        none,
    ]
    runs = "select cost_estimated, price_currency, unpriced_calls, cost, currency from v_runs"
    assert store.sql(runs).fetchall() == [(Decimal("2.00481"), "EUR", 1, None, None)]
    assert store.sql("select model, reason, total_tokens from v_unpriced").fetchall() == [("another", "no_price", 8)]
    store.rebuild()
    assert len(store.sql("from v_prices")) == 1
    store.prices([])
    assert len(store.sql("from v_unpriced")) == 3


def test_the_price_is_that_of_the_day_and_of_the_size(store: Store, tmp_path: Path) -> None:
    imported(
        store,
        tmp_path,
        claude_line(1, "our-model", "2026-10-31", input_tokens=100, output_tokens=0),
        claude_line(2, "our-model", "2026-11-01", input_tokens=100, output_tokens=0),
        claude_line(3, "our-model", "2026-11-02", input_tokens=100, output_tokens=0, cache_read_input_tokens=101),
        claude_line(4, "our-model", "2026-09-01", input_tokens=100, output_tokens=0),
    )
    table = pd.DataFrame({
        "model": "our-model",
        "from_date": ["2026-10-01", "2026-11-01", "2026-11-01"],
        "above_input": [0, 0, 200],
        "input": [1, 2, 20],
        "output": [1, 2, 20],
        "cache_read": [None, None, 5],
    })  # fmt: skip
    store.prices(table)
    query = "select cost_estimated * 1000000, price_date::varchar, unpriced from v_llm_calls order by llm_call_id"
    assert store.sql(query).fetchall() == [
        (100, "2026-10-01", None),
        (200, "2026-11-01", None),
        (2505, "2026-11-01", None),
        (None, None, "no_price"),
    ]


def test_a_call_that_cannot_be_priced_says_why(store: Store, tmp_path: Path) -> None:
    imported(
        store,
        tmp_path,
        claude_line(1, "no-cache", input_tokens=10, output_tokens=1, cache_read_input_tokens=5),
        claude_line(2, "no-cache", input_tokens=10, output_tokens=1),
        claude_line(3, "<synthetic>"),
    )
    for name in ("gemini", "swe_agent"):
        store.import_(IMPORTS / name)
    store.prices([{"model": model, "input": 1, "output": 1} for model in ("no-cache", "gemini-2.5-pro", "<synthetic>")])
    found = store.sql("select distinct harness, reason from v_unpriced order by all").fetchall()
    assert ("claude", "no_cache_price") in found
    assert ("gemini", "placeholder") in found
    assert ("swe-agent", "no_model") in found
    priced = store.sql("select model, cost_estimated from v_llm_calls where cost_estimated is not null").fetchall()
    assert priced == [("no-cache", Decimal("0.000011"))]
    rows = store.sql("select count(*), count(cost_estimated), count(unpriced) from v_llm_calls").fetchall()
    assert rows[0][0] == rows[0][1] + rows[0][2], "each call has a price or a reason"


@pytest.mark.parametrize(
    ("usage", "uncached", "output"),
    [
        ({"inputTokens": 9, "outputTokens": 4, "cachedReadTokens": 3, "cachedWriteTokens": 2, "totalTokens": 18}, 9, 4),
        ({"inputTokens": 10, "outputTokens": 4, "cachedReadTokens": 3, "totalTokens": 14}, 7, 4),
        ({"inputTokens": 10, "outputTokens": 4, "cachedReadTokens": 3, "thoughtTokens": 2, "totalTokens": 19}, 10, 6),
        ({"inputTokens": 10, "outputTokens": 4, "cachedReadTokens": 3, "thoughtTokens": 2, "totalTokens": 14}, 7, 4),
        ({"inputTokens": 10, "outputTokens": 4, "cachedReadTokens": 0, "totalTokens": 14}, 10, 4),
        ({"inputTokens": 10, "outputTokens": 4, "totalTokens": 14}, None, 4),
        ({"inputTokens": 10, "outputTokens": 4, "cachedReadTokens": 3}, None, 4),
        ({"inputTokens": 10, "outputTokens": 4, "cachedReadTokens": 3, "totalTokens": 999}, None, 4),
    ],
)  # fmt: skip
def test_a_live_turn_has_the_rows_of_an_import(
    store: Store, usage: dict[str, int], uncached: int | None, output: int
) -> None:
    story = Story(store, harness="codex")
    story.agent("c1", models={"currentModelId": "our-model", "availableModels": []})
    story.begin(1)
    story.answer(1, **usage)
    story.end(1)
    store.prices([MINE])
    query = "select input_uncached_tokens, output_tokens, model, unpriced, price_source from v_llm_calls"
    source, reason = ("user", None) if uncached is not None else (None, "input_unknown")
    assert story.rows(query) == [(uncached, output, "our-model", reason, source)]
    assert store.sql("select count(*) from v_context_growth").fetchall() == [(0,)]


def test_recorded_agents_tell_whether_their_input_was_cached(store: Store) -> None:
    for name in ("qwen-basic", "opencode-rich", "copilot-basic", "claude-rich"):
        (lines,) = scenarios(CAPTURES / f"{name}.ndjson").values()
        store.append(name, recorded(lines))
    query = """select session_id, turn, input_uncached_tokens, output_tokens, usage_scope from v_llm_calls
               where usage_scope is not null order by all"""
    assert store.sql(query).fetchall() == [
        ("copilot-basic", 1, 10_988, 46, "turn"),
        ("copilot-basic", 2, 5_544, 9, "turn"),
        ("opencode-rich", 1, 2_721, 5, "call"),
        ("qwen-basic", 1, 18_809, 55, "turn"),
        ("qwen-basic", 2, 9_456, 9, "turn"),
        ("qwen-basic", 3, 9_471, 9, "turn"),
    ]


def test_a_turn_of_unknown_calls_is_not_priced_by_size(store: Store) -> None:
    story = Story(store, harness="codex")
    story.agent("c1", models={"currentModelId": "our-model", "availableModels": []})
    for turn, count in ((1, 100), (2, 300)):
        story.begin(turn)
        story.answer(turn, inputTokens=count, outputTokens=0, cachedReadTokens=0, totalTokens=count)
        story.end(turn)
    store.prices([{**MINE, "above_input": size} for size in (0, 200)])
    query = "select turn, cost_estimated, unpriced from v_llm_calls order by turn"
    assert story.rows(query) == [(1, Decimal("0.0002"), None), (2, None, "call_sizes")]


def test_the_list_has_the_prices_of_known_models(store: Store, tmp_path: Path) -> None:
    imported(
        store,
        tmp_path,
        claude_line(1, "claude-sonnet-4-5-20250929", input_tokens=1000, output_tokens=100,
                    cache_read_input_tokens=10_000, cache_creation_input_tokens=1000),
        claude_line(2, "claude-sonnet-4-5-20250929", input_tokens=200_001, output_tokens=0),
        claude_line(3, "made-up", input_tokens=1, output_tokens=1),
    )  # fmt: skip
    shown = store.prices()
    assert {source.split()[0] for (source,) in shown.select("source").fetchall()} == {"genai-prices"}
    query = "select cost_estimated, price_model, unpriced from v_llm_calls order by llm_call_id"
    name = "anthropic/claude-sonnet-4-5"
    assert store.sql(query).fetchall() == [
        (Decimal("0.01125"), name, None),  # 1000*3 + 100*15 + 10000*0.3 + 1000*3.75 millionths
        (Decimal("1.200006"), name, None),  # above 200,000 tokens 6 a million
        (None, None, "no_price"),
    ]


def test_the_list_of_prices_gives_what_pi_has_computed_itself(store: Store) -> None:
    """Pi stores the cost of each call, computed by its own prices."""
    store.import_(shared("data/transcripts/pi"))
    store.prices()
    query = """select count(*), max(abs(cost_estimated - cost_reported)), count_if(usage_quality = 'placeholder'),
               sum(cost_estimated), count_if(usage_quality = 'placeholder' and unpriced is null) from v_llm_calls"""
    assert store.sql(query).fetchall() == [(453, Decimal("0E-9"), 14, Decimal("30.330197700"), 0)]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("list", "must be 'genai-prices' or a table"),
        ([{"model": "m", "input": 1}], "no column output"),
        ([{"model": "m", "input": 1, "output": 1, "outptu": 1}], "outptu: no such column"),
        ([{"model": "m", "input": -1, "output": 1}], "input of 'm' must be the price"),
        ([{"model": "m", "input": "much", "output": 1}], "input of 'm' must be the price"),
        ([{"model": "m", "input": None, "output": 1.0}], "no price of its input"),
        ([{"model": "", "input": 1, "output": 1}], "a model must be a name"),
        ([{"model": "m", "input": 1, "output": 1, "from_date": "soon"}], "from_date of 'm' must be a date"),
    ],
)
def test_a_wrong_table_is_refused_and_changes_nothing(store: Store, table: Any, said: str) -> None:
    store.prices([MINE])
    with pytest.raises(BadValue, match=said):
        store.prices(table)
    assert len(store.sql("from v_prices")) == 1


def test_the_moment_of_a_price_is_utc(store: Store) -> None:
    assert TS.tzinfo is not None
    story = Story(store, harness="codex")
    story.agent("c1", models={"currentModelId": "our-model", "availableModels": []})
    story.begin(1)
    story.answer(1, inputTokens=1, outputTokens=0, cachedReadTokens=0, totalTokens=1)
    story.end(1)
    store.prices([{**MINE, "from_date": TS.date()}])
    assert story.rows("select price_date from v_llm_calls") == [(TS.date(),)]
