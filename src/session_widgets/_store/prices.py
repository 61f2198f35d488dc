"""Prices of model calls: those of a list, or the user's own."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from session_widgets._store.frames import tables
from session_widgets._store.price_queries import RATES
from session_widgets._store.rows import Row
from session_widgets.errors import BadValue, MissingDependency
from session_widgets.printing import one_line

LIST = "genai-prices"
_GIVEN = ("provider", "model", "from_date", "above_input", "currency", *RATES)
_REQUIRED = ("model", "input", "output")
_NAMES_IN_LIST = {
    "input": "input_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "output": "output_mtok",
}
_MOST = Decimal(10) ** 9


def of_list(models: list[tuple[str | None, str]]) -> list[Row]:
    """Return the prices that the package genai-prices has of models; it needs no network.

    Args:
        models: provider, if it is known, and model, as the calls name them.

    Raises:
        MissingDependency: the package is not installed.
    """
    try:
        from genai_prices.data_snapshot import get_snapshot
    except ModuleNotFoundError as error:
        raise MissingDependency(
            "the prices of models need the package genai-prices. Install it with: "
            "pip install 'session-widgets[prices]'; or pass a table of your own: store().prices(frame)."
        ) from error
    source = f"{LIST} {importlib.metadata.version(LIST)}"
    found = get_snapshot()
    rows: list[Row] = []
    for provider, model in models:
        for name, maker in _readings(provider, model):
            try:
                seller, known = found.find_provider_model(name, None, maker, None)
            except LookupError:
                continue
            about = {"source": source, "provider": provider, "model": model, "price_model": f"{seller.id}/{known.id}"}
            rows += [about | row for row in _dated(known)]
            break
    return rows


def _readings(provider: str | None, model: str) -> Iterator[tuple[str, str | None]]:
    """Yield a model and its provider as the list may name them."""
    yield model, provider
    maker, slash, name = model.partition("/")
    if slash:
        yield name, maker
    if provider is None or slash:
        yield name or model, None


def _dated(known: Any) -> Iterator[Row]:
    """Yield the standard prices of a model, by date and by size of the input; those by the time of day have no row."""
    prices = known.prices
    if not isinstance(prices, list):
        yield from _sized(prices, None)
        return
    if any(hasattr(each.constraint, "start_time") for each in prices):
        return
    for each in prices:
        yield from _sized(each.prices, None if each.constraint is None else each.constraint.start_date)


def _sized(price: Any, since: date | None) -> Iterator[Row]:
    values = {ours: getattr(price, theirs, None) for ours, theirs in _NAMES_IN_LIST.items()}
    starts = sorted({tier.start for value in values.values() for tier in getattr(value, "tiers", ())})
    for start in (0, *starts):
        rates = {name: _at(value, start) for name, value in values.items()}
        yield {"from_date": since, "above_input": start, "currency": "USD", **rates}


def _at(value: Any, start: int) -> Decimal | None:
    if value is None or isinstance(value, Decimal):
        return value
    reached = [tier.price for tier in sorted(value.tiers, key=lambda tier: tier.start) if tier.start <= start]
    price: Decimal = reached[-1] if reached else value.base
    return price


def of_user(table: Any) -> list[Row]:
    """Return the prices of a user's table.

    Raises:
        BadValue: it is no table, lacks a column, or has a wrong value.
    """
    if isinstance(table, Sequence) and not table:
        return []
    frame = tables({"prices": table})["prices"]
    names, rows = read(frame)
    if missing := [name for name in _REQUIRED if name not in names]:
        raise BadValue(f"prices: the table has no column {', '.join(missing)}. It needs {', '.join(_REQUIRED)}.")
    if unknown := [name for name in names if name not in _GIVEN]:
        raise BadValue(f"prices: {one_line(', '.join(unknown))}: no such column. There are {', '.join(_GIVEN)}.")
    return [_checked(dict(zip(names, row, strict=True))) for row in rows]


def read(frame: Any) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the columns and the rows of a table."""
    import duckdb

    with duckdb.connect() as connection:
        connection.register("prices", frame)
        found = connection.sql("from prices")
        return found.columns, found.fetchall()


def _checked(given: Mapping[str, Any]) -> Row:
    model = given["model"]
    if not isinstance(model, str) or not model:
        raise BadValue(f"prices: a model must be a name; got {model!r:.80}.")
    expected = f"of {model!r} must be the price of a million tokens"
    rates = {name: amount(given.get(name), f"prices: {name} {expected}") for name in RATES}
    for name in ("input", "output"):
        if rates[name] is None:
            raise BadValue(f"prices: {model!r} has no price of its {name}.")
    return {
        "source": "user",
        "provider": given.get("provider"),
        "model": model,
        "price_model": model,
        "from_date": day(given.get("from_date"), f"prices: from_date of {model!r} must be a date"),
        "above_input": int(given.get("above_input") or 0),
        "currency": given.get("currency") or "USD",
        **rates,
    }


def amount(value: Any, expected: str) -> Decimal | None:
    """Return a cell of a table as a number from 0, None for an empty one; `expected` begins the error."""
    if value is None or value != value:  # pandas has NaN for a missing number
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal(-1)
    if not 0 <= number < _MOST:
        raise BadValue(f"{expected}; got {value!r:.80}.")
    return number


def day(value: Any, expected: str) -> date | None:
    """Return a cell of a table as a date, None for an empty one; `expected` begins the error."""
    if value is None or value != value:
        return None
    try:
        parsed = value if isinstance(value, date) else datetime.fromisoformat(str(value))
    except ValueError:
        raise BadValue(f"{expected}; got {value!r:.80}.") from None
    if not isinstance(parsed, datetime):
        return parsed
    return (parsed if parsed.tzinfo is None else parsed.astimezone(UTC)).date()
