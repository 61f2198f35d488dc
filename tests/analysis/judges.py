"""SciPy and statsmodels, in a process of their own: they take 120 MB."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from tests.support.paths import ROOT

GROUP = "judges"
"""The worker that starts it."""


class Judges:
    """Calls the functions of `judging`."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.analysis.judging"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*arguments: object) -> Any:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            pickle.dump((name, arguments), self._process.stdin)
            self._process.stdin.flush()
            return pickle.load(self._process.stdout)

        return call

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=10)
