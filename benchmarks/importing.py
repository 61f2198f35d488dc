"""Importing a corpus of 365 MB: time, memory, size of the store, and importing again; beside agentsview."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from benchmarks import corpus
from benchmarks.figures import Figure, Reference

ROOT = Path(__file__).parent.parent
MEGABYTES = 365
PEERS = ROOT / ".cache" / "peers"
"""Programs to compare with, each in an environment of its own."""
AGENTSVIEW = "agentsview==0.46.1"
IMPORT = """
import json, resource, sys, time
from pathlib import Path
from session_widgets._store.database import Store
store = Store(Path(sys.argv[2]))
store.sessions()
began = time.perf_counter()
report = store.import_(sys.argv[1])
seconds = time.perf_counter() - began
store.close()
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
memory = sum(each.ru_maxrss for each in used) / 1024
cpu = sum(each.ru_utime + each.ru_stime for each in used)
print(json.dumps({"seconds": seconds, "memory": memory, "cpu": cpu, **report.counts}))
"""
RUN = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
seconds = time.perf_counter() - began
used = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu = used.ru_utime + used.ru_stime
print(json.dumps({"seconds": seconds, "memory": used.ru_maxrss / 1024, "cpu": cpu}))
"""


def measure(runs: int) -> list[Figure]:
    """Write the corpus once, then import it into a new store in every run."""
    with tempfile.TemporaryDirectory() as place:
        logs = Path(place) / "logs"
        size = corpus.write(logs, MEGABYTES * 1_000_000)
        first, again, line, ratios = [], [], [], []
        for number in range(runs):
            store = Path(place) / f"{number}.duckdb"
            first.append(_python(IMPORT, str(logs), str(store)))
            ratios.append(store.stat().st_size / size)
            again.append(_python(IMPORT, str(logs), str(store)))
            _append(next((logs / "claude-code").iterdir()))
            line.append(_python(IMPORT, str(logs), str(store)))
            assert [again[-1]["records"], line[-1]["records"]] == [0, 1]
            store.unlink()
        peer = _agentsview(Path(place), logs, runs)
    remark = f"{size / 1e6:.0f} MB, {first[0]['files_new']} files, {first[0]['records']:,} records"
    return [
        Figure("import", "s", [each["seconds"] for each in first], 12, beside=_beside(peer, "seconds"), remark=remark),
        Figure("import, CPU time", "s", [each["cpu"] for each in first], beside=_beside(peer, "cpu")),
        Figure(
            "import, memory of both processes",
            "MB",
            [each["memory"] for each in first],
            200,
            beside=_beside(peer, "memory"),
        ),
        Figure("size of the store, of the files'", "", ratios, 0.2, beside=_beside(peer, "ratio")),
        Figure("import again", "s", [each["seconds"] for each in again], 0.2),
        Figure("import of one more line", "s", [each["seconds"] for each in line], 0.2),
    ]


def _python(script: str, *arguments: str, environment: dict[str, str] | None = None) -> dict[str, float]:
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=ROOT)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _append(path: Path) -> None:
    """Add a record like the last one, with another id."""
    record = json.loads(path.read_text().splitlines()[-1])
    record["uuid"] = f"{record['uuid']}-{path.stat().st_size}"
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")


def _agentsview(place: Path, logs: Path, runs: int) -> list[dict[str, float]]:
    """Measure `agentsview sync` on the same files; nothing if it cannot be installed."""
    program = PEERS / "agentsview" / "bin" / "agentsview"
    if not program.exists():
        venv.create(PEERS / "agentsview", with_pip=True)
        pip = [str(program.with_name("pip")), "install", "--quiet", AGENTSVIEW]
        if subprocess.run(pip, capture_output=True, check=False).returncode:
            shutil.rmtree(PEERS / "agentsview")
            print("left out: agentsview cannot be installed from PyPI here", file=sys.stderr)
            return []
    found = []
    for number in range(runs):
        home = place / f"home-{number}"
        places = {"claude-code": ".claude/projects/-src-project", "codex": ".codex/sessions/2026/01/05",
                  "pi": ".pi/agent/sessions/--src-project--"}  # fmt: skip
        for name, folder in places.items():
            (home / folder).mkdir(parents=True)
            for path in (logs / name).iterdir():
                prefix = "rollout-2026-01-05T09-00-00-" if name == "codex" else ""
                os.link(path, home / folder / f"{prefix}{path.name}")
        clean = {"PATH": os.environ["PATH"], "HOME": str(home), "AGENTSVIEW_NO_DAEMON": "1", "DO_NOT_TRACK": "1"}
        one = _python(RUN, str(program), "sync", environment=clean)
        held = sum(file.stat().st_size for file in (home / ".agentsview").rglob("*") if file.is_file())
        found.append({**one, "ratio": held / sum(path.stat().st_size for path in logs.rglob("*.jsonl"))})
        shutil.rmtree(home)
    return found


def _beside(peer: list[dict[str, float]], name: str) -> Reference | None:
    return Reference(AGENTSVIEW, [each[name] for each in peer]) if peer else None
