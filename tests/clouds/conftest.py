"""A session at a vendor, whose stand-in the test's module starts as the fixture `account`."""

from __future__ import annotations

from pathlib import Path

import pytest

import session_widgets as sw
from session_widgets._sandboxes.clouds import limits
from tests.standins.rented import Rented


@pytest.fixture
def folder(tmp_path):
    """The session's workspace."""
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


@pytest.fixture
def opened(account, home, folder, monkeypatch):
    """Opens the session of the test, again as often as it wants; deleted, it leaves nothing at the vendor."""
    for name, value in account.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(limits, "SECONDS_BETWEEN", 0)
    last = []

    def open_session(**options):
        given = {"sandbox": account.name, "workspace": folder} if not last else {}
        last.append(sw.open_session("s1", **{"permissions": "allow_all", **given, **options}))
        return last[-1]

    yield open_session
    if last:
        sw.open_session("s1").delete()
    Rented(account.name, account, Path()).check()
