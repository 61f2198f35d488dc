"""Rules for every test: this machine only, its own data directory, no process left running.

`@pytest.mark.needs("chromium")` leaves a test out where something is missing, and says why in the summary.
`REQUIRE=all` turns every test that is left out into a failure, except for data beside the repository.
`@pytest.mark.nightly` is for what takes too long for CI: it runs with `--nightly` alone (`make nightly`).
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from session_widgets._harnesses.installing import FOLDER
from session_widgets._store import stored_data
from tests.support import guard, needs
from tests.support.stores import CopiedFile, close_below, made_empty

pytest_plugins = [
    f"tests.support.{name}" for name in ("forked", "memory", "model.serving", "quick", "scheduling", "seaweed")
]
REQUIRE_ALL = os.environ.get("REQUIRE") == "all"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="run the tests marked as nightly, and no others")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "needs(*names): leave out where one is missing; names stand in tests/support/needs.py"
    )
    config.addinivalue_line("markers", "nightly: too long for CI; runs with --nightly alone")
    config.addinivalue_line("markers", "slow: starts no process, but is too long for `make check`")
    guard.refuse_network()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts what runs in its background so
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if needs.HARNESSES.is_dir():
        os.environ.setdefault(FOLDER, str(needs.HARNESSES))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("--nightly")
    left_out = [item for item in items if (item.get_closest_marker("nightly") is not None) is not wanted]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def pytest_collection_finish(session: pytest.Session) -> None:
    if not session.config.option.collectonly:
        needs.prepare({name for item in session.items for mark in item.iter_markers("needs") for name in mark.args})
        gc.collect()
        gc.freeze()  # the garbage of a test is looked for among what the tests made, not in the whole of pytest


def pytest_sessionfinish() -> None:
    gc.unfreeze()  # else libraries tell at the exit of what seems to leak


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            if why := needs.missing(name):
                pytest.skip(why)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    return _required((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    return _required((yield))


def _required(report: Any) -> Any:
    """Under REQUIRE=all, make a failure of what was left out."""
    if REQUIRE_ALL and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        why = report.longrepr[-1] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if "needs shared data" not in why:
            report.outcome = "failed"
            report.longrepr = f"REQUIRE=all, but this was left out: {why}"
    return report


@pytest.fixture(scope="session", autouse=True)
def nothing_left_running(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[None]:
    """Of what this worker started; the store that all workers share ends after them."""
    if pytestconfig.getoption("no_process"):
        yield
        return
    census = guard.Census(tmp_path_factory.getbasetemp())
    yield
    if left := census.left():
        pytest.fail("processes, mounts or containers were left:\n" + "\n".join(left), pytrace=False)


@pytest.fixture(scope="module", autouse=True)
def nothing_left_open() -> Iterator[None]:
    """Report the leftovers of a test file at its end, not in the test that happens to collect the garbage.

    What is in use then is not looked through again: that took 0.1 s for each file in each worker.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def new_stores_are_copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Of the stores that this process opens."""
    CopiedFile.empty = tmp_path_factory.mktemp("empty") / "transcripts.duckdb"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored_data, "StoreFile", CopiedFile)
        yield


@pytest.fixture(scope="session")
def empty_store(new_stores_are_copies: None) -> Path:
    """The file of a store, with its tables and nothing in them."""
    return made_empty(CopiedFile.empty)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """This test's own SESSION_WIDGETS_HOME; its stores are closed in the end."""
    path = tmp_path / "home"
    monkeypatch.setenv("SESSION_WIDGETS_HOME", str(path))
    yield path
    close_below(tmp_path)
