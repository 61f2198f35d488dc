"""Sessions of the real programs, ended after each test."""

from __future__ import annotations

import pytest

import session_widgets as sw
from tests.support.real_harnesses import MODELS, allow_once


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
