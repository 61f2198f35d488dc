"""`sw.Search` in a page: typing, filters, keys, the replay beside a hit, and what it says when it found nothing."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

import session_widgets as sw
from tests.analysis.stored import store_session, tool
from tests.support import needs
from tests.widgets.axe import faults
from tests.widgets.pages import Bench

pytestmark = pytest.mark.needs("chromium", "axe")

HOSTILE = "<img src=x onerror=document.title='taken'>\u202e <mark>"
WATCH_FIRST_ROW = """() => {
  window.firstRows = [];
  const look = () => {
    const place = document.querySelector(".sw-search-scroll .sw-list-row")?.dataset.index;
    if (place !== undefined && place !== firstRows.at(-1)) firstRows.push(place);
    requestAnimationFrame(look);
  };
  look();
}"""


@pytest.fixture
def sessions(home):
    out = [{"type": "content", "content": {"type": "text", "text": f"before {HOSTILE} needle {HOSTILE} after"}}]
    store_session("long", "/w", *[tool("execute", {"command": f"make {n} needle"}, content=out) for n in range(150)])
    store_session("other", "/w", tool("read", {"path": f"/w/{HOSTILE}"}, "failed"), error=f"no needle here {HOSTILE}")


def test_a_search_in_a_page(page: Page, sessions):
    widget = sw.Search(limit=100)
    bench = Bench(page, widget)
    page.evaluate(needs.AXE.read_text())
    bench.sees("2 sessions, live and imported")
    assert faults(bench) == {}
    # as it is typed; the newest hits first, and the answer says that there may be more
    field, hits = page.locator(".sw-search-text"), page.locator(".sw-search-hit")
    field.press_sequentially("needle", delay=5)
    bench.sees("Not complete: the newest 100 hits")
    assert page.locator(".sw-search-session").first.inner_text().split()[0] == "long"
    assert 5 < hits.count() < 40, "only hits in view are in the page"
    assert page.locator("mark").first.inner_text() == "needle"
    page.get_by_role("button", name="Find more").click()
    bench.sees("151 hits in 2 sessions. All 154 steps searched")
    assert faults(bench) == {}
    # keys: into the hits, over them, and into the step of one
    field.press("ArrowDown")
    bench.until(lambda: page.evaluate("document.activeElement.getAttribute('aria-level')") == "2")
    page.keyboard.press("End")
    focused = "document.activeElement.dataset.key"
    bench.until(lambda: page.evaluate(focused) == "h 150", what="the last hit with the focus")
    for key in ("s other", "h 149"):
        page.keyboard.press("ArrowUp")
        bench.until(lambda key=key: page.evaluate(focused) == key)
    page.keyboard.press("Enter")
    bench.sees("step 1/1")
    bench.until(lambda: "make 0 needle" in page.locator(".sw-rep-step").inner_text())
    assert hits.and_(page.locator("[aria-selected=true]")).count() == 1
    marked = "[...new Set([...(CSS.highlights.get('sw-find') ?? [])].map((range) => range.toString()))].join()"
    bench.until(lambda: page.evaluate(marked) == "needle", what="the match, marked in the step")
    assert page.evaluate(focused) == "h 149", "the keys stay with the hits"
    page.keyboard.press("ArrowUp")
    bench.until(lambda: page.evaluate(focused) == "h 148")
    page.keyboard.press("Enter")
    bench.sees("step 1/2")
    assert page.evaluate("document.querySelectorAll('#view *').length") < 2000
    assert faults(bench) == {}
    page.keyboard.press("Escape")
    bench.until(lambda: page.locator(".sw-rep-axis").count() == 0)
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    bench.until(lambda: page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "false")
    page.keyboard.press("/")
    expect(field).to_be_focused()
    # filters, an expression, nothing found
    page.get_by_label("Outcome").select_option("true")
    bench.sees("1 hit in 1 session")
    field.fill("nee[")
    page.get_by_label("Regular expression, in RE2's syntax").click()
    bench.sees("The expression cannot be used")
    assert faults(bench) == {}
    field.fill("^nothing")
    bench.sees("No hits for “^nothing”")
    page.get_by_role("button", name="Search without filters").click()
    field.fill("^before .* needle")
    bench.sees("Not complete: the newest 100 hits")
    assert len(widget.hits) == 100, "the cell below has the same hits"
    assert page.title() == ""
    assert page.locator("#view img").count() == 0
    # without hits, what is said stands beside the open step
    hits.first.click()
    bench.sees("step 1/150")
    field.fill("none of it")
    bench.sees("Search for the plain text")
    said, step = page.locator(".sw-search-note").bounding_box(), page.locator(".sw-search-replay").bounding_box()
    assert said["x"] + said["width"] <= step["x"]
    field.fill("^before .* needle")
    bench.sees("Not complete: the newest 100 hits")
    # narrow: the step in place of the hits, until something else is asked
    page.evaluate("document.querySelector('#view').style.width = '400px'")
    page.evaluate(WATCH_FIRST_ROW)
    page.get_by_role("button", name="Hits").click()
    hits.first.click()
    bench.sees("step 1/150")
    expect(hits.first).to_be_hidden()
    assert page.evaluate("firstRows") == ["0"], "the list that is shown again begins where it began"
    expect(page.get_by_role("button", name="Hits")).to_be_focused()
    page.keyboard.press("Escape")
    expect(hits.first).to_be_focused()
    page.keyboard.press("Enter")
    expect(hits.first).to_be_hidden()
    field.fill("needle")
    bench.sees("Not complete: the newest 100 hits")
    expect(hits.first).to_be_visible()
    page.evaluate("model.dead = true")
    field.fill("gone")
    bench.sees("The kernel is gone")
    widget.close()
    assert bench.errors == []
