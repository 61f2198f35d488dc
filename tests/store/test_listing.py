"""The store's location, and the list of sessions."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from session_widgets._store import sessions
from session_widgets._store import store as open_store
from session_widgets._store.database import Store
from session_widgets._store.location import home_of, locate
from session_widgets.host.data_directory import data_directory
from tests.support.drafts import note, opened


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


def test_the_list_shows_a_session_in_a_line(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC+2")
    time.tzset()
    try:
        store.append("one", [opened(title="x" * 70), note("turn_started", 2, turn=1, prompt=[])])
        text, html = repr(store.sessions()), store.sessions()._repr_html_()
    finally:
        monkeypatch.undo()
        time.tzset()
    cells = ["one", "x" * 59 + "…", "running", "1", "demo", "local", "2026-11-21 07:00"]
    heads = ["session", "title", "status", "turns", "harness", "sandbox", "updated"]
    assert [re.split(r" {2,}", line) for line in text.splitlines()] == [heads, cells]
    assert re.findall(r"<t[hd]>(.*?)</t[hd]>", html) == [*heads, *cells]
    store.append("two", [opened()])
    assert "<td>two</td><td></td>" in store.sessions()._repr_html_(), "no title"


def test_an_empty_list_says_so(store: Store) -> None:
    assert (repr(store.sessions()), store.sessions()._repr_html_()) == ("no sessions yet", "<p>no sessions yet</p>")


def test_a_path_is_made_real_and_its_missing_directories_are_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    before = os.umask(0)
    try:
        assert locate("~/deep/er/t.duckdb") == tmp_path / "deep" / "er" / "t.duckdb"
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "deep" / "er").stat().st_mode) == 0o700
    (tmp_path / "link").symlink_to(tmp_path / "deep")
    assert locate(tmp_path / "link" / "er" / "t.duckdb") == tmp_path / "deep" / "er" / "t.duckdb"


def test_two_stores_in_a_directory_have_homes_of_their_own(tmp_path: Path) -> None:
    assert home_of(tmp_path / "transcripts.duckdb") == tmp_path
    assert home_of(tmp_path / "other.duckdb") == tmp_path / "other-sessions"


def test_importing_the_package_does_not_load_duckdb() -> None:
    probe = "import sys, session_widgets._store; sys.exit('duckdb' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", probe], check=True)
