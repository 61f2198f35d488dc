"""`session-widgets compare` and `session-widgets stats`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal

import typer

STATS = """
    select harness, model, count(*) as sessions, sum(turns)::bigint as turns, sum(tool_calls)::bigint as tool_calls,
        sum(failed_calls)::bigint as failed_calls, sum(input_tokens)::bigint as input_tokens,
        sum(cache_read_tokens)::bigint as cache_read_tokens, sum(cache_write_tokens)::bigint as cache_write_tokens,
        sum(output_tokens)::bigint as output_tokens, usage_scope, usage_quality, sum(cost) as cost, currency,
        sum(cost_estimated) as cost_estimated, price_currency, sum(unpriced_calls)::bigint as unpriced_calls
    from v_runs
    where session_id not in (select session_id from v_lineage where kind = 'subagent' and parent_session_id is not null)
    group by harness, model, usage_scope, usage_quality, currency, price_currency
    order by sessions desc, harness, model"""
"""Tokens of different scopes or qualities, and costs in different currencies, are never added."""


def print_comparison(ids: Sequence[str], *, as_json: bool) -> None:
    """Print sessions side by side.

    Args:
        ids: the sessions.
        as_json: print one JSON object: `metrics`, `divergence`, and `columns` of the alignment.
    """
    from session_widgets.analysis import align, metrics

    alignment, figures = align(ids), metrics(ids)
    if not as_json:
        typer.echo(f"{figures}\n\n{alignment}")
        return
    said = {
        "sessions": list(ids),
        "metrics": figures.rows,
        "divergence": asdict(alignment.divergence),
        "columns": json.loads(alignment.df().to_json(orient="records")),
    }
    typer.echo(json.dumps(said, default=_plain, indent=2))


def print_stats(*, as_json: bool) -> None:
    """Print the figures of all sessions by harness and model, without those of subagents, which their parents have."""
    from session_widgets._store import store
    from session_widgets.printing import one_line, text_table

    found = store().sql(STATS)
    rows = found.fetchall()
    if as_json:
        said = [dict(zip(found.columns, row, strict=True)) for row in rows]
        typer.echo(json.dumps(said, default=_plain, indent=2))
        return
    if not rows:
        typer.echo('No sessions yet. Start one: session-widgets run "hello"')
        return
    names = [name.removesuffix("_tokens").replace("_", " ") for name in found.columns]
    cells = [["" if value is None else one_line(_text(value), 40) for value in row] for row in rows]
    typer.echo(text_table(names, cells))


def _plain(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else str(value)


def _text(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if isinstance(value, float | Decimal) else str(value)
