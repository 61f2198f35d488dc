"""SciPy and statsmodels, loaded at their first use: every worker imports every test, and they take 120 MB of each."""

from __future__ import annotations

from importlib import import_module
from typing import Any

GROUP = "judges"
"""The worker that loads them."""


class Later:
    """A module that is imported when one of its attributes is used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # pytest asks everything in a module for __bases__ and _mock_name
            raise AttributeError(attribute)
        return getattr(import_module(self._name), attribute)


contingency_tables = Later("statsmodels.stats.contingency_tables")
linear_model = Later("statsmodels.regression.linear_model")
multitest = Later("statsmodels.stats.multitest")
power = Later("statsmodels.stats.power")
proportion = Later("statsmodels.stats.proportion")
scipy_stats = Later("scipy.stats")
weightstats = Later("statsmodels.stats.weightstats")
