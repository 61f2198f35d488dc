"""The views: what SQL over the store may rely on. `docs/transcripts.md` describes every column."""

from __future__ import annotations

import duckdb

from session_widgets.outcomes import outcome_sql

VIEWS = {
    "v_sessions": """
        select session_id, title, harness, sandbox, workspace, model, mode, effort, status, turns,
            last_seq as events, sandbox_ref, agent_session_id, created_at, updated_at
        from sessions""",
    "v_turns": f"""
        select session_id, turn, status, stop_reason, error, {outcome_sql()} as outcome,
            tier, prompt, text, started_at, ended_at,
            date_diff('millisecond', started_at, ended_at) / 1000.0 as seconds,
            input_tokens, output_tokens, cached_read_tokens, cached_write_tokens, thought_tokens, total_tokens,
            context_used, context_size, cost, currency, durable_at, durability_error, idempotency_key, owner,
            (select list({{path: f.path, change: f.change, size: f.size}} order by f.path) from file_changes f
             where f.session_id = turns.session_id and f.turn = turns.turn) as files
        from turns""",  # noqa: S608
    "v_events": """
        select session_id, seq, turn, ts, direction, method, kind, payload, source, source_seq
        from events""",
    "v_steps": """
        select session_id, turn, step, kind, status, text, tool_call_id, title, tool_kind, content, locations,
            raw_input, raw_output, entries, first_seq, last_seq, started_at, ended_at
        from steps""",
    "v_tool_calls": """
        select session_id, turn, step, tool_call_id, title, tool_kind as kind, status,
            status = 'failed' as failed, locations ->> '$[0].path' as path,
            coalesce(raw_input ->> '$.command', raw_input ->> '$.cmd') as command,
            raw_input, raw_output, content, started_at, ended_at,
            date_diff('millisecond', started_at, ended_at) / 1000.0 as seconds,
            permission ->> '$.outcome' as permission_outcome, permission ->> '$.option_id' as permission_option
        from steps where kind = 'tool_call'""",
    "v_permissions": """
        select session_id, turn, step, request_id, options, outcome, option_id, option_kind, decided_by, reason,
            requested_at, decided_at, date_diff('millisecond', requested_at, decided_at) / 1000.0 as seconds
        from permissions""",
}


def define(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the views, or replace those of an older release."""
    connection.execute("use store")
    for name, query in VIEWS.items():
        connection.execute(f"create or replace view store.{name} as {query}")
    connection.execute("use memory")
