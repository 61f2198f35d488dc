"""Kills all processes of the runner after its exit, even after SIGKILL: a forked guard process.

The guard blocks on a pipe whose other end only the runner holds. When that end closes (exit, crash, SIGKILL),
it kills every registered process group and every process with the runner's mark in its environment,
which includes grandchildren in their own sessions.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

import psutil

MARK = "SESSION_WIDGETS_RUNNER"


class Guard:
    """The runner's end of the pipe. Start it before threads and sockets exist: it forks."""

    def __init__(self, nonce: str) -> None:
        reading, self._pipe = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._pipe)
            _guard(reading, nonce)
        os.close(reading)

    def watch(self, group: int) -> None:
        """Register a process group."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Unregister an exited process group, whose number may be reused."""
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """Make the guard sweep now, and wait for it."""
        os.close(self._pipe)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)

    @property
    def pid(self) -> int:
        """Process id of the guard."""
        return self._pid

    def _tell(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self._pipe, line.encode())


def sweep(name: str, value: str) -> None:
    """Kill every process whose environment contains `name=value`, until none is left (at most 2 s)."""
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        found = _carriers(name, value)
        if not found:
            return
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _carriers(name: str, value: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(name) == value and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def _guard(reading: int, nonce: str) -> None:
    try:
        os.setsid()
        for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)
        groups: set[int] = set()
        with open(reading, encoding="ascii") as lines:
            for line in lines:
                (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
        for group in groups:
            with contextlib.suppress(OSError):
                os.killpg(group, signal.SIGKILL)
        sweep(MARK, nonce)
    finally:
        os._exit(0)
