"""Much text: all of it arrives, the page stays small, and so does the notebook."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.support.waiting import until

pytestmark = pytest.mark.needs("chromium", "kernels")
CHUNKS = 20_000
TEXT = "".join(f"chunk {i} " for i in range(CHUNKS))
WATCH_FOR_GAPS = """() => {
  window.gaps = 0;
  new MutationObserver(() => { if (document.querySelector(".sw-banner")) window.gaps += 1; })
    .observe(document.body, { childList: true, subtree: true });
}"""

STATE_SIZES = """
import json, ipywidgets.widgets.widget as kernel_side
for one in kernel_side._instances.values(): print(len(json.dumps(one.get_state(), default=str)))
"""


def summary(saved: Any) -> str:
    """What a saved notebook shows where no kernel answers."""
    outputs = [output for cell in saved["cells"] for output in cell.get("outputs", [])]
    shown = ["".join(output.get("data", {}).get("text/html", "")) for output in outputs]
    [found] = [html for html in shown if "data-sw-for" in html]
    return found


def test_20_000_chunks_arrive_and_the_notebook_stays_small(notebook):
    panel = notebook.open_session()
    notebook.page.evaluate(WATCH_FOR_GAPS)
    panel.prompt(f"stream {CHUNKS}")
    expect(panel.ends).to_contain_text("Done", timeout=30_000)
    more = panel.root.get_by_role("button", name="Show more")
    expect(more).to_contain_text(f"of {len(TEXT) / 1000:.0f}k characters left")
    more.click()
    expect(more).to_have_count(0)
    expect(panel.transcript).to_contain_text(f"chunk {CHUNKS - 1}")
    shown = panel.transcript.locator(".sw-message").inner_text()
    assert shown.split() == TEXT.split()
    assert notebook.page.evaluate("window.gaps") == 0

    panel.prompt("\n".join(f"think {number}\nsay answer {number}" for number in range(200)))
    expect(panel.ends).to_have_count(1)
    expect(panel.transcript).to_contain_text("answer 199")
    assert panel.root.locator("*").count() < 4000

    until(lambda: "answer 199" in summary(notebook.saved()), what="the summary of the second turn")
    assert len(summary(notebook.saved()).encode()) <= 150_000
    assert notebook.file.stat().st_size < 500_000
    states = [int(size) for size in notebook.kernel_says(STATE_SIZES).split()]
    assert 50_000 < max(states) < 300_000
