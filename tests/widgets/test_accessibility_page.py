"""axe-core, the rules that browsers' own tools use, on the panel in each of its states."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

from session_widgets.widgets import SessionPanel
from tests.support import needs
from tests.widgets.axe import faults
from tests.widgets.pages import Bench
from tests.widgets.scripted import Scripted, diff, text

pytestmark = pytest.mark.needs("chromium", "axe")


@pytest.fixture
def panel(page: Page, session: Scripted):
    bench = Bench(page, SessionPanel(session))
    page.evaluate(needs.AXE.read_text())
    yield bench
    bench.widget.close()
    assert bench.errors == []


def test_a_new_session(panel):
    panel.sees("What should the agent do?")
    panel.sees("No files yet")
    assert faults(panel) == {}


def test_before_the_kernel_has_answered(page, session):
    bench = Bench(page, SessionPanel(session))
    page.evaluate(needs.AXE.read_text())
    assert faults(bench) == {}
    bench.widget.close()


def test_a_session_of_every_kind_of_step(panel, session, tmp_path: Path):
    (tmp_path / "src").mkdir()
    (tmp_path / "a.py").write_text("x = 1\n")
    session.begin("hello")
    session.think("a thought")
    session.say(
        "# Title\n\nWords with a [link](https://a.example).\n\n```py\nx = 1\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |"
    )
    session.plan(("first", "completed"), ("second", "in_progress"), ("third", "pending"))
    session.tool("a", title="Edit a.py", kind="edit", status="completed", content=[diff("a.py", "x = 0\n", "x = 1\n")])
    session.tool("b", title="make", kind="execute", status="failed", content=[text("\x1b[31mno rule\x1b[0m")])
    session.end("failed", error="It did not work.", usage={"inputTokens": 12, "outputTokens": 3})
    session.begin("again")
    session.tool("c", title="rm", kind="execute", rawInput={"command": "rm a", "cwd": "/"}, locations=[{"path": "a"}])
    session.ask(1, toolCallId="c")
    panel.sees("May the agent run a command?")
    node = panel.page.locator(".sw-node[data-path='a.py']")
    panel.until(node.count)  # the tool's title has its name too
    node.click()
    panel.sees("x = 1")
    assert faults(panel) == {}


def test_a_narrow_panel(page, session):
    session.begin("hello")
    session.say("words")
    session.end()
    bench = Bench(page, SessionPanel(session), width=480)
    page.evaluate(needs.AXE.read_text())
    bench.sees("words")
    assert faults(bench) == {}
    page.get_by_role("tab", name="Files").click()
    assert faults(bench) == {}
    bench.widget.close()
