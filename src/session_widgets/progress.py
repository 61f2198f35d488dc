"""Progress of slow steps: starting a store, fetching files, building an image, installing a harness."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]
"""Called with a few words on the current step, each time a slow step advances."""


def silent(_: str) -> None:
    """Ignore all progress."""
