"""Logs of Claude Code read by ccq and Inspect Scout, and a long one shown by Inspect's viewer: the same input as ours.

Each program is in an environment of its own.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

import session_widgets as sw
from benchmarks import corpus
from benchmarks.figures import Figure, Reference
from benchmarks.importing import IMPORT, PEERS, RUN, _python
from tests.support import needs
from tests.support.notebook import CHROMIUM
from tests.widgets.pages import Bench

MEGABYTES = 50
"""Of Claude Code alone, which all of them read."""
CCQ = "ccq==0.2.0"
SCOUT = "inspect-scout==0.6.1"
LONG = 40_000_000
"""Bytes of a session of some 10,000 steps."""
PARTS = (("import", "s", "seconds"), ("memory", "MB", "memory"), ("size of the store", "", "ratio"))
NODES = "document.querySelectorAll('*').length"
IMPORT_BY_SCOUT = """
import asyncio, sys
from inspect_scout import transcripts_db
from inspect_scout.sources import claude_code
async def main():
    async with transcripts_db(sys.argv[2]) as held:
        await held.insert(claude_code(sys.argv[1]))
asyncio.run(main())
"""
Import = Callable[[Path, Path], tuple[list[str], Path]]
"""From a folder of logs and an empty directory: the command, and where its store is."""


def measure(runs: int) -> list[Figure]:
    """Write the logs once; every program then reads them into a new store in every run."""
    with tempfile.TemporaryDirectory() as place:
        projects = Path(place) / "projects"
        corpus.write(Path(place) / "logs", int(MEGABYTES * 1_000_000 / corpus.PROPORTIONS["claude-code"]))
        projects.mkdir()
        (Path(place) / "logs" / "claude-code").rename(projects / "-src-project")
        size = sum(path.stat().st_size for path in projects.rglob("*.jsonl"))
        ours, peers = [], {CCQ: _ccq, SCOUT: _scout}
        for number in range(runs):
            store = Path(place) / f"{number}.duckdb"
            ours.append({**_python(IMPORT, str(projects), str(store)), "ratio": store.stat().st_size / size})
        theirs = {name: _measured(name, make, projects, size, runs) for name, make in peers.items()}
    remark = f"{size / 1e6:.0f} MB of Claude Code, {ours[0]['files_new']:,} files"
    imports = [
        Figure(
            f"{what}, beside {name.partition('=')[0]}",
            unit,
            [each[key] for each in ours],
            beside=Reference(name, [each[key] for each in found]) if found else None,
            remark=remark,
        )
        for name, found in theirs.items()
        for what, unit, key in PARTS
    ]
    return [*imports, *_view(runs)]


def _view(runs: int) -> list[Figure]:
    """Open a session in `Replay`, and its export in `inspect view`; each time until its first answer is on the page."""
    viewer = PEERS / SCOUT.partition("=")[0] / "bin" / "python"
    if why := needs.missing("chromium"):
        raise SystemExit(why)
    ours: list[float] = []
    theirs: list[float] = []
    nodes: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        store = sw.store(Path(place) / "s.duckdb")
        corpus.one_session(Path(place) / "one.jsonl", LONG)
        (name,) = store.import_(Path(place) / "one.jsonl").sessions
        steps = store.steps(name)
        words = next(step.text or "" for step in steps if step.kind == "message")[:40]
        (Path(place) / "logs").mkdir()
        store.export(name, "inspect-eval", Path(place) / "logs" / "one.eval", redact=False)
        browser = playwright.chromium.launch(executable_path=needs.chromium(), headless=True, args=CHROMIUM)
        for _ in range(runs):
            page, began = browser.new_page(), time.perf_counter()
            replay = sw.Replay(name, store=store, at="1/1")
            Bench(page, replay).sees(words)
            ours.append(time.perf_counter() - began)
            nodes["Replay"] = page.evaluate(NODES)
            page.close()
            replay.close()
        if viewer.exists():
            with _inspect_view(viewer, Path(place)) as address:
                for _ in range(runs):
                    seconds, nodes["inspect view"] = _painted(browser, address, words)
                    theirs.append(seconds)
        browser.close()
        store.close()
    remark = f"{len(steps):,} steps; nodes: {', '.join(f'{what} {count:,}' for what, count in nodes.items())}"
    beside = Reference("inspect view", theirs) if theirs else None
    return [Figure("a long session in a new page, to its first answer", "s", ours, beside=beside, remark=remark)]


@contextmanager
def _inspect_view(python: Path, place: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(python), "-m", "inspect_ai", "view", "start", "--log-dir", str(place / "logs")]
    clean = {"PATH": os.environ["PATH"], "HOME": str(place)}
    command += ["--host", "127.0.0.1", "--port", str(port)]
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean)
    try:
        while not _answers(port):
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/"
    finally:
        started.terminate()
        started.wait()


def _answers(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def _painted(browser: Browser, address: str, words: str) -> tuple[float, int]:
    page, began = browser.new_page(), time.perf_counter()
    page.goto(address)
    page.get_by_text(words).first.wait_for(timeout=300_000)
    found = time.perf_counter() - began, int(page.evaluate(NODES))
    page.close()
    return found


def _measured(name: str, make: Import, projects: Path, size: int, runs: int) -> list[dict[str, float]]:
    """Measure a program on the files; nothing if it cannot be installed."""
    folder = PEERS / name.partition("=")[0]
    if not folder.exists():
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--ignore-requires-python", name]
        if subprocess.run(pip, capture_output=True, check=False).returncode:
            shutil.rmtree(folder)
            print(f"left out: {name} cannot be installed from PyPI here", file=sys.stderr)
            return []
    found = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as home:
            command, store = make(projects, Path(home))
            clean = {"PATH": os.environ["PATH"], "HOME": home}
            one = _python(RUN, str(folder / "bin" / command[0]), *command[1:], environment=clean)
            held = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
            found.append({**one, "ratio": held / size})
    return found


def _ccq(projects: Path, home: Path) -> tuple[list[str], Path]:
    return ["ccq", "--projects-dir", str(projects), "cache", "build"], home / ".cache" / "ccq"


def _scout(projects: Path, home: Path) -> tuple[list[str], Path]:
    store = home / "store"
    return ["python", "-c", IMPORT_BY_SCOUT, str(projects / "-src-project"), str(store)], store
