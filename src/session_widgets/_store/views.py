"""The views: the public SQL interface of the store. `docs/transcripts.md` describes every column."""

from __future__ import annotations

import duckdb

from session_widgets.transcript.outcomes import outcome_sql

SECONDS = "date_diff('millisecond', started_at, ended_at) / 1000.0"
MOST = (
    *("input_tokens", "output_tokens", "cached_read_tokens", "cached_write_tokens", "thought_tokens", "total_tokens"),
    *("written_5m_tokens", "written_1h_tokens", "cost", "ended_at"),
)
"""Of a model call that several sessions have (forks, copies), the maximum counts."""
OLDEST = "row(p.created_at, -p.last_seq, p.session_id)"
"""Orders sessions of the same id: that of the original first, and of copies the longest."""
RUN_COUNTS = ", ".join(
    f"coalesce({name}, 0) as {name}" for name in ("turns", "steps", "tool_calls", "failed_calls", "rejected_calls")
)
RUN_TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")


def one_of(column: str) -> str:
    """Return SQL for the one value of a column in a group, or "mixed" if there are several."""
    return f"if(count(distinct {column}) > 1, 'mixed', any_value({column})) as {column}"


RUN_SECONDS = f"case when waited_s is not null then round(greatest({SECONDS} - waited_s, 0), 3) end"
VIEWS = {
    "v_sessions": """
        select session_id, title, harness, sandbox, workspace, model, mode, effort, status, turns,
            last_seq as events, sandbox_ref, agent_session_id, created_at, updated_at, forked_from, forked_at_turn,
            case when format is null then 'live' else 'import' end as origin,
            format, harness_version, git_branch, agent_id
        from sessions""",
    "v_turns": f"""
        select session_id, turn, status, stop_reason, error, {outcome_sql()} as outcome,
            case when outcome not in ('running', 'completed', 'cancelled', 'unfinished') then outcome end as failure,
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
            tool_name, parent, coalesce(uid, session_id || '/' || turn || '/' || step) as step_uid, parent_uid,
            coalesce(active, true) as is_active, coalesce(copied, false) as is_copied, agent_id, llm_call_id
        from steps""",
    "v_llm_calls": f"""
        select llm_call_id, session_id, coalesce(owner, session_id) as owner_session_id, agent_id, turn,
            harness, provider, model, model_requested,
            case when format is not null then input_tokens end as input_uncached_tokens,
            cached_read_tokens as cache_read_tokens, cached_write_tokens as cache_write_tokens,
            written_5m_tokens as cache_write_5m_tokens, written_1h_tokens as cache_write_1h_tokens,
            output_tokens, thought_tokens as reasoning_tokens, input_tokens, total_tokens,
            usage_scope, usage_quality, usage_remark, cost as cost_reported, currency, stop_reason, ttft_s, duration_s,
            copies, ended_at
        from (
            select c.* replace ({", ".join(f"max({name}) over same as {name}" for name in MOST)},
                    if(bool_or(usage_quality = 'final') over same, 'final', usage_quality) as usage_quality),
                s.format, count(*) over same as copies,
                row_number() over (same order by coalesce(c.copied, false), s.created_at, s.last_seq desc, session_id)
                    as place
            from llm_calls c left join sessions s using (session_id)
            where coalesce(c.turn > s.forked_at_turn, true) window same as (partition by llm_call_id))
        left join (
            select l.session_id, arg_min(p.session_id, {OLDEST}) as owner
            from lineage l join sessions p on p.agent_session_id = l.parent_native_id and p.format is not null
            where l.kind = 'subagent' group by l.session_id) using (session_id)
        where place = 1""",  # noqa: S608
    "v_usage": """
        select session_id, turn, harness, model,
            input_tokens, output_tokens, cache_read_tokens as cached_read_tokens,
            cache_write_tokens as cached_write_tokens, reasoning_tokens as thought_tokens, total_tokens,
            usage_scope, usage_quality, usage_remark, cost_reported as cost, currency, ended_at
        from v_llm_calls""",
    "v_tool_calls": f"""
        select session_id, turn, step, tool_call_id, title, tool_kind as kind, status,
            failure is not distinct from 'error' as failed, failure, locations ->> '$[0].path' as path,
            command, exit_code,
            raw_input, raw_output, content, started_at, ended_at,
            {SECONDS} as seconds, waited_s, {RUN_SECONDS} as run_s,
            permission_outcome, permission ->> '$.option_id' as permission_option, tool_name, parent,
            coalesce(uid, session_id || '/' || turn || '/' || step) as step_uid, coalesce(active, true) as is_active,
            agent_id, llm_call_id
        from steps where kind = 'tool_call'""",  # noqa: S608
    "v_permissions": """
        select session_id, turn, step, asked_seq, request_id, options, outcome, option_id, option_kind, decided_by,
            reason, requested_at, decided_at, date_diff('millisecond', requested_at, decided_at) / 1000.0 as seconds
        from permissions""",
    "v_lineage": f"""
        select l.session_id, l.kind, l.parent_native_id,
            arg_min(p.session_id, {OLDEST}) as parent_session_id
        from lineage l left join sessions p
            on p.agent_session_id = l.parent_native_id and p.format is not null and p.session_id <> l.session_id
        group by all
        union all
        select session_id, 'copy', agent_session_id, first_value(session_id) over same
        from sessions where format is not null
        window same as (partition by format, agent_session_id order by created_at, last_seq desc, session_id)
        qualify row_number() over same > 1
        union all
        select session_id, 'fork', null, forked_from from sessions where forked_from is not null""",  # noqa: S608
    "v_runs": f"""
        select session_id, s.title, s.harness, coalesce(t.model, s.model) as model, s.status,
            t.outcome, {RUN_COUNTS},
            {", ".join(f"u.{name}" for name in RUN_TOKENS)}, u.usage_scope, u.usage_quality, u.cost, u.currency,
            t.seconds, t.waited_s, t.run_s, t.started_at, t.ended_at, s.origin, s.agent_id
        from (select * exclude (turns) from v_sessions) s
        left join (
            select session_id, count(*) as turns, arg_max(outcome, turn) as outcome,
                arg_max(model, turn) as model, sum(seconds) as seconds, sum(waited_s) as waited_s, sum(run_s) as run_s,
                min(started_at) as started_at, max(ended_at) as ended_at
            from v_turns group by session_id) t using (session_id)
        left join (
            select session_id, count(*) as steps, count_if(kind = 'tool_call')::bigint as tool_calls,
                count_if(failure = 'error')::bigint as failed_calls,
                count_if(failure = 'rejected')::bigint as rejected_calls
            from v_steps where is_active group by session_id) c using (session_id)
        left join (
            select run as session_id, {", ".join(f"sum({name})::bigint as {name}" for name in RUN_TOKENS)},
                {one_of("usage_scope")}, {one_of("usage_quality")}, {one_of("currency")},
                if(count(distinct currency) = 1, sum(cost_reported), null) as cost
            from (
                select *, session_id as run from v_llm_calls
                union all select *, owner_session_id from v_llm_calls where owner_session_id <> session_id)
            group by run) u using (session_id)""",  # noqa: S608
    "v_source_files": """
        select path, format, state, bytes, records, malformed, imported_at,
            (select list(s.session_id order by s.session_id) from source_sessions s
             where s.file_id = f.file_id) as sessions
        from source_files f""",
    "v_raw_records": """
        select path, format, line, kind, body, not_text is null as is_text, byte_offset, byte_length
        from raw_records join source_files using (file_id)""",
    "v_import_issues": """
        select path, format, line, code, severity, detail from import_issues join source_files using (file_id)""",
}


def define(connection: duckdb.DuckDBPyConnection, database: str = "store") -> None:
    """Create the views of an attached database, or replace those of an older release."""
    connection.execute(f"use {database}")
    for name, query in VIEWS.items():
        connection.execute(f"create or replace view {database}.{name} as {query}")
    connection.execute("use memory")
