"""What a cell keeps: the widget, and beside it a static summary for places where no kernel answers."""

from __future__ import annotations

import re
from typing import Any

import pytest

import session_widgets.widgets._base as base
from session_widgets.widgets import SessionPanel
from widgets.scripted import Scripted, text


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    shown: list[Any] = []
    monkeypatch.setattr(base, "display", lambda data, **options: shown.append((data, options)))
    monkeypatch.setattr(base, "update_display", lambda data, **options: shown.append((data, options)))
    return shown


def panel(session: Scripted) -> SessionPanel:
    widget = SessionPanel(session)
    widget._ipython_display_()
    return widget


def test_the_widget_and_its_summary_are_two_outputs(session, outputs):
    session.begin("hello")
    session.say("An answer")
    widget = panel(session)
    assert "application/vnd.jupyter.widget-view+json" in outputs[0][0]
    html = outputs[1][0].data
    assert f'data-sw-for="{widget.snapshot_id}"' in html
    assert "An answer" in html
    widget.close()


def test_the_summary_follows_each_turn(session, outputs):
    widget = panel(session)
    assert "No messages yet" in outputs[-1][0].data
    session.begin("hello")
    session.say("Later words")
    session.end()
    html, options = outputs[-1]
    assert "Later words" in html.data
    assert options == {"display_id": widget.snapshot_id}
    widget.close()


def test_the_summary_is_small_and_keeps_the_newest(session, outputs):
    for turn in range(300):
        session.begin(f"prompt {turn} " + "é" * 3000)
        session.say("x" * 100_000)
    widget = panel(session)
    html = outputs[1][0].data
    assert len(html.encode()) <= 150_000
    assert "prompt 299" in html
    assert "prompt 0 " not in html
    assert "Earlier steps are in the store" in html
    widget.close()


def test_the_summary_holds_text_only(session, outputs):
    session.title = "<script>alert(0)</script>"
    session.begin("<script>alert(1)</script>")
    session.think("<svg onload=alert(2)>")
    session.say('"><img src=x onerror=alert(3)> \u202egnp.exe \ud83d')
    session.plan(("<b>plan</b>", "pending"))
    session.tool("t", title="</code><iframe>", content=[text("x")])
    session.end("failed", error="<object>")
    widget = panel(session)
    html = outputs[-1][0].data
    tags = {tag.lower() for tag in re.findall(r"<([a-zA-Z]+)", html)}
    assert tags <= {"div", "b", "span", "p", "code", "ul", "li", "details", "summary", "pre"}
    assert "[U+202E]gnp.exe" in html
    html.encode()
    widget.close()
