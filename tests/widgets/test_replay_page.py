"""`sw.Replay` in a page: seeking, keys, playing, the panes beside, a long session, hostile text."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

import session_widgets as sw
from session_widgets.widgets import _playback
from tests.analysis.stored import store_session, tool
from tests.support import needs
from tests.transcript.script import Script
from tests.widgets.axe import faults
from tests.widgets.pages import Bench

pytestmark = pytest.mark.needs("chromium", "axe")

HOSTILE = "<img src=x onerror=document.title='taken'>\u202e \x1b[31mred\x1b[0m"


def call(s: Script, name: str, kind: str, raw: dict, turn: int, output: str = "", status: str = "completed") -> None:
    content = [{"type": "content", "content": {"type": "text", "text": output}}] if output else []
    s.update("tool_call", turn=turn, toolCallId=name, title=name, kind=kind, rawInput=raw, status="in_progress")
    s.update("tool_call_update", turn=turn, toolCallId=name, status=status, content=content)


def story(turns: int) -> sw.Transcript:
    s = Script()
    for turn in range(1, turns + 1):
        if turn > 1:
            s.note("turn_started", turn=turn, prompt=[{"type": "text", "text": f"prompt {turn}"}])
        s.say(f"answer {turn}. {HOSTILE}", turn=turn)
        s.update(
            "plan", turn=turn, entries=[{"content": f"plan {turn} {HOSTILE}", "status": "pending", "priority": "low"}]
        )
        call(s, f"write {turn}", "edit", {"file_path": f"/w/{HOSTILE}.py", "content": f"text {turn}\n{HOSTILE}"}, turn)
        call(
            s,
            f"run {turn}",
            "execute",
            {"command": f"pytest {turn} {HOSTILE}"},
            turn,
            f"out {turn} {HOSTILE}",
            "failed",
        )
        s.end(turn=turn)
    return sw.Transcript("s", s.events)


def test_the_first_moment_needs_no_request(page: Page):
    widget = sw.Replay(story(2), at="2/3")
    widget._rpc.call = lambda *_: None  # a kernel that is busy
    bench = Bench(page, widget)
    bench.sees("step 2/3")
    bench.sees("answer 2")
    assert page.locator(".sw-rep-mark[data-kind=error]").inner_text().split() == ["Errors", "2"]
    widget.close()
    assert bench.errors == []


def test_a_step_is_annotated(page: Page, home, monkeypatch):
    monkeypatch.setattr(_playback, "FIRST_BYTES", 0)  # the page requests the first moment
    store_session("noted", "/w", tool("execute", {"command": "make"}, "failed"), tool("execute", {"command": "make"}))
    sw.store().annotate("noted/1/2", HOSTILE[:190], author="rules")
    bench = Bench(page, sw.Replay("noted", at="1/2"))
    page.evaluate(needs.AXE.read_text())
    said = page.locator(".sw-rep-said")
    bench.sees("rules")
    said.get_by_label("Label").fill("loop")
    said.get_by_label("Note").fill("once more")
    page.keyboard.press("Enter")
    bench.until(lambda: "once more" in said.inner_text())
    expect(said.get_by_label("Label", exact=True)).to_have_value("")
    assert not faults(bench)
    query = "select step_uid, note from v_annotations where label = 'loop'"
    assert sw.store().sql(query).fetchall() == [("noted/1/2", "once more")]
    said.get_by_label("Last step of a span").fill("7/7")
    said.get_by_label("Label", exact=True).fill("span")
    page.keyboard.press("Enter")
    bench.until(lambda: "no step 7/7" in said.inner_text())
    said.get_by_label("Remove loop").click()
    bench.until(lambda: "once more" not in said.inner_text())
    assert page.title() != "taken"
    assert sw.store().sql(query).fetchall() == []
    page.locator(".sw-rep-axis").focus()
    page.keyboard.press("ArrowLeft")
    bench.until(lambda: "rules" not in said.inner_text())


def test_a_session_is_played_back(page: Page):
    widget = sw.Replay(story(3), at="2/3")
    bench = Bench(page, widget)
    page.evaluate(needs.AXE.read_text())
    bench.sees("step 2/3")
    words = bench.words()
    assert "answer 2" in words
    assert "answer 3" not in words, "the transcript as it was"
    # keys: by step, by turn, to marks, to the ends
    axis = page.locator(".sw-rep-axis")
    axis.focus()
    for key, there in [
        ("ArrowRight", "step 2/4"), ("Shift+ArrowLeft", "step 1/4"), ("Home", "event 1 of"), ("End", "step 3/4"),
        ("ArrowLeft", "step 3/3"),
    ]:  # fmt: skip
        page.keyboard.press(key)
        bench.sees(there)
    page.locator(".sw-rep-mark[data-kind=error]").click(modifiers=["Shift"])
    bench.sees("step 2/4")
    page.keyboard.press("[")
    bench.sees("step 1/4")
    page.keyboard.press("]")
    bench.sees("step 2/4")
    # beside the transcript: the moment's plan, terminal and files
    pane = page.locator(".sw-rep-pane")
    page.locator(".sw-rep-tab[data-name=plan]").click()
    bench.until(lambda: "plan 2" in pane.inner_text())
    page.locator(".sw-rep-tab[data-name=terminal]").click()
    bench.until(lambda: "out 2" in pane.inner_text() and "out 3" not in pane.inner_text())
    page.locator(".sw-rep-tab[data-name=files]").click()
    page.locator(".sw-rep-file").click()
    bench.until(lambda: "Not known" in pane.inner_text() and "text 2" in pane.inner_text())
    axis.focus()
    page.keyboard.press("ArrowLeft")
    bench.until(lambda: "as the agent wrote it" in pane.inner_text())
    assert pane.locator("[data-state=unknown]").count() == 0
    # playing, from the beginning to the end
    page.keyboard.press("1")
    page.locator(".sw-rep-pick select").select_option("50")
    page.keyboard.press("Home")
    axis.focus()
    page.keyboard.press("Home")
    bench.sees("event 1 of")
    page.keyboard.press(" ")
    bench.sees("step 3/4")
    bench.until(lambda: page.locator(".sw-rep-play").get_attribute("aria-label") == "Play")
    # a click on the time line, a step of the transcript, and Python, which then learns where the page is
    box = axis.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
    bench.until(lambda: "step 2/" in bench.words())
    page.evaluate("model.set('seq', 4)")
    bench.sees("event 4 of")
    page.keyboard.press("End")
    bench.until(lambda: widget.seq == widget.moment(10**6).seq)
    page.locator(".sw-rep-here").first.dispatch_event("click")
    bench.until(lambda: "step 3/4" not in page.locator(".sw-rep-where").inner_text())
    assert page.title() == ""
    assert page.locator("#view img").count() == 0
    for name in ("step", "files", "terminal", "plan"):
        page.locator(f".sw-rep-tab[data-name={name}]").click()
        bench.pump()
        assert faults(bench) == {}, name
    # without the kernel
    page.evaluate("model.dead = true")
    axis.focus()
    page.keyboard.press("Home")
    expect(page.get_by_text("The kernel is gone")).to_be_visible()
    widget.close()
    assert bench.errors == []


def test_of_a_long_session_only_the_rows_in_view_are_in_the_page(page: Page, monkeypatch):
    monkeypatch.setattr(_playback, "FIRST_BYTES", 4_000)  # the time line comes behind the first moment
    widget = sw.Replay(story(150), at=0)
    bench = Bench(page, widget)
    bench.sees("event 1 of")
    page.locator(".sw-rep-axis").focus()
    page.keyboard.press("End")
    bench.sees("step 150/4")
    bench.sees("answer 150")
    scroller = page.locator(".sw-rep-scroll")
    bench.until(lambda: scroller.evaluate("(e) => e.scrollHeight - e.scrollTop - e.clientHeight") < 40)
    assert page.locator(".sw-rep-row").count() < 60
    scroller.evaluate("(e) => { e.scrollTop = e.scrollHeight / 2 }")
    bench.until(
        lambda: page.locator(".sw-rep-row .sw-tool").count() > 0 and page.locator(".sw-rep-missing").count() == 0
    )
    assert page.evaluate("document.querySelectorAll('#view *').length") < 2000
    assert "answer 150" not in scroller.inner_text()
    widget.close()
    assert bench.errors == []
