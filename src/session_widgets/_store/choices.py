"""What a store's steps can be filtered by: the values that occur, the most frequent first."""

from __future__ import annotations

from dataclasses import dataclass

from session_widgets._store.searching import SqlStore

_MOST = 60


@dataclass(frozen=True, slots=True)
class Choices:
    """The values that occur in a store, at most 60 of each filter."""

    sessions: int
    steps: int
    harness: tuple[str, ...]
    model: tuple[str, ...]
    tool: tuple[str, ...]
    kind: tuple[str, ...]


def choices(store: SqlStore) -> Choices:
    """Return what the steps of a store can be filtered by."""
    rows = store.sql(_CHOICES, {"most": _MOST}).fetchall()
    counts = {value: int(count) for name, value, count in rows if name == "of"}

    def of(filtered: str) -> tuple[str, ...]:
        return tuple(value for name, value, _ in rows if name == filtered)

    return Choices(counts["sessions"], counts["steps"], of("harness"), of("model"), of("tool"), of("kind"))


_CHOICES = """
    with counted as (
        select 'harness' as name, harness as value, count(*) as n from sessions where harness is not null group by all
        union all select 'model', model, count(*) from turns where model is not null group by all
        union all select 'tool', tool_kind, count(*) from steps where tool_kind is not null group by all
        union all select 'kind', kind, count(*) from steps group by all
        union all select 'of', 'sessions', count(*) from sessions
        union all select 'of', 'steps', count(*) from steps)
    select name, value, n from counted
    qualify row_number() over (partition by name order by n desc, value) <= $most order by name, n desc, value"""
