"""Find a provider by name: entry points `session_widgets.sandboxes`, loaded on use."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

from session_widgets._sandboxes.contract import SandboxProvider
from session_widgets.errors import BadValue, MissingDependency

GROUP = "session_widgets.sandboxes"


def provider_names() -> list[str]:
    """Return the names of the installed providers, sorted."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def providers_with(option: str) -> list[str]:
    """Return the names of the installed providers that accept an option of `Sandbox`, sorted."""
    found = set()
    for point in entry_points(group=GROUP):
        with suppress(MissingDependency):
            if option in getattr(point.load()(Path()), "options", ()):
                found.add(point.name)
    return sorted(found)


def get_provider(name: str, home: Path, token: str | None = None) -> SandboxProvider:
    """Return a new provider that keeps its records under `home`.

    Args:
        name: of the provider, or "provider:address" for one that offers `at(home, address, token)`.
        home: the data directory.
        token: grants access to the server at the address.

    Raises:
        BadValue: no installed provider has this name, or it accepts no address or token.
        MissingDependency: its package is not installed.
    """
    kind, colon, address = name.partition(":") if isinstance(name, str) else (name, "", "")
    for point in entry_points(group=GROUP):
        if point.name == kind:
            provider = point.load()
            if colon and hasattr(provider, "at"):
                return cast("SandboxProvider", provider.at(home, address, token))
            if colon or token is not None:
                raise BadValue(f"sandbox={name!r:.80}: {kind!r} takes no {'address' if colon else 'token'} here.")
            return cast("SandboxProvider", provider(home))
    names = ", ".join(repr(known) for known in provider_names())
    raise BadValue(
        f"sandbox must be one of {names}; got {name!r:.80}. Other providers come as packages with an entry point "
        f"in the group '{GROUP}'."
    )
