"""Prices of model calls, and the calls without one."""

from __future__ import annotations

from session_widgets._store.price_queries import RATES
from session_widgets._store.views.view import View

VIEWS = (
    View(
        name="v_unpriced",
        about="One row a model call without an estimated cost: what a sum of `cost_estimated` lacks.",
        query="""
        select llm_call_id, session_id, owner_session_id, turn, harness, provider, model, unpriced as reason,
            usage_scope, usage_quality, input_tokens, output_tokens, total_tokens, cost_reported, currency, ended_at
        from v_llm_calls where unpriced is not null""",
        columns=(
            ("llm_call_id, session_id, owner_session_id, turn, harness, provider, model", "as in `v_llm_calls`"),
            ("reason", "`unpriced` of `v_llm_calls`"),
            (
                "usage_scope, usage_quality, input_tokens, output_tokens, total_tokens, cost_reported, currency, "
                "ended_at",
                "as in `v_llm_calls`",
            ),
        ),
        example="""
select reason, provider, model, count(*) as calls, sum(total_tokens)::bigint as tokens
from v_unpriced group by all order by tokens desc""",
    ),
    View(
        name="v_prices",
        about="One row a price of a model, as `Store.prices` has set it.",
        query=f"""
        select model, provider, from_date, above_input, currency, {", ".join(RATES)}, price_model, source
        from prices""",  # noqa: S608 - our own text
        columns=(
            ("model, provider", "as in `v_llm_calls`; `provider` is NULL for any"),
            ("from_date", "its first day; NULL for all days"),
            ("above_input", "it is for calls with more input tokens, cached or not"),
            ("currency", ""),
            (", ".join(RATES), "of a million tokens; `cache_write` is for 5 minutes and for an unknown lifetime"),
            ("price_model, source", "the model in the list, and the list with its version, or `user`"),
        ),
        example="""
select model, currency, input, output from v_prices where from_date is null order by all""",
    ),
)
