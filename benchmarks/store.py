"""The store alone: large and small commits beside DuckDB with the file held open, and how long who shares it waits."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np

from benchmarks.figures import Figure, Reference, percentile
from session_widgets._store import store as open_store
from session_widgets.transcript.records import Draft
from tests.support.drafts import chunk, opened

BATCH, BATCHES, SINGLES = 500, 40, 40
PAUSE = 0.05
"""Seconds between two single commits: longer than the file stays attached."""
SHARED = 10_000


def measure(runs: int) -> list[Figure]:
    """Measure each in a fresh file."""
    large, small, floor_large, floor_small, waits = [], [], [], [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
            rate, latency = _appended(Path(place, "ours.duckdb"))
            floor_rate, floor_latency = _inserted(Path(place, "bare.duckdb"))
            waits.append(_longest_wait(Path(place, "shared.duckdb")))
        large.append(rate)
        small.append(latency)
        floor_large.append(floor_rate)
        floor_small.append(floor_latency)
    return [
        Figure("events in batches of 500", "/s", large, more=True, beside=Reference("bare DuckDB", floor_large)),
        Figure("one event, file attached and let go", "ms", small, beside=Reference("bare DuckDB", floor_small)),
        Figure("longest wait of two writers and a reader", "s", waits, aim=2, remark=f"{SHARED:,} events each"),
    ]


def _appended(path: Path) -> tuple[float, float]:
    """Return events per second in batches, and milliseconds for one event."""
    store = open_store(path)
    store.append("s", [opened()])
    drafts = iter([chunk(number, f"chunk {number} ") for number in range(1, BATCH * BATCHES + SINGLES + 1)])
    measured = _timed(lambda size: store.append("s", [next(drafts) for _ in range(size)]))
    store.close()
    return measured


def _inserted(path: Path) -> tuple[float, float]:
    """Return the same of one table without keys, whose file is never let go."""
    connection = duckdb.connect(str(path), config={"threads": 1})
    connection.execute("create table events (seq bigint, kind varchar, payload varchar)")
    draft = chunk(1)
    measured = _timed(lambda size: _insert(connection, [draft] * size))
    connection.close()
    return measured


def _insert(connection: duckdb.DuckDBPyConnection, drafts: list[Draft]) -> None:
    columns = {"seq": np.array([draft.source_seq for draft in drafts])}
    columns |= {
        name: np.array([getattr(draft, name) for draft in drafts], dtype=object) for name in ("kind", "payload")
    }
    assert columns  # DuckDB finds them by the name of this variable
    connection.execute("insert into events from columns")


def _timed(append: Callable[[int], object]) -> tuple[float, float]:
    began = time.perf_counter()
    for _ in range(BATCHES):
        append(BATCH)
    rate = BATCH * BATCHES / (time.perf_counter() - began)
    singles = []
    for _ in range(SINGLES):
        time.sleep(PAUSE)
        began = time.perf_counter()
        append(1)
        singles.append((time.perf_counter() - began) * 1000)
    return rate, percentile(singles, 50)


def _longest_wait(path: Path) -> float:
    """Return seconds, of any single commit or query."""
    open_store(path).append("s", [opened()])
    open_store(path).close()
    program = [sys.executable, "-m", "tests.support.store_writer"]
    writers = [_started([*program, "stream", str(path), "s", name, str(SHARED), "50"]) for name in ("one", "two")]
    reader = _started([*program, "rows", str(path)])
    waits = [_said(process) for process in (*writers, reader)]
    return max(waits)


def _started(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _said(process: subprocess.Popen[str]) -> float:
    """End a process's standard input, and return the number that it prints at its end."""
    said, _ = process.communicate()
    return float(said)
