"""How a session and a list of sandboxes draw themselves.

The package face plugs the widgets in here, since nothing below may import them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _print(shown: object) -> None:
    print(repr(shown))  # noqa: T201  # what a display without widgets comes down to


draw: Callable[[Any], None] = _print
draw_sandboxes: Callable[[Any], None] = _print
