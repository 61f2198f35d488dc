"""Find a harness by name: those of this release, and third-party ones by entry point `session_widgets.harnesses`."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from session_widgets.errors import BadValue
from session_widgets.harnesses.entries import HARNESSES
from session_widgets.harnesses.harness import Harness

GROUP = "session_widgets.harnesses"


@cache
def _known() -> dict[str, Harness]:
    """All of them by id; what comes with session-widgets is not replaced by others."""
    return {harness.id: harness for harness in (*_others()[0], *HARNESSES)}


@cache
def _others() -> tuple[list[Harness], dict[str, str]]:
    """Return what other packages offer, and why the rest of it cannot be had: a broken package spoils no other."""
    found, broken = [], {}
    for point in entry_points(group=GROUP):
        try:
            harness = point.load()
        except Exception as error:  # whatever somebody's module raises when it is imported
            broken[point.name] = f"{type(error).__name__}: {error}"
            continue
        if isinstance(harness, Harness):
            found.append(harness)
        else:
            broken[point.name] = f"expected a Harness, got {harness!r:.80}"
    return found, broken


def names() -> list[str]:
    """Return the ids of the harnesses that can be named, this release's own first."""
    own = [harness.id for harness in HARNESSES]
    return own + sorted(set(_known()) - set(own))


def get(name: str | Harness) -> Harness:
    """Return a harness by id, or the one that is given.

    Raises:
        BadValue: there is none; the message lists what exists.
    """
    if isinstance(name, Harness):
        return name
    harness = _known().get(name) if isinstance(name, str) else None
    if harness:
        return harness
    if isinstance(name, str) and (why := _others()[1].get(name)):
        raise BadValue(f"the harness {name!r:.80} of another package cannot be loaded: {why:.300}")
    raise BadValue(
        f"there is no harness {name!r:.80}. Choose one of {', '.join(map(repr, names()))}, or pass any program that "
        "speaks ACP: Harness(command=['my-agent', 'acp'])."
    )
