"""The views: the public SQL interface of the store. `docs/transcripts.md` describes every column."""

from __future__ import annotations

import duckdb

from session_widgets.transcript.outcomes import outcome_sql

SECONDS = "date_diff('millisecond', started_at, ended_at) / 1000.0"
RUN_SECONDS = f"round(greatest({SECONDS} - waited_s, 0), 3)"
VIEWS = {
    "v_sessions": """
        select session_id, title, harness, sandbox, workspace, model, mode, effort, status, turns,
            last_seq as events, sandbox_ref, agent_session_id, created_at, updated_at, forked_from, forked_at_turn
        from sessions""",
    "v_turns": f"""
        select session_id, turn, status, stop_reason, error, {outcome_sql()} as outcome,
            case when outcome not in ('running', 'completed', 'cancelled') then outcome end as failure,
            tier, harness, model, prompt, text, started_at, ended_at,
            {SECONDS} as seconds, waited_s, {RUN_SECONDS} as run_s,
            input_tokens, output_tokens, cached_read_tokens, cached_write_tokens, thought_tokens, total_tokens,
            usage_scope, usage_quality, usage_remark,
            context_used, context_size, cost, currency, durable_at, durability_error, idempotency_key, owner,
            (select list({{path: f.path, change: f.change, size: f.size}} order by f.path) from file_changes f
             where f.session_id = turns.session_id and f.turn = turns.turn) as files
        from turns""",  # noqa: S608
    "v_events": """
        select session_id, seq, turn, ts, direction, method, kind, payload, source, source_seq
        from events""",
    "v_steps": """
        select session_id, turn, step, kind, status, text, tool_call_id, title, tool_kind, content, locations,
            raw_input, raw_output, entries, first_seq, last_seq, started_at, ended_at, waited_s, failure,
            tool_name, parent
        from steps""",
    "v_usage": """
        select session_id, turn, harness, model,
            input_tokens, output_tokens, cached_read_tokens, cached_write_tokens, thought_tokens, total_tokens,
            usage_scope, usage_quality, usage_remark, cost, currency, ended_at
        from llm_calls l where not exists (
            select 1 from sessions s where s.session_id = l.session_id and l.turn <= s.forked_at_turn)""",
    "v_tool_calls": f"""
        select session_id, turn, step, tool_call_id, title, tool_kind as kind, status,
            failure is not distinct from 'error' as failed, failure, locations ->> '$[0].path' as path,
            command, exit_code,
            raw_input, raw_output, content, started_at, ended_at,
            {SECONDS} as seconds, waited_s, {RUN_SECONDS} as run_s,
            permission_outcome, permission ->> '$.option_id' as permission_option, tool_name, parent
        from steps where kind = 'tool_call'""",  # noqa: S608
    "v_permissions": """
        select session_id, turn, step, asked_seq, request_id, options, outcome, option_id, option_kind, decided_by,
            reason, requested_at, decided_at, date_diff('millisecond', requested_at, decided_at) / 1000.0 as seconds
        from permissions""",
}


def define(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the views, or replace those of an older release."""
    connection.execute("use store")
    for name, query in VIEWS.items():
        connection.execute(f"create or replace view store.{name} as {query}")
    connection.execute("use memory")
