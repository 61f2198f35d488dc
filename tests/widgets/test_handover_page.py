"""The history that an agent received, read in the panel."""

from __future__ import annotations

import shutil
import threading

import pytest
from playwright.sync_api import Page, expect

import session_widgets as sw
from session_widgets.widgets import Chat, SessionPanel
from tests.widgets.pages import Bench
from tests.widgets.scripted import Scripted

pytestmark = pytest.mark.needs("chromium")

HOSTILE = "<img src=x onerror=\"document.title='owned'\">\u202e\x1b[31m"
TOLD = {
    "turns": [
        {
            "prompt": "Write a parser",
            "answer": "It is in parser.py.\n\n# no heading",
            "files": ["created src/parser.py"],
        },
        {
            "prompt": "Test it",
            "answer": "",
            "ended": "cancelled",
            "earlier tools left out": 3,
            "tools": [
                {"title": "pytest -q", "status": "failed", "result": "1 failed"},
                {"title": "Read parser.py", "status": "completed"},
            ],
        },
    ],
    "earlier turns left out": 4,
}


@pytest.fixture
def chat(page: Page, session: Scripted):
    bench = Bench(page, Chat(session))
    yield bench
    bench.widget.close()
    assert bench.errors == []


def head(chat: Bench):
    return chat.page.get_by_role("button", name="History handed over")


def box(chat: Bench):
    return chat.page.get_by_role("list", name="History sent to the agent")


def handed_over(chat: Bench, session: Scripted, told) -> None:
    session.begin("first")
    session.end()
    session.hand_over(told)
    session.say("I go on")
    session.end()
    chat.until(lambda: head(chat).count() == 1)


def test_it_opens_and_shows_each_turn(chat, session):
    handed_over(chat, session, TOLD)
    expect(head(chat)).to_have_attribute("aria-expanded", "false")
    assert box(chat).count() == 0
    head(chat).click()
    chat.until(lambda: box(chat).count() == 1)
    expect(head(chat)).to_have_attribute("aria-expanded", "true")
    assert chat.page.inner_text(".sw-told-head") == "The agent received 2 earlier turns. 4 more were omitted."
    first, second = box(chat).locator("li").all()
    assert first.locator(".sw-told-prompt").inner_text().endswith("Write a parser")
    assert first.locator(".sw-told-answer").inner_text().endswith("It is in parser.py.\n\n# no heading")
    assert first.locator(".sw-chip").get_attribute("title") == "src/parser.py (created)"
    assert "3 earlier tool calls were left out." in second.inner_text()
    assert second.locator(".sw-told-call bdi").all_inner_texts() == ["pytest -q", "Read parser.py"]
    assert second.locator("pre").all_inner_texts() == ["1 failed"]
    assert second.inner_text().endswith("Stopped")
    head(chat).click()
    chat.until(lambda: box(chat).count() == 0)


def test_what_a_loaded_memory_lacked_can_be_read(chat, session):
    session.begin("first")
    session.end()
    session.hand_over({"turns": [{"prompt": "Cut off", "answer": "", "ended": "failed"}]}, tier="load")
    session.end()
    button = chat.page.get_by_role("button", name="The agent loaded its own memory and received the missing turns")
    chat.until(lambda: button.count() == 1)
    button.click()
    chat.until(lambda: box(chat).count() == 1)
    assert "Cut off" in box(chat).inner_text()


def test_the_kernel_is_asked_once_and_only_when_it_is_opened(chat, session):
    asked = []
    handed_over(chat, session, TOLD)
    receive = chat.widget._rpc.call
    chat.widget._rpc.call = lambda message, buffers: (asked.append(message["op"]), receive(message, buffers))
    assert "Write a parser" not in chat.page.content()
    for _ in range(3):
        head(chat).click()
        chat.until(lambda: box(chat).count() == 1)
        head(chat).click()
        chat.until(lambda: box(chat).count() == 0)
    assert asked == ["handover"]


def test_the_keyboard_opens_and_reads_it(chat, session):
    long = {"turns": [{"prompt": f"prompt {number}", "answer": "line\n" * 30} for number in range(9)]}
    handed_over(chat, session, long)
    head(chat).focus()
    chat.page.keyboard.press("Enter")
    chat.until(lambda: box(chat).count() == 1)
    chat.page.keyboard.press("Tab")
    expect(box(chat)).to_be_focused()
    chat.page.keyboard.press("End")
    chat.until(lambda: box(chat).evaluate("box => box.scrollTop > 100"))
    assert box(chat).bounding_box()["height"] <= 320
    chat.page.keyboard.press("Shift+Tab")
    chat.page.keyboard.press("Space")
    chat.until(lambda: box(chat).count() == 0)


