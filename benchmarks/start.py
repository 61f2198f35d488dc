"""What it costs to begin: seconds until things are there, and the memory they take."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks import places
from benchmarks.figures import Figure, Reference
from session_widgets._harnesses.catalog import get
from session_widgets._harnesses.harness import RuntimePaths
from session_widgets._sandboxes import SandboxSpec
from session_widgets._sandboxes.local import LocalProvider
from session_widgets._sessions.loop import private_loop
from session_widgets.model import SandboxRef

IMPORTS = 5
MEGABYTE = 1 << 20
KERNEL = """
import psutil
import session_widgets as sw
def say(): print(psutil.Process().memory_info().rss)
s = sw.open_session("benchmark", permissions="allow_all")
s.send("say x"); say()
s.send("stream 50000"); say()
s.delete()
"""
WITH_DUCKDB = "import duckdb, psutil; duckdb.connect(); print(psutil.Process().memory_info().rss)"


def measure(runs: int) -> list[Figure]:
    """Measure imports, runners and kernels in processes of their own."""
    bare = Reference("python -c pass", [_imported("pass") for _ in range(runs * IMPORTS)])
    imported = [_imported("import session_widgets") for _ in range(runs * IMPORTS)]
    runners = [_runner() for _ in range(runs)]
    kernels = [_kernel() for _ in range(runs)]
    duckdb = Reference("python with duckdb", [int(places.python(WITH_DUCKDB)) / MEGABYTE for _ in range(runs)])
    return [
        Figure("import session_widgets", "s", imported, aim=0.5, beside=bare),
        Figure("a runner, from nothing to healthy", "s", [seconds for seconds, _ in runners], aim=0.8, beside=bare),
        Figure("memory of a runner", "MB", [memory for _, memory in runners], aim=70),
        Figure("memory of a kernel after one turn", "MB", [short for short, _ in kernels], beside=duckdb),
        Figure("memory of a kernel after 50,000 chunks", "MB", [long for _, long in kernels], beside=duckdb),
    ]


def _imported(code: str) -> float:
    began = time.perf_counter()
    places.python(code)
    return time.perf_counter() - began


def _runner() -> tuple[float, float]:
    """Return seconds until a local sandbox's runner is healthy, and its megabytes then."""

    async def announce(_: SandboxRef) -> None:
        pass

    async def start(place: Path) -> tuple[float, float]:
        provider = LocalProvider(place)
        spec = SandboxSpec(
            "benchmark", str(place / "workspace"), {"demo": get("demo").entry(str(place), RuntimePaths(sys.executable))}
        )
        began = time.perf_counter()
        sandbox = await provider.create(spec, announce)
        health = await sandbox.runner.health()
        seconds = time.perf_counter() - began
        memory = psutil.Process(health["pid"]).memory_info().rss / MEGABYTE
        await sandbox.aclose()
        await provider.destroy(sandbox.ref)
        return seconds, memory

    with tempfile.TemporaryDirectory() as place:
        return private_loop().run(start(Path(place)))


def _kernel() -> tuple[float, float]:
    with places.home():
        short, long = map(int, places.python(KERNEL).split())
    return short / MEGABYTE, long / MEGABYTE
