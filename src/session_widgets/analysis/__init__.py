"""Transcripts and their outcomes as numbers.

`paired` compares sides of an experiment over the tasks that both have run; `stats` has the formulas alone. `align`
sets the tool calls of sessions side by side and finds where they part.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from session_widgets.analysis import stats
    from session_widgets.analysis.alignment import Alignment, Divergence, Divergences, align
    from session_widgets.analysis.comparison import Comparison, Paired, paired

_HOMES = {
    "Alignment": "alignment",
    "Comparison": "comparison",
    "Divergence": "alignment",
    "Divergences": "alignment",
    "Paired": "comparison",
    "align": "alignment",
    "paired": "comparison",
    "stats": "stats",
}

__all__ = ["Alignment", "Comparison", "Divergence", "Divergences", "Paired", "align", "paired", "stats"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{home}")
    return module if home == name else getattr(module, name)


def __dir__() -> list[str]:
    return __all__
