"""The figures of an import's model calls: of one call, and of all calls of a turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from session_widgets._store.formats.contract import ModelCall
from session_widgets._store.rows import Row
from session_widgets.transcript.records import UsageQuality

COUNTS = ("uncached", "read", "written", "written_5m", "written_1h", "output", "reasoning")
_WORST: tuple[UsageQuality, ...] = ("none", "placeholder", "partial", "final")


def merged(one: ModelCall, other: ModelCall) -> ModelCall:
    """Return two records of the same call as one: the maximum of each figure."""
    counts: dict[str, Any] = {name: _most(getattr(one, name), getattr(other, name)) for name in (*COUNTS, "cost")}
    best = max(one, other, key=lambda call: _WORST.index(call.quality))
    later: dict[str, Any] = {"at": other.at or one.at, "stop_reason": other.stop_reason or one.stop_reason}
    return replace(one, **counts, **later, quality=best.quality, remark=best.remark, model=other.model or one.model)


def _most(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else max(one, other)


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def tokens_of(call: ModelCall) -> Row:
    """Return the tokens as the live tables name them; of an import, `input_tokens` were not cached."""
    return {
        "input_tokens": call.uncached,
        "output_tokens": call.output,
        "cached_read_tokens": call.read,
        "cached_write_tokens": call.written,
        "thought_tokens": call.reasoning,
        "total_tokens": _sum([call.uncached, call.read, call.written, call.output]),
    }


def usage_of(calls: Sequence[ModelCall]) -> Row:
    """Return the usage of a turn."""
    rows = [tokens_of(call) for call in calls]
    names = ("input_tokens", "output_tokens", "cached_read_tokens", "cached_write_tokens", "thought_tokens")
    sums = {name: _sum([row[name] for row in rows]) for name in (*names, "total_tokens")}
    worst = min((call.quality for call in calls), key=_WORST.index, default="none")
    remark = next((call.remark for call in calls if call.remark), None) if calls else "the file has no usage of it"
    costs = {call.currency: None for call in calls if call.cost is not None}
    cost = sum(call.cost for call in calls if call.cost is not None) if len(costs) == 1 else None
    kind = "call" if any(call.last_only for call in calls) else "turn"
    scope = None if sums["total_tokens"] is None else kind
    about = {"usage_scope": scope, "usage_quality": worst, "usage_remark": remark}
    return {**sums, **about, "cost": cost, "currency": next(iter(costs)) if len(costs) == 1 else None}


def context_of(calls: Sequence[ModelCall]) -> int | None:
    """Return the tokens in the context window at the last call."""
    last = calls[-1] if calls and calls[-1].scope == "call" else None
    return _sum([last.uncached, last.read, last.written]) if last else None
