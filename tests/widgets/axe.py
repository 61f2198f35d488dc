"""axe-core on one view in a page."""

from __future__ import annotations

from typing import Any

from tests.widgets.pages import Bench

PAGE_RULES = {
    name: {"enabled": False}  # rules for a whole page, which the notebook is and the panel is not
    for name in ("document-title", "html-has-lang", "landmark-one-main", "page-has-heading-one", "region", "bypass")
}


SETTLED = """() => Promise.all(document.getAnimations()
  .filter((one) => Number.isFinite(one.effect.getComputedTiming().endTime))
  .map((one) => one.finished.catch(() => null)))"""


def faults(panel: Bench) -> dict[str, Any]:
    """What axe finds wrong, by rule: how bad, and where."""
    panel.page.evaluate(SETTLED)
    found = panel.page.evaluate("(rules) => axe.run('#view', { rules, resultTypes: ['violations'] })", PAGE_RULES)
    return {
        fault["id"]: (fault["impact"], [node["html"][:200] for node in fault["nodes"]]) for fault in found["violations"]
    }
