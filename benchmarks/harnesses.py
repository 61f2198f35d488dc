"""The real harnesses with a scripted model: ours beside the same program on its own pipes, in the same run."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag

import psutil

import session_widgets as sw
from benchmarks import places
from benchmarks.bare_agent import bare_agent
from benchmarks.figures import Figure, Reference
from session_widgets._harnesses import catalog
from session_widgets._harnesses.installing import FOLDER, Installation
from session_widgets._sandboxes import get_provider
from session_widgets._sandboxes.local import INHERITED
from session_widgets._sessions import Session
from session_widgets._sessions.launching import prepare
from session_widgets.host.data_directory import data_directory
from session_widgets.transcript.records import Event
from tests.support.kernels import runner_pid
from tests.support.model.serving import Model, script, serving

NAMES = ("claude", "codex", "opencode", "pi")
MODELS = {"opencode": "mock-model", "pi": "mock-model"}
WARM = 5
MEGABYTE = 1 << 20
PROMPT = script({"text": "hello"})


def measure(runs: int) -> list[Figure]:
    """Install each again, then measure it; the harnesses take minutes."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as place, _installed(Path(place)) as installed, serving(Path(place)) as model:
        os.environ.update(model.environment)
        for name in NAMES:
            figures += [
                Figure(f"{name}: installing", "s", [installed[name][0]]),
                Figure(f"{name}: size", "MB", [installed[name][1]]),
                *_compared(name, model, runs),
            ]
        figures.append(_handover(runs))
    return figures


@contextmanager
def _installed(place: Path) -> Iterator[dict[str, tuple[float, float]]]:
    """Install all of them into an empty folder; yield seconds and megabytes of each."""
    os.environ[FOLDER] = str(place / "harnesses")
    found = {}
    for name in NAMES:
        began = time.perf_counter()
        sw.install_harness(name)
        seconds = time.perf_counter() - began
        folder = Installation(catalog.get(name), place).path
        size = sum(file.stat(follow_symlinks=False).st_size for file in folder.rglob("*") if file.is_file())
        found[name] = (seconds, size / MEGABYTE)
    yield found


def _compared(name: str, model: Model, runs: int) -> list[Figure]:
    ours, bare = [_ours(name) for _ in range(runs)], [_bare(name) for _ in range(runs)]
    return [
        Figure(
            f"{name}: {what}", unit, [run[place] for run in ours],
            beside=Reference("bare", [run[place] for run in bare]),
        )
        for place, (what, unit) in enumerate(
            (("from nothing to the first text", "s"), ("prompt to first text, warm", "s"), ("idle memory", "MB"))
        )
    ]  # fmt: skip


def _ours(name: str) -> tuple[float, float, float]:
    """Return seconds to the first text of the first and of a warm prompt, and megabytes of the agent's processes."""
    with places.home():
        began = time.perf_counter()
        session = sw.open_session("s1", harness=name, permissions="allow_all", model=MODELS.get(name))
        try:
            first = _first_text(session, began)
            warm = min(_first_text(session, time.perf_counter()) for _ in range(WARM))
            runner = psutil.Process(runner_pid(session))
            return first, warm, _memory(*runner.children(recursive=True))
        finally:
            session.delete()


def _first_text(session: Session, began: float) -> float:
    arrived, seconds, number = Flag(), list[float](), len(session.turns) + 1

    def watch(events: list[Event]) -> None:
        if not seconds and any(event.turn == number and _says(event) for event in events):
            seconds.append(time.perf_counter() - began)
            arrived.set()

    unsubscribe = session.subscribe(watch)
    turn = session.send(PROMPT)
    arrived.wait(10)
    unsubscribe()
    assert seconds, turn
    return seconds[0]


def _says(event: Event) -> bool:
    return event.kind == "agent_message_chunk" and bool(event.payload["params"]["update"]["content"]["text"])


def _bare(name: str) -> tuple[float, float, float]:
    """Return the same of the program on its own, started by the same command with the same settings."""
    with places.home() as home:
        work, harness = home / "work", catalog.get(name)
        work.mkdir()
        entry = prepare(harness, get_provider("local", home), data_directory(), str(work)).entry
        given = harness.passed(os.environ)
        for file, text in (harness.settings(given, MODELS.get(name)) if harness.settings else {}).items():
            target = Path(harness.state_folder(str(work)), file)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        env = {key: value for key, value in os.environ.items() if key in INHERITED} | entry["env"]
        began = time.perf_counter()
        with bare_agent(work, entry["command"], env) as agent:
            ready = time.perf_counter() - began
            first = ready + agent.first_text(PROMPT)
            warm = min(agent.first_text(PROMPT) for _ in range(WARM))
            process = psutil.Process(agent.pid)
            memory = _memory(process, *process.children(recursive=True))
        shutil.rmtree(work, ignore_errors=True)
        return first, warm, memory


def _memory(*processes: psutil.Process) -> float:
    return sum(process.memory_info().rss for process in processes) / MEGABYTE


def _handover(runs: int) -> Figure:
    """From Codex to Claude with ten turns of history, from the switch to the first text."""
    seconds = []
    for _ in range(runs):
        with places.home():
            session = sw.open_session("s1", harness="codex", permissions="allow_all")
            try:
                for number in range(10):
                    session.send(script({"text": f"answer {number}"}))
                began = time.perf_counter()
                session.switch(harness="claude")
                seconds.append(_first_text(session, began))
            finally:
                session.delete()
    return Figure("switch from codex to claude, to the first text", "s", seconds)
