"""The process of the judges: reads calls of these functions from its input and writes their results, both pickled.

The results are numbers, so that their reader need not load SciPy.
"""

from __future__ import annotations

import gc
import pickle
import sys
from typing import Any

import numpy as np
from scipy import stats
from statsmodels.regression import linear_model
from statsmodels.stats import contingency_tables, multitest, power, proportion, weightstats

POWER = power.NormalIndPower(ddof=0)


def t_tail(t: float, df: float) -> Any:
    return stats.t.sf(t, df)


def t_quantile(share: float, df: float) -> Any:
    return stats.t.ppf(share, df)


def normal_quantile(share: float) -> Any:
    return stats.norm.ppf(share)


def sem(values: list[float]) -> Any:
    return stats.sem(values)


def wilson(passed: int, runs: int, confidence: float) -> Any:
    return proportion.proportion_confint(passed, runs, alpha=1 - confidence, method="wilson")


def clustered_mean(values: list[float], clusters: list[Any]) -> tuple[float, float, tuple[float, float]]:
    """Return the intercept of a regression on nothing else, its standard error, and its interval."""
    fit = linear_model.OLS(values, np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": np.array(clusters), "df_correction": True}, use_t=True
    )
    return fit.params[0], fit.bse[0], tuple(fit.conf_int()[0])


def mcnemar(table: list[list[int]]) -> Any:
    return contingency_tables.mcnemar(table, exact=True).pvalue


def holm(p_values: list[float]) -> list[float]:
    return list(multitest.multipletests(p_values, method="holm")[1])


def sign_flip(sums: list[float], batch: int | None = None) -> Any:
    flips = stats.permutation_test((sums,), np.sum, permutation_type="samples", n_resamples=np.inf, batch=batch)
    return flips.pvalue


def normal_power(effect: float, tasks: int, alpha: float) -> Any:
    return POWER.power(effect, tasks, alpha, ratio=0)


def two_one_sided_tests(first: Any, second: Any, margin: float) -> Any:
    return weightstats.ttost_paired(first, second, -margin, margin)[0]


def paired_interval(first: Any, second: Any, confidence: float) -> tuple[float, float]:
    return tuple(stats.ttest_rel(first, second).confidence_interval(confidence))


def bootstrap(values: Any, draws: int) -> tuple[float, float]:
    found = stats.bootstrap((values,), np.mean, n_resamples=draws, method="percentile", rng=5)
    return tuple(found.confidence_interval)


def _main() -> None:
    gc.freeze()  # statsmodels collects the garbage at each call
    while True:
        try:
            name, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(globals()[name](*arguments), sys.stdout.buffer)
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
