"""A plugin of pytest: the run for each fault has a temporary directory of its own, and leaves nothing there."""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from tests.mutation.modules import RELOADED

# For the name of each plugin pytest reads what all installed packages offer: a third of the run of a fault.
pytest.PytestPluginManager.load_setuptools_entrypoints = lambda *_, **__: 0  # type: ignore[method-assign]


@pytest.hookimpl(tryfirst=True)  # before pytest makes it
def pytest_configure(config: pytest.Config) -> None:
    config.option.basetemp = os.path.join(tempfile.gettempdir(), f"mutation-{os.getpid()}")  # noqa: PTH118


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.option.basetemp, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the quickest tests first, as measured by mutmut: most faults are noticed by one of them."""
    with contextlib.suppress(FileNotFoundError):
        seconds = json.loads(Path("mutmut-stats.json").read_text("utf-8"))["duration_by_test"]
        items.sort(key=lambda item: seconds.get(item.nodeid, 0.0))


@pytest.hookimpl(tryfirst=True)  # before conftest.py collects the garbage
def pytest_collection_finish() -> None:
    gc.freeze()  # what was imported for all faults is no garbage of one


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    for name in os.environ.get(RELOADED, "").split():
        importlib.reload(sys.modules[name])
