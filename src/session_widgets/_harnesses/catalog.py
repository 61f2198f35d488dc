"""Find a harness by name: those of this release, and third-party ones by entry point `session_widgets.harnesses`."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from session_widgets._harnesses.entries import HARNESSES
from session_widgets._harnesses.harness import Harness
from session_widgets.errors import BadValue

GROUP = "session_widgets.harnesses"
_OWN = {harness.id: harness for harness in HARNESSES}


@cache
def _known() -> dict[str, Harness]:
    """All harnesses by id; other packages cannot replace those of session-widgets."""
    return {harness.id: harness for harness in _others()[0]} | _OWN


@cache
def _others() -> tuple[list[Harness], dict[str, str]]:
    """Return the harnesses of other packages, and the errors of those that cannot be loaded."""
    found, broken = [], {}
    for point in entry_points(group=GROUP):
        try:
            harness = point.load()
        except Exception as error:  # any error of another package's module
            broken[point.name] = f"{type(error).__name__}: {error}"
            continue
        if isinstance(harness, Harness):
            found.append(harness)
        else:
            broken[point.name] = f"expected a Harness, got {harness!r:.80}"
    return found, broken


def names() -> list[str]:
    """Return the ids of all harnesses, this release's own first."""
    return list(_OWN) + sorted(set(_known()) - set(_OWN))


def get(name: str | Harness) -> Harness:
    """Return a harness by id, or the given one.

    Raises:
        BadValue: it does not exist; the message lists the existing ones.
    """
    if isinstance(name, Harness):
        return name
    harness = (_OWN.get(name) or _known().get(name)) if isinstance(name, str) else None
    if harness:
        return harness
    if isinstance(name, str) and (why := _others()[1].get(name)):
        raise BadValue(f"the harness {name!r:.80} of another package cannot be loaded: {why:.300}")
    raise BadValue(
        f"there is no harness {name!r:.80}. Choose one of {', '.join(map(repr, names()))}, or pass any program that "
        "speaks ACP: Harness(command=['my-agent', 'acp'])."
    )
