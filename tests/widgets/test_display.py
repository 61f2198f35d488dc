"""A cell's output: the widget, and a static summary for places without a kernel."""

from __future__ import annotations

import re
from typing import Any

import pytest

import session_widgets.widgets._base as base
from session_widgets.widgets import SessionPanel
from tests.widgets.scripted import Scripted, text


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
    assert outputs[0][0]["text/plain"] == ""
    html = outputs[1][0]["text/html"]
    assert f'data-sw-for="{widget.snapshot_id}"' in html
    assert "An answer" in html
    widget.close()


def test_the_summary_follows_each_turn(session, outputs):
    widget = panel(session)
    assert "No messages yet" in outputs[-1][0]["text/html"]
    session.begin("hello")
    session.say("Later words")
    session.end()
    html, options = outputs[-1]
    assert "Later words" in html["text/html"]
    assert options == {"raw": True, "display_id": widget.snapshot_id}
    widget.close()


def test_the_summary_is_small_and_keeps_the_newest(session, outputs):
    for turn in range(300):
        session.begin(f"prompt {turn} " + "é" * 3000)
        session.say("x" * 100_000)
    widget = panel(session)
    html = outputs[1][0]["text/html"]
    assert len(html.encode()) <= 150_000
    assert "prompt 299" in html
    assert "prompt 0 " not in html
    assert "Earlier steps are in the store" in html
    widget.close()


def test_the_summary_holds_no_key_however_it_came(session, outputs, monkeypatch):
    keys = {
        "ANTHROPIC_API_KEY": "sk-ant-api03-Qm7xVb2LkT9wZr4NcYf8Hs1JdPgUa6Ee",
        "DATABASE_URL": "postgres://app:Zx81-hunter-Kq@db.example/x",
        "SERVICE_TOKEN": "c2VjcmV0LXRva2VuLWZvci10ZXN0cw==",
    }
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    session.begin(" ".join(keys.values()))
    for value in keys.values():
        for start in range(0, len(value), 5):
            session.say(value[start : start + 5])
        session.say(" ")
        session.think(value)
        session.tool(value, title=f"curl -H {value}", status="completed")
        session.plan((value, "pending"))
    session.end("failed", error=" ".join(keys.values()))
    session.begin("x" * 3_990 + keys["ANTHROPIC_API_KEY"])
    widget = panel(session)
    html = "".join(output["text/html"] for output, _ in outputs[1:])
    assert [piece for piece in ("sk-ant-api", "Zx81-hunter-Kq", keys["SERVICE_TOKEN"]) if piece in html] == []
    assert "[redacted]" in html
    assert "curl -H" in html
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
    html = outputs[-1][0]["text/html"]
    tags = {tag.lower() for tag in re.findall(r"<([a-zA-Z]+)", html)}
    assert tags <= {"div", "style", "b", "span", "p", "code", "ul", "li", "details", "summary", "pre"}
    assert "[U+202E]gnp.exe" in html
    html.encode()
    widget.close()
