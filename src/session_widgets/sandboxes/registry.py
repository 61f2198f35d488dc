"""Find a provider by name: entry points `session_widgets.sandboxes`, loaded on use."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

from session_widgets.errors import BadValue
from session_widgets.sandboxes.contract import SandboxProvider

GROUP = "session_widgets.sandboxes"


def provider_names() -> list[str]:
    """Return the names of the installed providers, sorted."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def get_provider(name: str, home: Path) -> SandboxProvider:
    """Return a new provider that keeps its records under `home`.

    Raises:
        BadValue: no installed provider has this name.
        MissingDependency: its package is not installed.
    """
    for point in entry_points(group=GROUP):
        if point.name == name:
            return cast("SandboxProvider", point.load()(home))
    names = ", ".join(repr(known) for known in provider_names())
    raise BadValue(
        f"sandbox must be one of {names}; got {name!r:.80}. Other providers come as packages with an entry point "
        f"in the group '{GROUP}'."
    )
