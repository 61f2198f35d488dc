"""The store's location, and the list of sessions."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from session_widgets._store import sessions
from session_widgets._store import store as open_store
from session_widgets._store.database import Store
from session_widgets.host.data_directory import data_directory
from tests.support.drafts import opened


def test_the_default_store_lives_under_the_home_of_the_package(home: Path) -> None:
    store = open_store()
    assert store.path == home / "transcripts.duckdb"
    assert sessions() == []
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert open_store() is store
    store.close()


def test_without_a_home_the_platform_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SESSION_WIDGETS_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tmp_path in data_directory().parents
    assert data_directory().name == "session-widgets"


def test_the_list_can_be_read_and_is_escaped(store: Store) -> None:
    assert repr(store.sessions()) == "no sessions yet"
    assert "no sessions" in store.sessions()._repr_html_()
    store.append("one", [opened(title="<img src=x onerror=alert(1)>\x1b[31m\nred")])
    store.append("two", [opened(title="plain")])
    listed = store.sessions()
    assert {record.id for record in listed} == {"one", "two"}
    text, html = repr(listed), listed._repr_html_()
    assert len(text.splitlines()) == 3
    assert "\x1b" not in text
    assert "\x1b" not in html
    assert "<img" not in html
    assert "&lt;img" in html
    assert html.count("<tr>") == 3


def test_importing_the_package_does_not_load_duckdb() -> None:
    probe = "import sys, session_widgets._store; sys.exit('duckdb' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", probe], check=True)
