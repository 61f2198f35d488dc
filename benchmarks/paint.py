"""From a committed event to the painted page: JupyterLab in Chromium, beside what it takes to paint a `print`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import Locator, sync_playwright

from benchmarks.figures import Figure, Reference, percentile
from tests.support import needs
from tests.support.jupyter_server import LabServer
from tests.support.notebook import CHROMIUM, Notebook

RATE, SECONDS = 200, 5
EVENTS = RATE * SECONDS
KERNEL = "ipykernel-7.4"

NOTE_PAINTS = """element => {
  const seen = new Set(), delays = window.delays = [];
  let asked = false;
  const painted = () => {
    asked = false;
    const now = performance.timeOrigin + performance.now();
    for (const [, sent] of element.textContent.slice(-8000).matchAll(/@([\\d.]+);/g)) {
      if (!seen.has(sent)) { seen.add(sent); delays.push(now - Number(sent)); }
    }
  };
  new MutationObserver(() => {
    if (!asked) { asked = true; requestAnimationFrame(() => setTimeout(painted)); }
  }).observe(element, { childList: true, characterData: true, subtree: true });
}"""

STAMPS = """
import asyncio, time
def stamp(number): return f"@{time.time() * 1000:.2f}{number:04};" + "\\n\\n" * (number % 20 == 0)
"""

# The number at the end of a stamp makes it unique, and moves its time by less than a hundredth of a millisecond.
COMMITS = f"""
from session_widgets._sessions.journal import draft
from session_widgets._sessions.loop import private_loop

def chunk(number, turn):
    update = {{"sessionUpdate": "agent_message_chunk", "content": {{"type": "text", "text": stamp(number)}}}}
    envelope = {{"jsonrpc": "2.0", "method": "session/update", "params": {{"update": update}}}}
    return draft("in", "agent_message_chunk", envelope, turn, method="session/update")

async def stream(session, turn):  # grouped as the session's own pump groups a steady stream
    began = asyncio.get_running_loop().time()
    for number in range(0, {EVENTS}, 4):
        await asyncio.sleep(began + number / {RATE} - asyncio.get_running_loop().time())
        await session._controller.journal.commit([chunk(n, turn) for n in range(number, number + 4)])

turn = s.start("wait 60")
streaming = private_loop().submit(stream(s, turn.index))
"""

PRINTS = f"""
began = time.monotonic()
for number in range({EVENTS}):
    time.sleep(max(0, began + number / {RATE} - time.monotonic()))
    print(stamp(number), end="", flush=True)
"""


def measure(runs: int) -> list[Figure]:
    """Measure 200 events a second for 5 seconds a run, from before their commit; needs Chromium and the kernels."""
    if why := needs.missing("chromium") or needs.missing("kernels"):
        raise SystemExit(why)
    ours, prints = [], []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place, sync_playwright() as playwright:
        server = LabServer(Path(place))
        browser = playwright.chromium.launch(executable_path=needs.chromium(), headless=True, args=CHROMIUM)
        try:
            for run in range(runs):
                notebook = Notebook(browser.new_page(), server, KERNEL, f"paint-{run}")
                notebook.kernel_says(STAMPS)
                ours.append(_committed(notebook))
                prints.append(_printed(notebook))
                notebook.close()
                notebook.page.close()
        finally:
            browser.close()
            server.stop()
    return [
        Figure(
            f"event to painted page at {RATE}/s, p{percent}",
            "ms",
            [percentile(delays, percent) for delays in ours],
            aim=aim,
            beside=Reference("print() in a cell", [percentile(delays, percent) for delays in prints]),
        )
        for percent, aim in ((50, None), (95, 150))
    ]


def _committed(notebook: Notebook) -> list[float]:
    panel = notebook.open_session(permissions="allow_all")
    delays = _delays(notebook, panel.transcript, COMMITS)
    notebook.kernel_says("s.cancel(); s.delete()")
    return delays


def _printed(notebook: Notebook) -> list[float]:
    cell = notebook.begin(PRINTS)
    return _delays(notebook, cell.locator(".jp-Cell-outputArea"), "")


def _delays(notebook: Notebook, element: Locator, code: str) -> list[float]:
    """Return milliseconds from each stamp to the first frame that shows it."""
    element.evaluate(NOTE_PAINTS)
    if said := notebook.kernel_says(code):
        raise RuntimeError(said)
    notebook.page.wait_for_function(f"() => window.delays.length >= {EVENTS}", timeout=60_000)
    return list(notebook.page.evaluate("() => window.delays"))
