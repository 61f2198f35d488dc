"""Processes of `tests.support.store_writer`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.paths import ROOT


@contextmanager
def process(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.support.store_writer", *map(str, arguments)]
    running = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def result(running: subprocess.Popen[str]) -> float:
    out, _ = running.communicate(timeout=50)
    assert running.returncode == 0
    return float(out)