def test_what_is_opened_stays_where_it_is(chat, session):
    """Also at the end of a transcript, which the page follows otherwise."""
    handed_over(chat, session, TOLD)
    session.begin("more")
    session.say("line\n\n" * 5)
    session.end()
    chat.until(lambda: chat.page.locator(".sw-foot").count() == 3)
    top = head(chat).bounding_box()["y"]
    head(chat).click()
    chat.until(lambda: box(chat).count() == 1)
    expect(chat.page.get_by_role("button", name="Jump to latest")).to_be_visible()
    assert abs(head(chat).bounding_box()["y"] - top) < 2
    head(chat).click()
    chat.until(lambda: box(chat).count() == 0)
    expect(chat.page.get_by_role("button", name="Jump to latest")).to_have_count(0)
    assert abs(head(chat).bounding_box()["y"] - top) < 2


def test_a_history_is_shown_as_text_only(chat, session):
    bad = {
        "prompt": HOSTILE,
        "answer": HOSTILE,
        "ended": HOSTILE,
        "tools": [{"title": HOSTILE, "status": HOSTILE, "result": HOSTILE}],
        "files": [f"created {HOSTILE}"],
    }
    handed_over(chat, session, {"turns": [bad]})
    head(chat).click()
    chat.until(lambda: box(chat).count() == 1)
    assert box(chat).inner_text().count("onerror") >= 5
    assert chat.page.locator("#view img").count() == 0
    assert chat.page.title() == ""
    assert "\u202e" not in chat.page.content()
    assert "\x1b" not in chat.page.content()
    wide = "box => box.scrollWidth - box.clientWidth"
    assert box(chat).evaluate(wide) == 0


def test_what_cannot_be_read_says_why_and_can_be_asked_for_again(chat, session):
    handed_over(chat, session, None)
    head(chat).click()
    chat.sees("nothing was handed over in turn 2")
    session.told[2] = TOLD
    chat.page.get_by_role("button", name="Try again").click()
    chat.until(lambda: box(chat).count() == 1)


def test_a_kernel_that_does_not_answer_yet_is_waited_for(chat, session):
    handed_over(chat, session, TOLD)
    gate = threading.Event()
    receive = chat.widget._rpc.call
    chat.widget._rpc.call = lambda message, buffers: threading.Thread(
        target=lambda: gate.wait(30) and receive(message, buffers)
    ).start()
    head(chat).click()
    chat.sees("Asking the kernel")
    chat.sees("The kernel is running a cell; this loads when it ends")
    gate.set()
    chat.until(lambda: box(chat).count() == 1)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_a_narrow_panel(page, session, theme):
    told = {"turns": [{"prompt": "p" * 300, "answer": "a" * 300, "tools": [{"title": "t" * 300, "status": "completed",
                       "result": "r" * 300}], "files": ["created " + "f" * 190]}]}  # fmt: skip
    bench = Bench(page, Chat(session), width=320, body=f"data-jp-theme-light={'true' if theme == 'light' else 'false'}")
    handed_over(bench, session, told)
    head(bench).click()
    bench.until(lambda: box(bench).count() == 1)
    assert box(bench).evaluate("box => box.scrollWidth - box.clientWidth") == 0
    assert page.evaluate("() => document.querySelector('.sw-scroll').scrollWidth <= 320")
    bench.widget.close()


def test_a_real_session_that_lost_its_memory(page, home):
    session = sw.open_session("told", permissions="allow_all")
    session.send("write a.txt <<EOT\nx\nEOT\nsay written")
    session.park()
    shutil.rmtree(session.workspace / ".harness")
    assert session.send("say again").tier == "replay"
    bench = Bench(page, SessionPanel(session))
    try:
        bench.until(lambda: head(bench).count() == 1)
        head(bench).click()
        bench.until(lambda: box(bench).count() == 1)
        assert box(bench).locator(".sw-told-call bdi").all_inner_texts() == ["Write a.txt"]
        box(bench).locator(".sw-chip", has_text="a.txt").click()
        bench.until(lambda: page.inner_text(".sw-preview").count("x"))
        assert bench.errors == []
    finally:
        bench.widget.close()
        session.delete()
        sw.store().close()
