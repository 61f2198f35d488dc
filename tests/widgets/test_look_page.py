"""Contrast, target sizes, alignment and spacing, measured on the built bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from session_widgets.widgets import SessionPanel
from tests.widgets.pages import Bench
from tests.widgets.scripted import Scripted, diff, text

pytestmark = pytest.mark.needs("chromium")

CONTRASTS = """() => {
  const canvas = document.createElement("canvas"); canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    pen.clearRect(0, 0, 1, 1); pen.fillStyle = color; pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], [x, y, z]) => [r * a + x * (1 - a), g * a + y * (1 - a), b * a + z * (1 - a), 1];
  const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (one, two) => {
    const [a, b] = [light(one), light(two)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const chain = (element) => {
    const all = [];
    for (let e = element; e; e = e.parentElement) all.unshift(e);
    return all;
  };
  const bad = [];
  const look = (element, color, words) => {
    const exempt = ".sw-hidden, :disabled, [data-off=true], .sw-shimmer";
    if (element.closest(exempt) || !element.getClientRects().length) return;
    let back = [255, 255, 255, 1], dimmed = 1;
    for (const e of chain(element)) {
      const style = getComputedStyle(e);
      back = over(rgba(style.backgroundColor), back);
      dimmed *= Number(style.opacity);
    }
    if (dimmed === 0) return;
    const [r, g, b, a] = rgba(color);
    const seen = ratio(over([r, g, b, a * dimmed], back), back);
    if (seen < 4.5) bad.push(`${words.trim().slice(0, 30)} (${element.className}): ${seen.toFixed(2)}`);
  };
  const walk = document.createTreeWalker(document.querySelector(".sw"), NodeFilter.SHOW_TEXT);
  let count = 0;
  while (walk.nextNode()) {
    const node = walk.currentNode, element = node.parentElement;
    if (!node.textContent.trim() || element.closest("style, option")) continue;
    count += 1;
    look(element, getComputedStyle(element).color, node.textContent);
  }
  const area = document.querySelector(".sw textarea");
  if (area) look(area, getComputedStyle(area, "::placeholder").color, "placeholder");
  return [count, [...new Set(bad)]];
}"""

SMALL_TARGETS = """() => [...document.querySelectorAll(".sw :is(button, select, summary, [role=treeitem], [role=tab])")]
  .filter((e) => e.getClientRects().length)
  .map((e) => [e, e.getBoundingClientRect()])
  .filter(([, { width, height }]) => Math.min(width, height) < 23.99)
  .map(([e, { width, height }]) => `${e.className} ${e.textContent.trim().slice(0, 20)}: ${width}x${height}`)"""

FONT_SIZES = """() => {
  const sizes = new Set(), walk = document.createTreeWalker(document.querySelector(".sw"), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || element.closest("style, option")) continue;
    sizes.add(getComputedStyle(element).fontSize);
  }
  return [...sizes].sort();
}"""

COLOURS = "\x1b[31mred\x1b[0m \x1b[2mdim\x1b[0m \x1b[33myellow\x1b[0m"
PYTHON = "def double(number):\n    return 2 * number  # twice\n\n\nprint(double(21), 'done')\n"
ANSWER = f"""## Done

I wrote `double.py`:

```python
{PYTHON}```

| in | out |
| --- | --- |
| 21 | 42 |

