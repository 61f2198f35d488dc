"""Skipped tests are reported, and REQUIRE=all skips none."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.guard import Census
from tests.support.paths import ROOT

TESTS = """
import pytest
from tests.support import needs
needs.NEEDS["moon"] = needs.Need(lambda: False, "fly there")

@pytest.mark.needs("moon")
def test_landing(): pass

def test_data():
    pytest.skip("needs shared data: ../shared/x is not beside the repository")

def test_here(): pass
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "test_some.py").write_text(TESTS)

    def run(**variables):
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-ra",
            "-p",
            "tests.conftest",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
        ]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "REQUIRE": "", "PYTEST_ADDOPTS": ""} | variables
        return subprocess.run(
            [*command, "-c", os.devnull, f"--rootdir={tmp_path}", str(tmp_path)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_test_that_lacks_something_is_left_out_and_the_remedy_is_said(run):
    done = run()
    assert "SKIPPED [1]" in done.stdout
    assert "needs moon: fly there" in done.stdout
    assert "1 passed, 2 skipped" in done.stdout
    assert done.returncode == 0


def test_require_all_fails_it_but_not_for_data_beside_the_repository(run):
    done = run(REQUIRE="all")
    assert "REQUIRE=all, but this was left out" in done.stdout
    assert "needs moon: fly there" in done.stdout
    assert "1 passed, 1 skipped, 1 error" in done.stdout
    assert done.returncode == 1


@pytest.mark.parametrize("environment", [None, {}], ids=["by its mark", "by a path of the run"])
def test_a_process_that_is_left_running_is_found(environment, tmp_path, monkeypatch):
    monkeypatch.setenv(Census.VARIABLE, "")
    census = Census(tmp_path)
    child = subprocess.Popen(["/bin/sleep", "30"], env=environment, cwd=tmp_path if environment == {} else None)
    try:
        assert [line for line in census.left(seconds=0.2) if f"pid {child.pid} " in line]
    finally:
        child.kill()
        child.wait()
    assert census.left() == []
