"""What a person waits for: SQL over 365 MB of logs, a session of 4 MB in a page and as HTML; the installed bytes.

The floor of the session's first paint is a widget on the same page that asks the kernel for one word and shows it.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable
from html.parser import HTMLParser
from importlib import metadata
from pathlib import Path

import anywidget
from playwright.sync_api import Browser, sync_playwright

import session_widgets as sw
from benchmarks import corpus
from benchmarks.figures import Figure, Reference
from session_widgets._store import Store
from tests.support import needs
from tests.support.notebook import CHROMIUM
from tests.widgets.pages import Bench

MEGABYTES = 365
SESSION = 4_000_000
WORD = "the only word"
QUERIES = {
    "sessions": "select session_id, harness, model, turns, status from v_sessions order by updated_at desc limit 100",
    "cost by model": """select model, usage_quality, count(*), sum(cost_estimated), count(unpriced), sum(output_tokens)
                        from v_llm_calls group by all""",
    "tool statistics": "select kind, count(*), count_if(failed), median(run_s) from v_tool_calls group by all",
    "errors": "select session_id, turn, step, title, failure from v_tool_calls where failed limit 1000",
}


class _OneWord(anywidget.AnyWidget):
    """A widget that shows the kernel's answer, and nothing else."""

    _css = ""
    _esm = """export default () => ({
      initialize: () => () => {},
      render({ model, el }) {
        model.on("msg:custom", ({ word }) => { el.textContent = word; });
        model.send({ kind: "hello" });
        return () => {};
      },
    })"""

    def __init__(self) -> None:
        super().__init__()
        self.on_msg(lambda *_: self.send({"word": WORD}))


class _Text(HTMLParser):
    """The text of a page without its style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.parts += [data] if self.lasttag != "style" else []


def measure(runs: int) -> list[Figure]:
    """Import once, then ask; each query once before it is measured."""
    if why := needs.missing("chromium"):
        raise SystemExit(why)
    with tempfile.TemporaryDirectory() as place:
        return [*_queries(Path(place), runs), *_session(Path(place), runs), _size()]


def _queries(place: Path, runs: int) -> list[Figure]:
    store = Store(place / "many.duckdb")
    corpus.write(place / "logs", MEGABYTES * 1_000_000)
    store.import_(place / "logs", progress=lambda _, __: None)
    store.prices([{"model": "claude-sonnet-4-5-20250929", "input": 3, "output": 15}])
    found = []
    for name, query in QUERIES.items():
        store.sql(query).fetchall()
        took = [_timed(lambda query=query: store.sql(query).fetchall()) for _ in range(runs)]
        found.append(Figure(f"SQL over {MEGABYTES} MB of logs: {name}", "s", took, 0.05))
    store.close()
    return found


def _session(place: Path, runs: int) -> list[Figure]:
    store = sw.store(place / "one.duckdb")
    corpus.one_session(place / "one.jsonl", SESSION)
    (name,) = store.import_(place / "one.jsonl").sessions
    text = (place / "one.jsonl").stat().st_size
    words = next(step.text or "" for step in store.steps(name) if step.kind == "message")[:40]
    written = [_timed(lambda: store.to_html(name, place / "one.html")) for _ in range(runs)]
    page = (place / "one.html").read_text()
    said = len("".join(_Text(page).parts).encode())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=needs.chromium(), headless=True, args=CHROMIUM)
        shown, floor = [], []
        for _ in range(runs):
            floor.append(_shown(browser, _OneWord, WORD))
            shown.append(_shown(browser, lambda: sw.Replay(name, store=store, at="1/1"), words))
        browser.close()
    replay = sw.Replay(name, store=store)
    replay.seek(len(store.steps(name)))
    saved = len(replay._static()["text/html"].encode()) / 1000
    replay.close()
    store.close()
    return [
        Figure(
            "a session of 4 MB, from the call to its first steps on the page",
            "s",
            shown,
            0.3,
            beside=Reference("a widget of one word", floor),
        ),
        Figure("its saved output in a notebook", "kB", [saved], 150),
        Figure(
            "its HTML page, of its text",
            "",
            [len(page.encode()) / said],
            1.5,
            remark=f"{len(page.encode()) / 1e6:.2f} MB, of {text / 1e6:.1f} MB of lines",
        ),
        Figure("writing that page", "s", written),
    ]


def _shown(browser: Browser, make: Callable[[], anywidget.AnyWidget], words: str) -> float:
    page = browser.new_page()
    began = time.perf_counter()
    widget = make()
    Bench(page, widget).sees(words)  # type: ignore[arg-type]  # any widget will do
    took = time.perf_counter() - began
    page.close()
    widget.close()
    return took


def _size() -> Figure:
    """Sum the files of session-widgets and of what it requires, without extras."""
    wanted, sizes = ["session-widgets"], dict[str, float]()
    while wanted:
        name = wanted.pop()
        if name in sizes:
            continue
        found = metadata.distribution(name)
        files = [Path(str(found.locate_file(file))) for file in found.files or ()]
        sizes[name] = sum(file.stat().st_size for file in files if file.is_file()) / 1e6
        required = [_installed(line) for line in found.requires or () if "extra ==" not in line]
        wanted += [one for one in required if one]
    package = Path(sw.__file__).parent
    own = sum(file.stat().st_size for file in package.rglob("*") if file.is_file() and file.suffix != ".pyc") / 1e6
    largest = ", ".join(f"{name} {size:.0f}" for name, size in sorted(sizes.items(), key=lambda one: -one[1])[:4])
    return Figure("installation without extras", "MB", [sum(sizes.values()) + own], 120, remark=f"largest: {largest}")


def _installed(requirement: str) -> str | None:
    name = re.split(r"[\s;<>=!~\[(]", requirement, maxsplit=1)[0].lower().replace("_", "-")
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    return name


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
