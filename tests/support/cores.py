"""How long programs waited because others had the cores."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def waited_for_a_core(*pids: int) -> float:
    """Return the seconds that the threads of these processes were ready to run while others had the cores.

    Source: `schedstat` in https://docs.kernel.org/scheduler/sched-stats.html
    """
    nanoseconds = 0
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with suppress(OSError):  # it has ended
                nanoseconds += int(thread.read_text().split()[1])
    return nanoseconds / 1e9
