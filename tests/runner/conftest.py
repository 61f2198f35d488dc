"""Real runners for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.runner import RunnerProcess


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunnerProcess]:
    """One runner for the tests of a file; each uses names of its own."""
    started = RunnerProcess(tmp_path_factory.mktemp("runner"))
    yield started
    started.stop()
    assert not started.carriers()
    assert "Traceback" not in started.log.read_text()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RunnerProcess]]:
    """Start a runner with settings of its own; the same name finds the same files again."""
    started: list[RunnerProcess] = []

    def start(name: str = "runner", **settings: Any) -> RunnerProcess:
        started.append(RunnerProcess(tmp_path / name, **settings))
        return started[-1]

    yield start
    for one in started:
        one.stop()
        assert not one.carriers()
        assert "Traceback" not in one.log.read_text()


@pytest.fixture
def folder(runner):
    """A directory of this test's own, as a path relative to the workspace."""
    name = f"d-{uuid4().hex[:8]}"
    (runner.root / name).mkdir()
    return name
