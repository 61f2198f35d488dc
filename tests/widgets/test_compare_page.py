"""`sw.Compare` in a page: lines, jumps, keys, figures, files."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

import session_widgets as sw
from tests.analysis.stored import store_session, tool
from tests.support import needs
from tests.widgets.axe import faults
from tests.widgets.pages import Bench

pytestmark = pytest.mark.needs("chromium", "axe")

HOSTILE = "<img src=x onerror=document.title='taken'>\u202e `code` **bold**"


@pytest.fixture
def runs(home):
    reads = [tool("read", {"path": f"/w/{n}.py"}) for n in range(120)]
    searches = [[tool("search", {"pattern": f"{name} {n}"}) for n in range(200)] for name in "ab"]
    out = [{"type": "content", "content": {"type": "text", "text": f"out {HOSTILE}"}}]
    command = tool("execute", {"command": HOSTILE}, content=out)
    write = {"file_path": "/w/new.txt", "content": "one\ntwo\n"}
    store_session("one", "/w", *reads, tool("edit", write), command, *searches[0], error=HOSTILE)
    store_session("two", "/w", *reads, tool("edit", write | {"content": "one\nthree\n"}), command, *searches[1])
    return ["one", "two"]


def test_runs_are_read_side_by_side(page: Page, runs):
    bench = Bench(page, sw.Compare(runs))
    page.evaluate(needs.AXE.read_text())
    bench.sees("120 equal steps")
    assert page.locator(".sw-cmp-line").count() <= 60, "only lines in view are drawn"
    part = page.locator(".sw-cmp-part")
    assert [" ".join(words.split()) for words in part.all_inner_texts()] == [
        "Actions step 123",
        "Files step 121",
        "Edits step 121",
        "Outcomes at the end",
    ]
    assert f'[data-sw-for="{bench.widget.snapshot_id}"]' in page.locator("#view style").inner_text()
    # a jump has the focus and its mark; the last one draws lines that were not in the page
    page.locator(".sw-cmp-part[data-name=outcome]").click()
    bench.until(lambda: page.evaluate("document.activeElement.dataset.sign") == "end")
    bench.sees("The outcomes differ")
    bench.until(
        lambda: page.locator(".sw-cmp-line:focus").evaluate("row => row.getBoundingClientRect().bottom < innerHeight")
    )
    page.keyboard.press("1")
    bench.until(lambda: page.evaluate("document.activeElement.dataset.column") == "122")
    bench.sees("The actions part here")
    page.keyboard.press("ArrowUp")
    bench.until(lambda: page.evaluate("document.activeElement.dataset.column") == "121")
    # the whole step, of an agent that is hostile
    page.keyboard.press("Enter")
    bench.until(lambda: page.locator(".sw-cmp-details .sw-tool").count() == 2)
    bench.sees("out <img src=x onerror")
    assert page.locator("#view img").count() == 0
    page.keyboard.press("Escape")
    bench.until(lambda: page.locator(".sw-cmp-details").count() == 0)
    bench.until(lambda: page.evaluate("document.activeElement.dataset.column") == "121")
    page.keyboard.press("p")
    bench.until(lambda: page.evaluate("document.activeElement.dataset.column") == "120")
    # a stretch opens by key, and its lines by the keys after it
    page.keyboard.press("Home")
    bench.until(lambda: page.evaluate("document.activeElement.dataset.column") == "0")
    page.keyboard.press("Enter")
    bench.sees("12.py")
    assert faults(bench) == {}
    # figures and files, with the arrow keys of tabs
    page.locator("[role=tab][aria-selected=true]").focus()
    page.keyboard.press("ArrowRight")
    bench.sees("tool calls")
    assert faults(bench) == {}
    page.keyboard.press("ArrowRight")
    bench.sees("1 file differs")
    page.locator(".sw-cmp-content").last.click()
    bench.sees("three")
    expect(page.locator(".sw-row-del .sw-line")).to_have_text("two")
    assert faults(bench) == {}
    # the store goes on in another process: the page asks, and keeps its place
    store_session("two", "/w", tool("fetch", {"url": "http://x/"}))
    page.get_by_role("button", name="Compare again").click()
    bench.until(lambda: bench.widget._n == 2)
    assert page.title() == ""
    bench.widget.close()
    assert bench.errors == []


def test_one_run_is_missing(page: Page, runs):
    bench = Bench(page, sw.Compare(["one", "gone"]), width=400)
    page.evaluate(needs.AXE.read_text())
    bench.sees("two runs are needed")
    bench.sees("not in the store")
    page.locator("[data-name=figures]").click()
    bench.sees("tool calls")
    assert faults(bench) == {}
    bench.widget.close()
    assert bench.errors == []
