"""Model calls, tokens and cost."""

from __future__ import annotations

from session_widgets._store.views.expressions import OLDEST, one_of
from session_widgets._store.views.view import View

MOST = (
    *("input_tokens", "output_tokens", "cached_read_tokens", "cached_write_tokens", "thought_tokens", "total_tokens"),
    *("written_5m_tokens", "written_1h_tokens", "cost", "ended_at"),
)
"""Of a model call that several sessions have (forks, copies), the maximum counts."""

RUN_COUNTS = ", ".join(
    f"coalesce({name}, 0) as {name}" for name in ("turns", "steps", "tool_calls", "failed_calls", "rejected_calls")
)
RUN_TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")

VIEWS = (
    View(
        name="v_llm_calls",
        about=(
            "One row a model call, by the provider's id, over the whole store; of a live session one "
            "row a turn and currency, because ACP counts by turn. Sum tokens here, by `usage_scope` and"
            " `usage_quality`."
        ),
        query=f"""
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
        where place = 1""",  # noqa: S608 - our own text
        columns=(
            ("llm_call_id", "the provider's id of the message or response, else a derived one"),
            ("session_id", "the session that made the call: of several that have it, the original"),
            (
                "owner_session_id",
                "of a subagent's call the parent session, else `session_id`: a sum by it includes subagents",
            ),
            ("agent_id", "the subagent that made it"),
            ("turn", ""),
            ("harness, provider, model, model_requested", ""),
            (
                "input_uncached_tokens, cache_read_tokens, cache_write_tokens",
                (
                    "the three parts of the input; `input_uncached_tokens` is NULL for a live session, whose "
                    "agents count differently"
                ),
            ),
            (
                "cache_write_5m_tokens, cache_write_1h_tokens",
                "parts of `cache_write_tokens`, by lifetime, if they are known",
            ),
            ("output_tokens, reasoning_tokens", "the output, and its part that is reasoning"),
            ("input_tokens, total_tokens", "`input_tokens` as the agent reported them; of an import the uncached ones"),
            ("usage_scope, usage_quality, usage_remark", "as in `v_turns`; `call` for a single model call"),
            ("cost_reported, currency", ""),
            ("stop_reason, ttft_s, duration_s, ended_at", ""),
            ("copies", "number of sessions that have the call"),
        ),
        example="""
select model, usage_scope, usage_quality, sum(output_tokens)::bigint as output from v_llm_calls group by all""",
    ),
    View(
        name="v_usage",
        about=(
            "`v_llm_calls` with the columns of `v_turns`: one row a model call of an import, one row a "
            "turn and currency, and one row a harness for costs outside turns (between turns, or while "
            "no kernel was connected). Sum costs here, by currency: `select currency, sum(cost) from "
            "v_usage group by all`."
        ),
        query="""
        select session_id, turn, harness, model,
            input_tokens, output_tokens, cache_read_tokens as cached_read_tokens,
            cache_write_tokens as cached_write_tokens, reasoning_tokens as thought_tokens, total_tokens,
            usage_scope, usage_quality, usage_remark, cost_reported as cost, currency, ended_at
        from v_llm_calls""",
        columns=(
            ("session_id, turn", "`turn` is NULL for a cost outside turns"),
            ("harness, model", "as in `v_turns`"),
            (
                ("input_tokens, output_tokens, cached_read_tokens, cached_write_tokens, thought_tokens, total_tokens"),
                "in the first row of a turn",
            ),
            ("usage_scope, usage_quality, usage_remark", "as in `v_turns`; `session` for a cost outside turns"),
            ("cost, currency", "as in `v_turns`, but of one currency"),
            ("ended_at", "of the turn"),
        ),
        example="""
select currency, sum(cost) as cost from v_usage group by all""",
    ),
    View(
        name="v_runs",
        about=("One row a session with its figures: what `sw.analysis.metrics` and `session-widgets stats` read."),
        query=f"""
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
            select session_id, count(*) as steps from v_steps where is_active group by session_id) c using (session_id)
        left join (
            select session_id, count(*) as tool_calls, count_if(failed)::bigint as failed_calls,
                count_if(failure = 'rejected')::bigint as rejected_calls
            from v_tool_calls where is_active group by session_id) d using (session_id)
        left join (
            select run as session_id, {", ".join(f"sum({name})::bigint as {name}" for name in RUN_TOKENS)},
                {one_of("usage_scope")}, {one_of("usage_quality")}, {one_of("currency")},
                if(count(distinct currency) = 1, sum(cost_reported), null) as cost
            from (
                select *, session_id as run from v_llm_calls
                union all select *, owner_session_id from v_llm_calls where owner_session_id <> session_id)
            group by run) u using (session_id)""",  # noqa: S608 - our own text
        columns=(
            ("session_id, title, harness, status, origin, agent_id", "as in `v_sessions`"),
            ("model, outcome", "of the last turn; without a model there, that of the session"),
            ("turns, steps, tool_calls", "their numbers, on the active branch"),
            (
                "failed_calls, rejected_calls",
                "tool calls that `failed`, or whose `failure` is `rejected`, as in `v_tool_calls`",
            ),
            (
                "input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens",
                "sums over `v_llm_calls`, with those of subagents; a copy or a fork has only its own calls",
            ),
            (
                "usage_scope, usage_quality",
                "of all its calls; `mixed` if they differ: then the sums mix different scopes or qualities",
            ),
            ("cost, currency", "as reported; `currency` is `mixed` and `cost` NULL if there are several"),
            ("seconds, waited_s, run_s, started_at, ended_at", "of all turns"),
        ),
        example="""
select harness, model, count(*) as runs, sum(output_tokens) as output, any_value(usage_scope) as scope
from v_runs where usage_quality = 'final' group by all""",
    ),
    View(
        name="v_context_growth",
        about=(
            "The tokens in the context window, over time: one row a model call of an import whose input "
            "is known, one row a turn of a live session whose agent reports it."
        ),
        query="""
        select *, context_tokens - lag(context_tokens) over (
            partition by session_id, agent_id order by turn, ended_at, llm_call_id) as growth
        from (
            select session_id, turn, llm_call_id, agent_id, model,
                input_uncached_tokens + coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0)
                    as context_tokens,
                null::bigint as context_size, ended_at
            from v_llm_calls where usage_scope = 'call' and input_uncached_tokens is not null
            union all
            select session_id, turn, null, null, t.model, context_used, context_size, ended_at
            from v_turns t join v_sessions s using (session_id)
            where s.origin = 'live' and context_used is not null)""",
        columns=(
            ("session_id, turn, llm_call_id, agent_id, model, ended_at", "as in `v_llm_calls`, or `v_turns`"),
            ("context_tokens", "input of the call, cached or not; of a turn, as last reported"),
            ("context_size", "of the window, if the agent reports it"),
            ("growth", "since the row before, of the same agent; negative after a compaction"),
        ),
        example="""
select session_id, turn, context_tokens, growth from v_context_growth where growth < 0 order by growth""",
    ),
)
