"""Transcripts and their outcomes as numbers.

`success` gives the rate of each side of an experiment, `paired` compares them over the tasks that both have run,
`stats` has the formulas alone. `align` sets the tool calls of sessions side by side and finds where they part,
`metrics` their figures, `behaviours` loops, errors that were ignored and other habits, with their steps.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from session_widgets.analysis import stats
    from session_widgets.analysis.alignment import Alignment, Divergence, Divergences, align
    from session_widgets.analysis.author_agreement import Agreement, agreement
    from session_widgets.analysis.behaviour import Behaviours, behaviours
    from session_widgets.analysis.comparison import Comparison, Paired, paired
    from session_widgets.analysis.run_metrics import Metrics, metrics
    from session_widgets.analysis.success_rates import Success, SuccessRate, success

_HOMES = {
    "Agreement": "author_agreement",
    "Alignment": "alignment",
    "Behaviours": "behaviour",
    "Comparison": "comparison",
    "Divergence": "alignment",
    "Divergences": "alignment",
    "Metrics": "run_metrics",
    "Paired": "comparison",
    "Success": "success_rates",
    "SuccessRate": "success_rates",
    "agreement": "author_agreement",
    "align": "alignment",
    "behaviours": "behaviour",
    "metrics": "run_metrics",
    "paired": "comparison",
    "stats": "stats",
    "success": "success_rates",
}

__all__ = [
    "Agreement",
    "Alignment",
    "Behaviours",
    "Comparison",
    "Divergence",
    "Divergences",
    "Metrics",
    "Paired",
    "Success",
    "SuccessRate",
    "agreement",
    "align",
    "behaviours",
    "metrics",
    "paired",
    "stats",
    "success",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{home}")
    return module if home == name else getattr(module, name)


def __dir__() -> list[str]:
    return __all__
