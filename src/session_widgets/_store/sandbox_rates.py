"""The user's own rates of sandboxes, from a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from session_widgets._store.frames import tables
from session_widgets._store.prices import amount, day, read
from session_widgets._store.rows import Row
from session_widgets._store.sandbox_rate_queries import COLUMNS
from session_widgets.errors import BadValue
from session_widgets.printing import one_line

_GIVEN = COLUMNS[:-1]
_REQUIRED = ("provider", "resource", "per_second")


def of_user(table: Any) -> list[Row]:
    """Return the rates of a user's table.

    Raises:
        BadValue: it is no table, lacks a column, or has a wrong value.
    """
    if isinstance(table, Sequence) and not table:
        return []
    names, rows = read(tables({"sandbox_rates": table})["sandbox_rates"])
    if missing := [name for name in _REQUIRED if name not in names]:
        raise BadValue(f"sandbox_rates: the table has no column {', '.join(missing)}. It needs {', '.join(_REQUIRED)}.")
    if unknown := [name for name in names if name not in _GIVEN]:
        raise BadValue(f"sandbox_rates: {one_line(', '.join(unknown))}: no such column. There are {', '.join(_GIVEN)}.")
    checked = [_checked(dict(zip(names, row, strict=True))) for row in rows]
    currencies: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    for row in checked:
        provider, key = row["provider"], (row["provider"], row["resource"])
        if currencies.setdefault(provider, row["currency"]) != row["currency"]:
            raise BadValue(f"sandbox_rates: all rates of {provider!r:.80} must have one currency.")
        if key in seen:
            raise BadValue(f"sandbox_rates: {row['resource']!r:.80} of {provider!r:.80} has two rates.")
        seen.add(key)
    return checked


def _checked(given: Mapping[str, Any]) -> Row:
    names = provider, resource = given["provider"], given["resource"]
    if not all(isinstance(name, str) and name for name in names):
        raise BadValue(f"sandbox_rates: a provider and a resource must be names; got {names!r:.80}.")
    about = f"{resource} of {provider}"
    expected = f"of {about:.80} must be"
    rate = amount(given["per_second"], f"sandbox_rates: per_second {expected} a number from 0")
    if rate is None:
        raise BadValue(f"sandbox_rates: {about:.80} has no rate. Leave the row out: what has no rate is unknown.")
    return {
        "provider": provider,
        "resource": resource,
        "per_second": rate,
        "default_amount": amount(
            given.get("default_amount"), f"sandbox_rates: default_amount {expected} a number from 0"
        ),
        "currency": given.get("currency") or "USD",
        "price_date": day(given.get("price_date"), f"sandbox_rates: price_date {expected} a date"),
        "source": "user",
    }
