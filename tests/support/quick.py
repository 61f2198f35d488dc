"""`--no-process` (`make check`, which leaves out those marked as slow): the tests that start no process.

A file whose `pytestmark` says that all its tests do, or are slow, is not imported: the packages of JupyterLab, the
browser and the clouds cost as much as hundreds of tests. The fixtures of a test tell most of the others. The rest are
left out when they are about to start one.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

FIXTURES = {
    "apart", "bridged_model", "browser", "chain", "endless", "forked", "judges", "kernel", "lab", "lasting", "model",
    "notebook", "open_session", "page", "play", "run", "runner", "seaweed", "server", "shared_agent", "start",
    "start_agent", "talk",
}  # fmt: skip
"""They start processes."""
REFUSAL = "--no-process: this test starts a process"
MARKS = re.compile(r"^pytestmark = (\[\n.*?^\]|[^\n]*)", re.MULTILINE | re.DOTALL)
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

    def pytest_ignore_collect(self, collection_path: Path, config: pytest.Config) -> bool | None:
        return left_out(collection_path, without_slow=config.option.markexpr == "not slow") or None

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
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
        refused = call.excinfo is not None and (item in self._refused or _refused(call.excinfo.value))
        if refused:
            with pytest.raises(pytest.skip.Exception) as call.excinfo:  # a traceback would take a tenth of a second
                pytest.skip("it starts a process")
        report = yield
        if refused or (report.failed and REFUSAL in str(report.longrepr)):
            report.outcome = "skipped"
            report.longrepr = (str(item.path), 0, "it starts a process")
        return report


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-process", action="store_true", help="leave out the tests that start a process")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("no_process"):
        config.pluginmanager.register(Guard())


@functools.cache
def left_out(path: Path, *, without_slow: bool) -> bool:
    """Whether the marks of a whole file of tests, or of each in a folder, leave them out; nothing is imported."""
    if path.is_dir():
        return all(left_out(file, without_slow=without_slow) for file in path.rglob("test_*.py"))
    marks = match[1] if path.match("test_*.py") and (match := MARKS.search(path.read_text("utf-8"))) else ""
    return "mark.needs(" in marks or (without_slow and "mark.slow" in marks)


def _refused(error: BaseException | None) -> bool:
    """Whether a fixture that an earlier test shares was refused."""
    return error is not None and (REFUSAL in str(error) or _refused(error.__cause__) or _refused(error.__context__))


def _starts_one(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    return not FIXTURES.isdisjoint(fixtures) or item.get_closest_marker("needs") is not None
