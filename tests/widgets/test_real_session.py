"""The panel over a real session: a real agent, a real sandbox, a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

import session_widgets as sw
from widgets.pages import Bench

pytestmark = pytest.mark.needs("chromium")
PROMPT = """say I write a *file*.
write hello.py <<EOT
print("hi from the file")
EOT
run python hello.py"""


def test_prompt_permission_output_and_file(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SESSION_WIDGETS_HOME", str(tmp_path))
    store = sw.store(tmp_path / "store.duckdb")
    session = sw.open_session("panel", harness="demo", sandbox="local", store=store)
    bench = Bench(page, sw.SessionPanel(session), width=1060)
    try:
        bench.sees("What should the agent do?", seconds=20)
        page.get_by_test_id("composer").fill(PROMPT)
        page.get_by_test_id("composer").press("Enter")
        bench.sees("May the agent change a file?", seconds=20)
        page.get_by_test_id("permission-allow_once").click()
        bench.sees("May the agent run a command?")
        page.get_by_test_id("permission-allow_once").click()
        bench.sees("hi from the file")
        bench.until(lambda: page.locator(".sw-foot .sw-chip", has_text="hello.py").count() == 1)
        page.locator(".sw-chip").click()
        bench.until(lambda: 'print("hi from the file")' in page.inner_text(".sw-preview"))
        page.get_by_test_id("composer").fill("wait 60")
        page.get_by_test_id("composer").press("Enter")
        bench.sees("Working: Wait")
        page.get_by_test_id("stop").click()
        bench.sees("Stopped")
        assert [turn.status for turn in session.turns] == ["completed", "cancelled"]
        assert bench.errors == []
    finally:
        bench.widget.close()
        session.delete()
        store.close()
