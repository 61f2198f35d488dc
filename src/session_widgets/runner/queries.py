"""Validation of query parameters."""

from __future__ import annotations

from starlette.requests import Request

from session_widgets.runner.problems import invalid


def required(request: Request, name: str) -> str:
    """Return a query parameter; raise `Problem` if it is missing."""
    if (value := request.query_params.get(name)) is None:
        raise invalid(f"missing required '{name}' query parameter")
    return value


def flag(request: Request, name: str) -> bool:
    """Return a boolean query parameter; absent = false."""
    value = request.query_params.get(name, "false").lower()
    if value not in ("true", "false"):
        raise invalid(f"{name} must be true or false: {value!r:.40}")
    return value == "true"


def count(request: Request, name: str, default: int) -> int:
    """Return a query parameter with a whole number from 0."""
    value = request.query_params.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdecimal()) or len(value) > 18:
        raise invalid(f"{name} must be a whole number: {value!r:.40}")
    return int(value)
