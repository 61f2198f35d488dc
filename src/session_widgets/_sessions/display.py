"""How a session draws itself. The package face plugs the panel in here, since nothing below may import widgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _print(session: object) -> None:
    print(repr(session))  # noqa: T201  # what a display without widgets comes down to


draw: Callable[[Any], None] = _print
