"""A search for its page: what was asked, how far it is, and its hits. `js/src/search/protocol.ts` is the same.

Times are milliseconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

from session_widgets._store.choices import Choices
from session_widgets._store.hits import Hit
from session_widgets.widgets._text import safe
from session_widgets.widgets._wire import millis


class AskedView(TypedDict):
    """What a page asks for; a filter that is not set is None."""

    text: str
    regex: bool
    case: bool
    harness: list[str] | None
    model: str | None
    tool: list[str] | None
    kind: list[str] | None
    error: bool | None
    file: str | None
    since: str | None
    until: str | None
    session: list[str] | None


class SearchView(TypedDict):
    """How far a search is.

    `state` is "idle" before the first one; `done` is the searched part of the steps, 0 to 1. Once it is over, `reason`
    says why it is not complete, and `more` what would continue it; `error` why it could not be done.
    """

    n: int
    asked: AskedView
    state: Literal["idle", "running", "over"]
    done: float
    found: int
    sessions: int
    steps: int
    seconds: float
    reason: str | None
    more: Literal["limit", "time", "again"] | None
    error: str | None


class HitView(TypedDict):
    """One hit; `before`, `match` and `after` are cut."""

    session: str
    turn: int
    step: int
    kind: str
    tool: str | None
    title: str | None
    field: str
    before: str
    match: str
    after: str
    at: int
    harness: str | None
    model: str | None


class ChoicesView(TypedDict):
    """What the store has to choose from, the most frequent first."""

    sessions: int
    steps: int
    harness: list[str]
    model: list[str]
    tool: list[str]
    kind: list[str]


def hit_view(hit: Hit) -> HitView:
    """Return a hit for the page."""
    return {
        "session": hit.session_id,
        "turn": hit.turn,
        "step": hit.step,
        "kind": safe(hit.kind)[:40],
        "tool": _short(hit.tool, 80),
        "title": _short(hit.title, 300),
        "field": hit.field,
        "before": safe(hit.before),
        "match": safe(hit.match),
        "after": safe(hit.after),
        "at": millis(hit.at),
        "harness": _short(hit.harness, 80),
        "model": _short(hit.model, 120),
    }


def choices_view(found: Choices) -> ChoicesView:
    """Return the choices for the page."""
    return {
        "sessions": found.sessions,
        "steps": found.steps,
        "harness": _whole(found.harness),
        "model": _whole(found.model),
        "tool": _whole(found.tool),
        "kind": _whole(found.kind),
    }


def _whole(values: Sequence[str]) -> list[str]:
    """The values without those that would come back changed."""
    return [value for value in values if value == safe(value)[:120]]


def _short(text: str | None, limit: int) -> str | None:
    return None if text is None else safe(text)[:limit]
