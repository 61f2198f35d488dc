"""Reading a store of 82,000 tool calls: search, a connection to a copy, and the memory of a frame."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import Figure
from session_widgets._store.database import Store

SESSIONS, CALLS = 820, 100
OUTPUT = "a line of some test's output that passed\n" * 12
FRAME = """
import resource, sys
from pathlib import Path
from session_widgets._store.database import Store
found = Store(Path(sys.argv[1])).sql("from v_tool_calls").df()
assert len(found) == int(sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def measure(runs: int) -> list[Figure]:
    """Import the sessions once, then measure each in every run."""
    with tempfile.TemporaryDirectory() as place:
        logs = Path(place) / "logs"
        logs.mkdir()
        for number in range(SESSIONS):
            (logs / f"{number}.jsonl").write_text(_session(f"session-{number}"))
        store = Store(Path(place) / "store.duckdb")
        store.import_(logs)
        store.close()
        store = Store(store.path)
        remark = f"{SESSIONS * CALLS:,} calls, {store.path.stat().st_size / 1e6:.0f} MB"
        figures = [
            Figure("search, plain text", "s", _times(runs, lambda: store.search("no such text")), 0.5, remark=remark),
            Figure(
                "search, expression", "s", _times(runs, lambda: store.search(r"no\s+such", regex=True)), remark=remark
            ),
            Figure("connect, a new copy", "s", _times(runs, lambda: store.connect().close()), remark=remark),
        ]
        store.close()
        command = [sys.executable, "-W", "ignore", "-c", FRAME, store.path, str(SESSIONS * CALLS)]
        memory = [
            float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(runs)
        ]
        return [*figures, Figure("all tool calls as a frame, memory", "MB", memory, 300, remark=remark)]


def _times(runs: int, work: Callable[[], object]) -> list[float]:
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return times


def _session(name: str) -> str:
    lines, last = [], None
    for number in range(CALLS):
        call = {
            "type": "tool_use",
            "id": f"{name}-c{number}",
            "name": "Bash",
            "input": {"command": f"pytest -k {number}"},
        }
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": f"{number} {OUTPUT}", "is_error": False}
        said = {"id": f"{name}-m{number}", "role": "assistant", "model": "claude-opus-4-6", "content": [call]}
        for kind, message in (("assistant", said), ("user", {"role": "user", "content": [result]})):
            uid = f"{name}-{number}-{kind}"
            about = {"sessionId": name, "cwd": "/work", "version": "2.1.39", "timestamp": "2026-02-11T10:00:00.000Z"}
            lines.append(json.dumps({**about, "type": kind, "uuid": uid, "parentUuid": last, "message": message}))
            last = uid
    return "\n".join(lines) + "\n"
