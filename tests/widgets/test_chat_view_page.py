"""The view of the chat: long sessions, scrolling, repainting, themes and screen readers."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from playwright.sync_api import expect

import session_widgets as sw
from session_widgets.widgets import Chat
from tests.support.drafts import note, opened, update
from tests.widgets.pages import Bench
from tests.widgets.scripted import text

pytestmark = pytest.mark.needs("chromium")


def test_a_line_of_five_megabytes_is_cut_and_the_rest_is_there_for_the_asking(chat, session):
    session.begin("hello")
    session.say("x" * 5_000_000)
    chat.sees("Show more")
    assert len(chat.words()) < 100_000
    chat.page.locator(".sw-more").click()
    chat.until(lambda: len(chat.words()) > 300_000)


def test_a_message_beyond_the_limit_shows_its_newest_lines_while_it_grows(chat, session):
    session.begin("hello")
    session.say("start " + "x" * 100_000)
    chat.sees("Show more")
    for number in range(3):
        session.say(f"\nnews {number}")
        chat.sees(f"news {number}")
    session.end()
    chat.sees("Done")
    assert "news" not in chat.words()


def test_a_long_session_stays_small_and_any_place_of_it_is_reached(chat, session):
    for number in range(150):
        session.begin(f"prompt {number}.")
        session.tool(f"{number}", title=f"Tool {number}", status="completed")
        session.say(f"answer {number}.")
        session.end()
    chat.sees("answer 149.")
    assert "prompt 0." not in chat.words()
    page = chat.page
    nodes = "document.querySelectorAll('#view *').length"
    assert page.evaluate(nodes) < 2000
    # a jump to the middle: the steps there come while their places stay
    page.evaluate("""() => {
      const get = Map.prototype.get;
      window.heights = 0;
      Map.prototype.get = function (key) { window.heights += 1; return get.call(this, key); };
    }""")
    chat.held = True
    page.evaluate("((e) => { e.scrollTop = e.scrollHeight / 2 })(document.querySelector('.sw-scroll'))")
    chat.until(lambda: page.locator(".sw-absent").count() > 10 and not chat.sent.empty())
    assert "answer 149." not in chat.words()
    chat.held = False
    chat.until(lambda: page.locator(".sw-absent").count() == 0)
    assert page.evaluate("heights") < 10 * 150 * 5, "all heights are added up a few times, not once a row in view"
    places = """() => Object.fromEntries([...document.querySelectorAll('.sw-bubble')]
      .map((one) => [one.innerText, one.getBoundingClientRect().top]))"""
    seen = page.evaluate(places)
    words = next(name for name, top in seen.items() if 150 < top < 500)
    assert 50 < int(words.split()[-1].rstrip(".")) < 100, "it is the middle"
    # what is in view stays there while the session goes on
    session.begin("one more")
    session.say("the newest answer")
    chat.sees("2 new steps")
    chat.until(lambda: abs(page.evaluate(places).get(words, 9999) - seen[words]) < 3)
    assert page.evaluate(nodes) < 2000
    # to the beginning, to a step that Python names, and back to the end
    page.evaluate("document.querySelector('.sw-scroll').scrollTop = 0")
    chat.sees("answer 0.")
    chat.widget.seek("scripted/101/1")
    page.evaluate("(at) => model.set('at', at)", chat.widget.at)
    here = "[...document.querySelectorAll('[data-here]')].map((e) => [e.innerText, e.getBoundingClientRect().top])"
    [[title, top]] = chat.until(lambda: page.evaluate(here))
    assert "Tool 100" in title
    assert 0 < top < 640
    chat.until(lambda: page.locator(".sw-absent").count() == 0)
    [[_, top]] = page.evaluate(here)
    assert 0 < top < 640, "it stays in view when the rows around it have come"
    page.get_by_role("button", name="new steps").click()
    chat.sees("the newest answer")
    assert page.evaluate(nodes) < 2000


def test_a_text_of_a_long_session_is_found(chat, session, home):
    hits = {3: "A Needle of part 3", 70: "needle 70"}
    drafts = [opened()]
    for number in range(1, 121):
        said, output = f"answer {number}.", [text(f"line\n{hits.get(number, '')}\n" + "more\n" * 20)]
        session.begin(f"prompt {number}.")
        session.tool(f"t{number}", title=f"Tool {number}", kind="execute", status="completed", content=output)
        session.say(said)
        session.end()
        call = {"toolCallId": f"t{number}", "title": f"Tool {number}", "kind": "execute", "status": "completed"}
        drafts += [
            note("turn_started", 0, turn=number, prompt=[{"type": "text", "text": f"prompt {number}."}]),
            update("tool_call", 0, turn=number, content=output, **call),
            note("turn_ended", 0, turn=number, status="completed"),
        ]
    sw.store().append(session.id, [replace(draft, source="k", source_seq=n) for n, draft in enumerate(drafts)])
    session.store = sw.store()
    chat.sees("answer 120.")
    page = chat.page
    page.locator(".sw-scroll").focus()
    page.keyboard.press("Control+f")
    field = page.get_by_label("Find in this session")
    expect(field).to_be_focused()
    field.press_sequentially("needle", delay=5)
    chat.sees("2 of 2")
    here = page.locator("[data-here]")
    chat.until(lambda: here.count() and "needle 70" in here.inner_text())
    chat.until(lambda: page.evaluate("[...(CSS.highlights.get('sw-find') ?? [])].join()") == "needle")
    field.press("Enter")
    chat.sees("1 of 2")
    chat.until(lambda: here.count() and "A Needle of part 3" in here.inner_text())
    field.press("Shift+Enter")
    chat.until(lambda: here.count() and "needle 70" in here.inner_text())
    field.fill("nowhere")
    chat.sees("No hits")
    field.press("Escape")
    expect(field).to_have_count(0)
    expect(here).to_have_count(0)


def test_the_view_follows_the_end_unless_it_is_scrolled_up(chat, session):
    session.begin("hello")
    session.say("line\n\n" * 200)
    gap = "((e) => e.scrollHeight - e.scrollTop - e.clientHeight)(document.querySelector('.sw-scroll'))"
    chat.until(lambda: chat.words().count("line") >= 200 and chat.page.evaluate(gap) < 2)
    chat.page.evaluate("document.querySelector('.sw-scroll').scrollTop = 100")
    chat.sees("Jump to latest")
    session.tool("t", title="Later", status="completed")
    chat.sees("1 new step")
    assert chat.page.evaluate("document.querySelector('.sw-scroll').scrollTop") == 100
    chat.page.locator(".sw-pill").click()
    chat.until(lambda: chat.page.evaluate(gap) < 2)


def test_the_view_keeps_the_end_whatever_takes_its_room(chat, session):
    session.begin("hello")
    session.say("words that wrap sooner where there is less room\n\n" * 60)
    gap = "((e) => e.scrollHeight - e.scrollTop - e.clientHeight)(document.querySelector('.sw-scroll'))"
    height = "document.querySelector('.sw-scroll').scrollHeight"
    at_end = lambda: chat.page.evaluate(gap) < 2 and chat.page.locator(".sw-pill").count() == 0  # noqa: E731 - a probe
    chat.until(lambda: chat.words().count("words") >= 60 and at_end())
    before = chat.page.evaluate(height)
    chat.page.evaluate(  # the host's new layout moves the scroller before the view is notified
        "document.querySelector('#view').style.width = '240px'; document.querySelector('.sw-scroll').scrollTop -= 1"
    )
    chat.until(lambda: chat.page.evaluate(height) > before * 1.3 and at_end())
    session.tool("t", title="make", kind="execute", rawInput={"command": "make\n" * 20})
    session.ask(1, toolCallId="t")
    chat.sees("May the agent")
    chat.until(at_end)
    chat.page.evaluate("model.dead = true")
    chat.page.get_by_test_id("permission-reject_once").click()
    chat.sees("The kernel is gone")
    chat.until(at_end)


def test_only_the_growing_message_is_drawn_again(chat, session):
    session.begin("hello")
    session.say("An old message")
    session.tool("t", title="Tool", status="completed")
    session.say("new ")
    chat.sees("new")
    chat.page.evaluate(
        """() => {
          window.touched = [];
          const row = (node) => (node.closest ? node : node.parentElement).closest(".sw-message, .sw-tool");
          const note = (all) => all.forEach((one) => touched.push(row(one.target)?.textContent));
          const all = { subtree: true, childList: true, characterData: true };
          new MutationObserver(note).observe(document.querySelector(".sw-scroll"), all);
        }"""
    )
    for _ in range(20):
        session.say("word ")
        chat.pump()
    chat.until(lambda: chat.words().count("word") == 20)
    touched = chat.page.evaluate("touched.filter(Boolean)")
    assert touched
    assert not any("An old message" in words or "Tool" in words for words in touched)


def test_events_are_painted_soon(chat, session):
    session.begin("hello")
    session.say("start ")
    chat.sees("start")
    delays = []
    for number in range(20):
        started = time.monotonic()
        session.say(f"w{number} ")
        chat.until(lambda number=number: f"w{number}" in chat.words())
        delays.append(time.monotonic() - started)
    assert sorted(delays)[10] < 0.4, "half of them; the rest may wait for other work of this machine"


@pytest.mark.parametrize(
    ("body", "scheme", "dark"),
    [
        ("", "light", False),
        ("", "dark", True),
        ("data-jp-theme-light=true", "dark", False),
        ("data-jp-theme-light=false", "light", True),
        ("class=dark", "light", True),
    ],
)
def test_light_and_dark_follow_the_host(page, session, body, scheme, dark):
    page.emulate_media(color_scheme=scheme)
    bench = Bench(page, Chat(session), body=body)
    bench.sees("What should")
    colour = page.evaluate("getComputedStyle(document.querySelector('.sw')).backgroundColor")
    assert colour == ("rgb(22, 23, 26)" if dark else "rgb(255, 255, 255)")
    bench.widget.close()


def test_the_host_s_style_for_code_does_not_reach_ours(page, session):
    bench = Bench(page, Chat(session), body="class=jp-ThemedContainer")
    page.add_style_tag(content=".jp-ThemedContainer pre { font-size: 13px; line-height: 9px }")  # as JupyterLab has it
    session.begin("hello")
    session.say("```\ncode\n```")
    session.tool("t", title="ls", kind="execute", status="completed", content=[text("out")])
    bench.sees("out")
    sizes = "[...document.querySelectorAll('.sw pre')].map((pre) => getComputedStyle(pre).font.slice(0, 9))"
    assert page.evaluate(sizes) == ["12px / 18", "12px / 18"]
    bench.widget.close()


def test_a_live_widget_hides_its_static_summary(page, session):
    widget = Chat(session)
    bench = Bench(page, widget)
    page.evaluate(
        "(id) => document.body.insertAdjacentHTML('beforeend', `<p data-sw-for=${id}>summary</p>`)", widget.snapshot_id
    )
    bench.sees("What should")
    expect(page.locator("[data-sw-for]")).to_be_hidden()
    widget.close()


def test_a_screen_reader_finds_its_way(chat, session):
    session.begin("hello")
    session.tool("t", title="Tool", status="completed", content=[text("x")])
    session.ask(1, toolCallId="t")
    chat.sees("May the agent")
    for role in ("log", "status", "textbox"):
        assert chat.page.get_by_role(role).count() == 1, role
    unnamed = "[...document.querySelectorAll('#view button')].filter((b) => !b.innerText.trim() && !b.ariaLabel).length"
    assert chat.page.evaluate(unnamed) == 0
