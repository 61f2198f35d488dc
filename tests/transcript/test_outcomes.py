"""One word for how a turn came out, the same in Python and in SQL."""

from __future__ import annotations

import duckdb
import pytest

from session_widgets.transcript.outcomes import outcome, outcome_sql

CASES = [
    ("completed", "end_turn", None, "completed"),
    ("completed", None, None, "completed"),
    ("completed", "refusal", None, "refused"),
    ("completed", "max_tokens", None, "token_limit"),
    ("completed", "max_turn_requests", None, "request_limit"),
    ("cancelled", "cancelled", None, "cancelled"),
    ("running", None, None, "running"),
    ("failed", None, None, "failed"),
    ("failed", None, "Internal error: something is odd", "failed"),
    ("failed", None, 'API Error: 401 {"error":{"type":"authentication_error","message":"x"}}', "auth_failed"),
    ("failed", None, "Incorrect API key provided: sk-1. You can find yours at ...", "auth_failed"),
    ("failed", None, "Invalid API key · Please run /login", "auth_failed"),
    ("failed", None, "unexpected status 403 Forbidden", "auth_failed"),
    ("failed", None, "exceeded retry limit, last status: 429 Too Many Requests", "rate_limited"),
    ("failed", None, 'API Error: 529 {"error":{"type":"overloaded_error","message":"Overloaded"}}', "rate_limited"),
    ("failed", None, "You exceeded your current quota", "rate_limited"),
    ("failed", None, "prompt is too long: 300000 tokens > 200000 maximum", "token_limit"),
    ("failed", None, "This model's maximum context length is 8192 tokens", "token_limit"),
    ("failed", None, "your input exceeds the context window of this model", "token_limit"),
    ("failed", None, "Claude Code is unable to respond to this request, which violates our Usage Policy", "refused"),
    ("failed", None, "the agent process ended with code 1", "agent_exited"),
    ("failed", None, "the agent said nothing for 5 s: that is the turn's limit 'silence'.", "turn_limit"),
    ("failed", None, "API Error: 500 it fell over", "failed"),
    ("failed", None, "line 4010 of 14295", "failed"),
]
SILENT_FAILURES = [
    ("completed", "end_turn", None, "no_answer", "no_answer"),
    ("completed", "end_turn", None, "model_error", "model_error"),
    ("completed", "refusal", None, "no_answer", "refused"),
    ("failed", None, "boom", "no_answer", "failed"),
]
ALL = [(*case[:3], None, case[3]) for case in CASES] + SILENT_FAILURES


@pytest.mark.parametrize(("status", "stop_reason", "error", "failure", "word"), ALL)
def test_a_turn_has_one_outcome(status, stop_reason, error, failure, word):
    assert outcome(status, stop_reason, error, failure) == word


def test_sql_says_the_same():
    rows = ", ".join(["(?, ?, ?, ?)"] * len(ALL))
    values = [value for case in ALL for value in case[:4]]
    query = f"select {outcome_sql()} from (values {rows}) t(status, stop_reason, error, failure)"
    assert [word for (word,) in duckdb.execute(query, values).fetchall()] == [case[4] for case in ALL]
