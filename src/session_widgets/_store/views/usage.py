"""Model calls, tokens and cost."""

from __future__ import annotations

from session_widgets._store.price_queries import RATES
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
RUN_TOKENS = (
    "input_tokens",
    "input_uncached_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)

_CACHED = "coalesce(cached_read_tokens, 0) + coalesce(cached_write_tokens, 0)"
_THOUGHT = "coalesce(thought_tokens, 0)"
UNCACHED = f"""case when format is not null then input_tokens
    when cached_read_tokens is null and cached_write_tokens is null
        then if(usage_scope = 'call', input_tokens, null)
    when {_CACHED} = 0 then input_tokens
    when total_tokens in (input_tokens + output_tokens + {_CACHED},
        input_tokens + output_tokens + {_CACHED} + {_THOUGHT}) then input_tokens
    when total_tokens in (input_tokens + output_tokens, input_tokens + output_tokens + {_THOUGHT})
        and input_tokens >= {_CACHED} then input_tokens - {_CACHED} end"""
"""The input that was neither read from a cache nor written to one: a live agent's total tells what its input includes.
Agents that report only their last call (OpenCode) leave out a count of 0."""
ANSWERED = f"""output_tokens + if(format is null and {_THOUGHT} > 0 and total_tokens in (
    input_tokens + output_tokens + {_THOUGHT}, input_tokens + output_tokens + {_CACHED} + {_THOUGHT}),
    thought_tokens, 0)"""
"""The output with reasoning."""
PRICES = f"""
    select model, list({{source: source, provider: provider, from_date: from_date, above_input: above_input,
            currency: currency, price_model: price_model, {", ".join(f"{name}: {name}" for name in RATES)}}}
        order by source = 'user', provider is not null, coalesce(from_date, '-infinity'), above_input) as known_prices,
        count(distinct coalesce(from_date, '-infinity')) > 1 or bool_or(from_date is not null) as dated
    from prices group by model"""  # noqa: S608 - our own text
"""The prices of a model: of those that apply, the last one counts."""
APPLIES = f"""(each.provider is null or each.provider is not distinct from provider)
    and (each.from_date is null or each.from_date <= (ended_at at time zone 'UTC')::date)
    and (each.above_input = 0 or each.above_input < uncached + {_CACHED})"""
_OWN = "select c.*, s.format, s.created_at, s.last_seq from llm_calls c left join sessions s using (session_id)"
_COUNTED = f"{_OWN} where coalesce(c.turn > s.forked_at_turn, true)"
CALLS = f"""
    select c.* exclude (created_at, last_seq) replace (
            {", ".join(f"if(copies is null, c.{name}, m.{name}) as {name}" for name in MOST)},
            if(m.is_final, 'final', c.usage_quality) as usage_quality),
        coalesce(copies, 1) as copies
    from ({_COUNTED}) c left join (
        select llm_call_id, count(*) as copies, bool_or(usage_quality = 'final') as is_final,
            {", ".join(f"max({name}) as {name}" for name in MOST)},
            first(session_id order by coalesce(copied, false), created_at, last_seq desc, session_id) as original
        from ({_COUNTED}) where llm_call_id in (select llm_call_id from llm_calls group by all having count(*) > 1)
        group by all) m using (llm_call_id)
    where copies is null or session_id = original"""  # noqa: S608 - our own text
"""Each model call once. A window over all calls takes two to three times as long as a sum over the few with copies."""
UNPRICED = """case when usage_quality = 'placeholder' then 'placeholder'
    when coalesce(input_tokens, output_tokens) is null then 'no_tokens'
    when model is null then 'no_model'
    when known_prices is null then 'no_price'
    when uncached is null then 'input_unknown'
    when dated and ended_at is null then 'no_time'
    when price is null then 'no_price'
    when answered is null then 'no_tokens'
    when price.cache_read is null and cached_read_tokens > 0 or price.cache_write is null and cached_write_tokens > 0
        or price.cache_write_1h is null and written_1h_tokens > 0 then 'no_cache_price'
    when usage_scope <> 'call' and price.above_input > 0 then 'call_sizes' end"""
COST = """(uncached * price.input + answered * price.output
    + coalesce(cached_read_tokens * price.cache_read, 0)
    + coalesce((coalesce(cached_write_tokens, 0) - coalesce(written_1h_tokens, 0)) * price.cache_write, 0)
    + coalesce(written_1h_tokens * price.cache_write_1h, 0))::decimal(32, 9) * 0.000001::decimal(6, 6)"""

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
            uncached as input_uncached_tokens,
            cached_read_tokens as cache_read_tokens, cached_write_tokens as cache_write_tokens,
            written_5m_tokens as cache_write_5m_tokens, written_1h_tokens as cache_write_1h_tokens,
            answered as output_tokens, thought_tokens as reasoning_tokens, input_tokens, total_tokens,
            usage_scope, usage_quality, usage_remark, cost as cost_reported, currency,
            if(unpriced is null, ({COST})::decimal(18, 9), null) as cost_estimated,
            if(unpriced is null, price.currency, null) as price_currency,
            if(unpriced is null, price.from_date, null) as price_date,
            if(unpriced is null, price.price_model, null) as price_model,
            if(unpriced is null, price.source, null) as price_source, unpriced,
            stop_reason, ttft_s, duration_s, copies, ended_at
        from (
            select *, {UNPRICED} as unpriced
            from (
                select *, list_filter(known_prices, lambda each: {APPLIES})[-1] as price
                from (
                    select *, {UNCACHED} as uncached, {ANSWERED} as answered
                    from ({CALLS}))
                left join ({PRICES}) using (model)))
        left join (
            select l.session_id, arg_min(p.session_id, {OLDEST}) as owner
            from lineage l join sessions p on p.agent_session_id = l.parent_native_id and p.format is not null
            where l.kind = 'subagent' group by l.session_id) using (session_id)""",  # noqa: S608 - our own text
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
                    "the three parts of the input; `input_uncached_tokens` of a live session follows from the agent's "
                    "total, and is NULL if that does not tell whether its input includes the cached tokens"
                ),
            ),
            (
                "cache_write_5m_tokens, cache_write_1h_tokens",
                "parts of `cache_write_tokens`, by lifetime, if they are known",
            ),
            ("output_tokens, reasoning_tokens", "the output with reasoning, and that part of it"),
            ("input_tokens, total_tokens", "`input_tokens` as the agent reported them; of an import the uncached ones"),
            ("usage_scope, usage_quality, usage_remark", "as in `v_turns`; `call` for a single model call"),
            ("cost_reported, currency", ""),
            (
                "cost_estimated, price_currency",
                "by the prices that `Store.prices` has set, of the day of the call; NULL if it has no price",
            ),
            ("price_date", "first day of the price; NULL if the list has one price for all days"),
            ("price_model, price_source", "the model in the list of prices, and the list with its version, or `user`"),
            (
                "unpriced",
                "why there is no estimate: `placeholder`; `no_tokens`; `input_unknown` (whether it was cached); "
                "`no_model`; `no_price` of the model on that day; `no_cache_price`; `no_time` of the call, while its "
                "price has changed; `call_sizes`: the price depends on the size of single calls, and the tokens are "
                "those of several",
            ),
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
                "in the first row of a turn; `output_tokens` with reasoning",
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
            u.cost_estimated, u.price_currency, u.unpriced_calls,
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
                if(count(distinct currency) = 1, sum(cost_reported), null) as cost,
                {one_of("price_currency")},
                if(count(distinct price_currency) = 1, sum(cost_estimated), null) as cost_estimated,
                count(unpriced) as unpriced_calls
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
                "input_tokens, input_uncached_tokens, cache_read_tokens, cache_write_tokens, output_tokens, "
                "reasoning_tokens",
                "sums over `v_llm_calls`, with those of subagents; a copy or a fork has only its own calls",
            ),
            (
                "usage_scope, usage_quality",
                "of all its calls; `mixed` if they differ: then the sums mix different scopes or qualities",
            ),
            ("cost, currency", "as reported; `currency` is `mixed` and `cost` NULL if there are several"),
            (
                "cost_estimated, price_currency, unpriced_calls",
                "sum over `v_llm_calls`, and the number of calls that it lacks, with their reasons in `v_unpriced`",
            ),
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
            select session_id, turn, llm_call_id, c.agent_id, c.model,
                input_uncached_tokens + coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0)
                    as context_tokens,
                null::bigint as context_size, ended_at
            from v_llm_calls c join v_sessions s using (session_id)
            where s.origin = 'import' and usage_scope = 'call' and input_uncached_tokens is not null
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