> and *that* [is](https://example.org) all

- one
- two
"""


def rich(session: Scripted, files: Callable[[str, str], Any]) -> None:
    """Everything that a panel draws."""
    session.offer(mode=["ask", "plan"], model=["small", "large"], effort=["low", "high"])
    session.begin("Write double.py, then run it")
    session.think("First I look, then I write.")
    session.plan(("Look", "completed"), ("Write", "in_progress"), ("Run", "pending"))
    session.tool("r", title="Read a", kind="read", status="completed", content=[text("contents")])
    session.tool("w", title="Write double.py", kind="edit", content=[diff("double.py", "old line\n", PYTHON)])
    session.ask(1, toolCallId="w")
    session.pending[-1].choose("always")
    session.tool("w", first=False, status="completed")
    session.tool(
        "x",
        title="make",
        kind="execute",
        rawInput={"command": "make"},
        content=[text(COLOURS)],
    )
    session.ask(2, toolCallId="x")
    session.note(
        "permission_decision", request_id="/2", outcome="selected", option_id="once", decided_by="policy:allow_all"
    )
    session.pending.pop()
    session.tool("x", first=False, status="failed")
    session.tool("y", title="rm", kind="delete")
    session.ask(3, toolCallId="y")
    session.pending[-1].choose("no")
    session.tool("y", first=False, status="failed")
    session.say(ANSWER)
    session.update("usage_update", used=6100, size=32000)
    session.end(
        files=[{"path": "double.py", "change": "created"}, {"path": "old.py", "change": "deleted"}],
        durable_at="2026-01-01T00:00:00+00:00",
        usage={"input_tokens": 3, "output_tokens": 2},
    )
    session.hand_over({"turns": []}, "again", tier="fresh")
    session.end("failed", stop_reason=None, error="RuntimeError: it broke")
    session.begin("and once more")
    session.say("I will edit it now.")
    files("double.py", PYTHON)
    files("data.csv", "a,b\n1,2\n")
    session.tool(
        "e", title="Edit double.py", kind="edit", content=[diff("double.py", PYTHON, PYTHON.replace("21", "22"))]
    )
    session.ask(4, toolCallId="e")


@pytest.fixture
def shown(page: Page, session: Scripted, tmp_path: Any, request: pytest.FixtureRequest) -> Iterator[Bench]:
    theme = getattr(request, "param", "light")
    page.emulate_media(color_scheme=theme)
    bench = Bench(page, SessionPanel(session), body=f"data-jp-theme-light={str(theme == 'light').lower()}")
    bench.sees("No files yet")
    rich(session, lambda name, words: (tmp_path / name).write_text(words))
    bench.sees("May the agent")
    bench.until(lambda: page.locator(".sw-node[data-path='double.py']").count())
    page.locator(".sw-node[data-path='double.py']").click()
    bench.sees("return 2 * number  # twice")
    bench.until(lambda: page.get_by_test_id("permission-allow_once").is_enabled())
    page.locator(".sw-thought-head").click()
    page.locator(".sw-kept").first.click()
    bench.sees("On disk since")
    yield bench
    bench.widget.close()
    assert bench.errors == []


@pytest.mark.parametrize("shown", ["light", "dark"], indirect=True)
def test_every_word_can_be_read(shown: Bench) -> None:
    for _ in range(2):
        count, bad = shown.page.evaluate(CONTRASTS)
        assert count > 120
        assert bad == []
        shown.page.get_by_role("button", name="Delete").click()  # with its question


def test_a_finger_hits_every_button(shown: Bench) -> None:
    assert shown.page.evaluate(SMALL_TARGETS) == []
    shown.page.evaluate("document.querySelector('#view').style.width = '380px'")
    shown.page.wait_for_timeout(100)
    assert shown.page.evaluate(SMALL_TARGETS) == []


def test_three_sizes_of_letters(shown: Bench) -> None:
    assert shown.page.evaluate(FONT_SIZES) == ["12px", "13px", "15px"]


@pytest.mark.parametrize("width", [1040, 380])
def test_the_composer_stands_below_the_text(shown: Bench, width: int) -> None:
    shown.page.evaluate(f"document.querySelector('#view').style.width = '{width}px'")
    edges = """() => [".sw-message", ".sw-box", ".sw-ask"]
        .map((name) => document.querySelector(name).getBoundingClientRect())
        .map(({ left, right }) => [Math.round(left * 2) / 2, Math.round(right * 2) / 2])"""
    shown.until(lambda: len({tuple(pair) for pair in shown.page.evaluate(edges)}) == 1, what="one column")
    scroller = "((e) => e.offsetWidth - e.clientWidth)(document.querySelector('.sw-scroll'))"
    assert shown.page.evaluate(scroller) > 0, "beside a scrollbar that takes room"


def test_icons_stand_in_one_column_open_or_closed(shown: Bench) -> None:
    places = """() => [...document.querySelectorAll(
        ".sw-list :is(.sw-tool-head, .sw-thought-head, .sw-plan-head) > .sw-icon:first-child")]
        .map((icon) => icon.getBoundingClientRect().left)"""
    before = shown.page.evaluate(places)
    assert len(before) == 7
    assert max(before) - min(before) < 0.6
    text_left = "document.querySelector('.sw-box textarea').getBoundingClientRect().left"
    assert abs(shown.page.evaluate(text_left) - before[0]) < 0.6
    shown.page.locator(".sw-tool-head", has_text="Read a").click()
    shown.sees("contents")
    assert shown.page.evaluate(places) == before


@pytest.mark.parametrize("width", [1040, 700, 520, 340])
def test_the_header_stays_as_it_is_whatever_the_agent_does(page: Page, session: Scripted, width: int) -> None:
    session.title = "Fix the parser"
    session.note("session_changed", title=session.title)
    bench = Bench(page, SessionPanel(session), width=width)
    places = """() => [...document.querySelectorAll(".sw-chat :is(.sw-title, .sw-badge, .sw-status)")]
      .map((e) => e.getBoundingClientRect()).map(({ left, right, top, bottom }) => [left, right, top, bottom])"""
    bench.sees("Ready")
    before = page.evaluate(places)
    title = "((e) => e.scrollWidth <= e.clientWidth)(document.querySelector('.sw-chat .sw-title'))"
    assert page.evaluate(title), "the title is whole"
    bars = "((e) => e.scrollWidth <= e.clientWidth)(document.querySelector('.sw-chat .sw-head'))"
    assert page.evaluate(bars)
    session.begin("go")
    bench.sees("Starting")
    assert page.evaluate(places) == before
    session.tool("t", kind="execute", title="make", rawInput={"command": "make a very long command that says much"})
    bench.sees("Running")
    assert page.evaluate(places) == before
    session.ask(1, toolCallId="t")
    bench.sees("Waiting")
    assert page.evaluate(places) == before
    badge = page.locator(".sw-chat .sw-badge").first
    whole = """(e) => [...e.querySelectorAll(":scope > span")]
        .every((s) => !s.getClientRects().length || s.scrollWidth <= s.clientWidth)"""
    assert all(one.evaluate(whole) for one in page.locator(".sw-chat .sw-badge").all()), (
        "words or an icon, no bits of words"
    )
    assert badge.bounding_box()["width"] >= 24
    bench.widget.close()


def test_the_wheel_goes_on_to_the_notebook_at_the_ends(shown: Bench) -> None:
    page = shown.page
    page.evaluate("document.body.style.paddingBottom = '2000px'")
    page.locator(".sw-scroll").hover()
    for _ in range(60):
        page.mouse.wheel(0, 400)
        page.wait_for_timeout(20)
        if page.evaluate("scrollY") > 200:
            return
    pytest.fail("the panel kept the wheel")


def test_the_composer_is_on_the_screen_at_twice_the_size(shown: Bench) -> None:
    page = shown.page
    page.set_viewport_size({"width": 550, "height": 400})
    bounds = page.evaluate("(({ height }) => height)(document.querySelector('.sw').getBoundingClientRect())")
    assert bounds <= 0.7 * 400
    box, panel = page.locator(".sw-box").bounding_box(), page.locator(".sw").bounding_box()
    assert box["y"] + box["height"] <= panel["y"] + panel["height"]
    expect(page.get_by_test_id("permission-allow_once")).to_be_in_viewport()
