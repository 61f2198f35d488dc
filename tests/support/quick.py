"""`--no-process` (`make check`, which leaves out those marked as slow): the tests that start no process.

The fixtures of a test tell most that do. The others are left out when they are about to start one.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

import pytest

FIXTURES = {
    "bridged_model", "browser", "chain", "endless", "forked", "judges", "kernel", "lab", "lasting", "model", "notebook",
    "open_session", "page", "run", "runner", "seaweed", "server", "shared_agent", "start", "start_agent", "talk",
}  # fmt: skip
"""They start processes."""
REFUSAL = "--no-process: this test starts a process"
EVENTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec"}


class Guard:
    """Refuses every process while a test runs, and leaves out each that fails for that, if only by a shared fixture."""

    def __init__(self) -> None:
        self._item: pytest.Item | None = None
        self._refused: set[pytest.Item] = set()
        sys.addaudithook(self._refuse)

    def _refuse(self, event: str, _: tuple[Any, ...]) -> None:
        if event in EVENTS and self._item is not None:
            self._refused.add(self._item)
            raise RuntimeError(REFUSAL)

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        left_out = {item for item in items if _starts_one(item)}
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=list(left_out))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        self._item = item
        try:
            return (yield)
        finally:
            self._item = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, Any]:
        report = yield
        if report.failed and (item in self._refused or REFUSAL in str(report.longrepr)):
            report.outcome = "skipped"
            report.longrepr = (str(item.path), 0, "it starts a process")
        return report


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-process", action="store_true", help="leave out the tests that start a process")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("no_process"):
        config.pluginmanager.register(Guard())


def _starts_one(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    return not FIXTURES.isdisjoint(fixtures) or item.get_closest_marker("needs") is not None
