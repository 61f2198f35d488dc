"""The peak memory of each worker, printed in the end beside the slowest tests."""

from __future__ import annotations

import resource
from typing import Any

import pytest

OUTPUT = "peak_kilobytes"
_peaks: list[int] = []


def pytest_sessionfinish(session: pytest.Session) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    output = getattr(session.config, "workeroutput", None)  # pytest-xdist sends it to the process of the terminal
    if output is None:
        _peaks.append(peak)
    else:
        output[OUTPUT] = peak


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    _peaks.append(getattr(node, "workeroutput", {}).get(OUTPUT, 0))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    peaks = ", ".join(f"{peak // 1024} MB" for peak in _peaks if peak)
    terminalreporter.write_line(f"peak memory of the processes, the last one without tests of its own: {peaks}")
