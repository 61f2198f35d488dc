"""Statistics of runs over tasks, pure: each function cites its formula. `session_widgets.analysis.paired` uses them."""

from __future__ import annotations

from session_widgets.analysis.stats.decision import Verdict, clusters_for_a_tie, p_equivalent, verdict
from session_widgets.analysis.stats.differences import PairedDifference, paired_difference
from session_widgets.analysis.stats.exact import holm, mcnemar, sign_flip
from session_widgets.analysis.stats.rates import Interval, Mean, cluster_bootstrap, clustered_mean, wilson
from session_widgets.analysis.stats.repeated import (
    OverTasks,
    pass_at_k,
    pass_at_k_over_tasks,
    pass_hat_k,
    pass_hat_k_over_tasks,
)
from session_widgets.analysis.stats.sample_size import detectable, power, runs_needed, tasks_needed

__all__ = [
    "Interval",
    "Mean",
    "OverTasks",
    "PairedDifference",
    "Verdict",
    "cluster_bootstrap",
    "clustered_mean",
    "clusters_for_a_tie",
    "detectable",
    "holm",
    "mcnemar",
    "p_equivalent",
    "paired_difference",
    "pass_at_k",
    "pass_at_k_over_tasks",
    "pass_hat_k",
    "pass_hat_k_over_tasks",
    "power",
    "runs_needed",
    "sign_flip",
    "tasks_needed",
    "verdict",
    "wilson",
]
