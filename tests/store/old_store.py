"""The content of a store through its views, which later releases must also read."""

from __future__ import annotations

import json
from typing import Any

from session_widgets._store.database import Store

TURNS = """
    select session_id, turn, status, outcome, tier, harness, model, stop_reason, error, durability_error, waited_s,
        input_tokens, output_tokens, total_tokens, context_used, cost, currency, usage_scope, usage_quality, files
    from v_turns order by session_id, turn"""
STEPS = """
    select session_id, turn, step, kind, status, title, text, tool_kind, first_seq, last_seq
    from v_steps order by session_id, turn, step"""
PERMISSIONS = """
    select session_id, turn, outcome, option_id, option_kind, decided_by, reason
    from v_permissions order by session_id, requested_at, request_id"""
CALLS = """
    select session_id, turn, step, failed, command, exit_code, path, permission_outcome
    from v_tool_calls order by session_id, turn, step"""
SESSIONS = """
    select session_id, harness, sandbox, title, model, mode, effort, status, turns
    from v_sessions order by session_id"""


def contents(store: Store) -> dict[str, list[Any]]:
    """Its sessions, turns, steps and permissions, as JSON would give them back."""
    queries = {"sessions": SESSIONS, "turns": TURNS, "steps": STEPS, "calls": CALLS, "permissions": PERMISSIONS}
    read = {name: store.sql(query).fetchall() for name, query in queries.items()}
    return json.loads(json.dumps(read, default=str))
