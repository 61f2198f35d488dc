"""The panel over a real session: a real agent, a real sandbox, a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

import session_widgets as sw
from tests.support.flaky_s3 import Fault, flaky
from tests.widgets.pages import Bench

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


def test_what_is_saved_is_being_saved_and_is_not(page: Page, home: Path, lab: str, seaweed, monkeypatch):
    with flaky(seaweed.endpoint) as way:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", way.endpoint)
        session = sw.open_session("s1", workspace=lab, permissions="allow_all")
        bench = Bench(page, sw.SessionPanel(session), width=1060)
        kept = page.locator(".sw-kept")
        try:
            session.send("write a <<EOT\nfirst\nEOT")
            bench.until(lambda: kept.evaluate_all("all => all.map(one => one.dataset.state)") == ["saved"], seconds=20)
            kept.click()
            bench.sees(f"to {lab}/s1 (s3 · sync)")
            way.rule = lambda method, path: Fault(delay=3) if method == "PUT" and path.endswith("/b") else None
            turn = session.start("write b <<EOT\nsecond\nEOT")
            bench.sees("Saving to s3 · sync…", seconds=20)
            turn.wait(60)
            bench.until(lambda: page.locator(".sw-kept[data-state=saved]").count() == 2)
            way.rule = lambda method, _path: Fault(status=403, code="AccessDenied") if method == "PUT" else None
            lost = session.send("write c <<EOT\nthird\nEOT")
            bench.sees("Not saved: ")
            bench.sees(lost.durability_error.partition(": ")[2][:40])
            way.rule = lambda _method, _path: None
            session.send("say go on")
            bench.sees("Saved later, with turn 4")
            assert bench.errors == []
        finally:
            bench.widget.close()
            session.delete()
            sw.store().close()


@pytest.mark.needs("fuse", "s3fs")
def test_what_a_mount_can_do_is_said(page: Page, home: Path, lab: str):
    session = sw.open_session("s1", workspace=lab, attachment="fuse:s3fs", permissions="allow_all")
    bench = Bench(page, sw.SessionPanel(session), width=1060)
    try:
        session.send("say hello")
        bench.until(lambda: "not hard link" in (page.locator(".sw-home").get_attribute("title") or ""))
        assert page.inner_text(".sw-home") == "s3 · s3fs"
        assert bench.errors == []
    finally:
        bench.widget.close()
        session.delete()
        sw.store().close()
