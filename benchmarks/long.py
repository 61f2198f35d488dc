"""A chat of 100,000 steps in Chromium: the first paint, a jump to the middle, scrolling, and a new step."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median

from playwright.sync_api import Page, sync_playwright

from benchmarks.figures import Figure
from session_widgets.widgets import Chat
from tests.support import needs
from tests.support.notebook import CHROMIUM
from tests.widgets.pages import Bench
from tests.widgets.scripted import Scripted

TURNS, STEPS = 100, 1_000
NODES = "document.querySelectorAll('#view *').length"
FIRST = """() => new Promise((resolve) => {
  const began = performance.now();
  const look = () => document.querySelectorAll('.sw-list-row .sw-tool, .sw-list-row .sw-message').length > 5
    ? requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - began))) : requestAnimationFrame(look);
  show('#view');
  look();
})"""
SCROLL = """(by) => new Promise((resolve) => {
  const e = document.querySelector('.sw-scroll'), took = [];
  let before = performance.now();
  const tick = (now) => {
    took.push(now - before);
    before = now;
    e.scrollTop += by;
    took.length < 120 ? requestAnimationFrame(tick) : resolve(took.slice(1));
  };
  requestAnimationFrame(tick);
})"""
MIDDLE = "((e) => { e.scrollTop = e.scrollHeight / 2 })(document.querySelector('.sw-scroll'))"


def measure(runs: int) -> list[Figure]:
    """Measure one page of a session that is in the kernel's memory; needs Chromium."""
    if why := needs.missing("chromium"):
        raise SystemExit(why)
    first, jumps, frames, rates, appends, nodes = [], [], [], [], [], 0
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        session = _session(Path(place))
        browser = playwright.chromium.launch(executable_path=needs.chromium(), headless=True, args=CHROMIUM)
        for _ in range(runs):
            page = browser.new_page()
            bench = Bench(page, Chat(session))  # type: ignore[arg-type]  # what the widgets use of a session
            bench.until(lambda page=page: page.locator(".sw-tool").count() > 5, seconds=60)
            page.evaluate("cleanups.forEach((one) => one())")
            first.append(float(page.evaluate(FIRST)) / 1000)
            jumps.append(_jump(bench))
            worked, shown = _scroll(page)
            frames.append(worked)
            rates.append(shown)
            nodes = max(nodes, int(page.evaluate(NODES)))
            bench.until(lambda page=page: page.locator(".sw-absent").count() == 0)
            appends.append(_append(bench, session))
            page.close()
            bench.widget.close()
        browser.close()
    remark = f"{TURNS * STEPS:,} steps, {nodes:,} nodes at most"
    return [
        Figure("chat of 100,000 steps, a view's first paint", "s", first, 0.3, remark=remark),
        Figure("its middle, from the jump to the painted steps", "s", jumps, 0.3),
        Figure("scrolling through it, work of a frame", "ms", frames, 20, remark=f"{median(rates):.0f} frames/s"),
        Figure("a new step, from its commit to the page", "s", appends, 0.3),
    ]


def _scroll(page: Page) -> tuple[float, float]:
    """Return milliseconds of work a frame, and frames a second, which also depend on what else the machine does."""
    tools = page.context.new_cdp_session(page)
    tools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def worked() -> float:
        metrics = tools.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))

    before = worked()
    took = page.evaluate(SCROLL, 120)
    return 1000 * (worked() - before) / 120, 1000 * len(took) / sum(took)


def _jump(bench: Bench) -> float:
    bench.page.evaluate(MIDDLE)
    began = time.perf_counter()
    bench.until(lambda: _filled(bench.page))
    return time.perf_counter() - began


def _filled(page: Page) -> bool:
    return bool(page.evaluate("!document.querySelector('.sw-absent') && !!document.querySelector('.sw-pill')"))


def _append(bench: Bench, session: Scripted) -> float:
    bench.page.locator(".sw-pill").click()
    bench.until(lambda: not bench.page.locator(".sw-pill").count())
    session.begin("one more")
    began = time.perf_counter()
    session.say("the newest words")
    bench.sees("the newest words")
    took = time.perf_counter() - began
    session.end()
    return took


def _session(root: Path) -> Scripted:
    session = Scripted(root)
    for turn in range(TURNS):
        session.begin(f"part {turn}")
        for number in range((STEPS - 1) // 2):
            session.say(f"Step {number} of part {turn}: " + "some words about it. " * (1 + number % 7))
            name = f"{turn}.{number}"
            output = [{"type": "content", "content": {"type": "text", "text": f"line of {name}\n" * (1 + number % 9)}}]
            session.tool(name, title=f"make {name}", kind="execute", status="completed", content=output)
        session.end()
    return session
