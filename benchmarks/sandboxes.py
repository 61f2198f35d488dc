"""Sessions with a workspace in a bucket: from nothing, and from parked, to the end of a turn."""

from __future__ import annotations

import os
import shutil
import tempfile

import session_widgets as sw
from benchmarks.figures import Figure
from benchmarks.workspaces import timed


def measure(runs: int) -> list[Figure]:
    """Measure each sandbox in data directories of their own; the image is made before, if it is missing."""
    figures: list[Figure] = []
    for sandbox in ("local", *(("docker",) if shutil.which("dockerd") else ())):
        _sessions(sandbox, 1)
        figures += _sessions(sandbox, runs)
    return figures


def _sessions(sandbox: str, runs: int) -> list[Figure]:
    """Create to the end of the first turn, and from parked to the end of the next one."""
    first, again, park = [], [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
            os.environ["SESSION_WIDGETS_HOME"] = home
            store = sw.local_s3("lab")
            session = sw.open_session("bench", sandbox=sandbox, workspace="s3://lab/bench", permissions="allow_all")
            first.append(timed(lambda s=session: s.send("say hello")))
            park.append(timed(session.park))
            again.append(timed(lambda s=session: s.send("say again")))
            session.delete()
            sw.store().close()
            store.stop()
    return [
        Figure(f"{sandbox}: new session to the end of its first turn", "s", first, aim=3),
        Figure(f"{sandbox}: park", "s", park),
        Figure(f"{sandbox}: parked to the end of the next turn", "s", again, aim=2),
    ]
