"""Attacks of an agent on its page: its text may be ugly, but hides, answers and stops nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import CDPSession, Locator, Page, expect

from session_widgets.widgets import Chat
from tests.widgets.pages import Bench
from tests.widgets.scripted import Scripted, diff, text

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture
def chat(page: Page, session: Scripted):
    bench = Bench(page, Chat(session))
    yield bench
    bench.widget.close()
    assert bench.errors == []


def ask(chat: Bench, session: Scripted, number: int = 1, **call) -> Locator:
    """Begin a turn that asks for one tool call, and return the card."""
    if not session.turn:
        session.begin("hello")
    session.ask(number, **({"toolCallId": f"t{number}"} | call))
    card = chat.page.locator(".sw-ask")
    chat.until(card.count, what="the card")
    return card


def test_the_card_draws_all_of_the_input(chat, session):
    beside = {"args": ["--eval=boom"], "env": {"LD_PRELOAD": "evil.so"}, "cwd": "/root", "stdin": "rm -r ~"}
    raw = {"command": "make"} | beside
    locations = [{"path": "/etc/passwd", "line": 7}]
    card = ask(chat, session, kind="execute", title="Read a file", rawInput=raw, locations=locations)
    for piece in ("make", "--eval=boom", "LD_PRELOAD", "evil.so", "/root", "rm -r ~", "/etc/passwd:7"):
        expect(card).to_contain_text(piece)


def test_the_card_draws_what_stands_beside_a_diff(chat, session):
    raw = {"file_path": "a.py", "old_string": "1", "new_string": "2", "then_run": "rm -r ~"}
    card = ask(chat, session, kind="edit", title="Edit", rawInput=raw, content=[diff("a.py", "1", "2")])
    expect(card.locator(".sw-row-add .sw-line")).to_have_text("2")
    expect(card).to_contain_text('"then_run": "rm -r ~"')
    expect(card).not_to_contain_text("old_string")


def test_the_card_says_where_a_command_is_cut_and_shows_the_rest(chat, session):
    card = ask(chat, session, kind="execute", rawInput={"command": "true " + "x" * 70_000 + "; rm -r ~"})
    expect(card).to_contain_text("characters left")
    card.get_by_role("button", name="Show more").click()
    chat.until(lambda: "; rm -r ~" in card.inner_text())
    expect(card).not_to_contain_text("characters left")


@pytest.mark.parametrize("kind", ["read", "think", "constructor"])
def test_the_card_asks_for_what_the_call_does_and_not_for_its_kind(chat, session, kind):
    card = ask(chat, session, kind=kind, title="Read a.py", rawInput={"command": "rm -r ~"})
    expect(card).to_contain_text("May the agent run a command?")


def allow(chat: Bench) -> tuple[float, float]:
    """Where the button Allow of the open card is."""
    box = chat.page.get_by_test_id("permission-allow_once").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


HELD = """() => {
  const real = window.setTimeout, held = [];
  window.setTimeout = (f, ms, ...rest) => (ms === 500 ? held.push(f) : real(f, ms, ...rest));
  window.pass = () => held.splice(0).forEach((f) => f());
}"""
"""The time in which a second click belongs to the first (500 ms) ends with `pass()`."""


def test_a_double_click_answers_one_request(chat, session):
    ask(chat, session, 1, title="Say hello", kind="other")
    session.ask(2, toolCallId="t2", title="Say hello", kind="other")
    button = chat.page.get_by_test_id("permission-allow_once")
    expect(button).to_be_enabled()
    chat.page.evaluate(HELD)
    place = allow(chat)
    chat.page.mouse.click(*place)
    chat.until(lambda: session.answers == [("/1", "once")])
    chat.until(lambda: chat.page.locator(".sw-ask .sw-spinner").count() == 0, what="the second card")
    assert allow(chat) == place, "the second click of a person hits the same button"
    chat.page.mouse.click(*place, click_count=2)
    chat.page.wait_for_timeout(50)
    chat.pump()
    assert session.answers == [("/1", "once")]
    chat.page.evaluate("pass()")
    expect(button).to_be_enabled()
    button.click()
    chat.until(lambda: session.answers == [("/1", "once"), ("/2", "once")])


def test_a_double_click_answers_no_question_that_takes_the_place_of_a_request(chat, session):
    ask(chat, session, 1, title="Say hello", kind="other")
    chat.page.get_by_test_id("permission-allow_once").click()
    chat.until(lambda: session.answers == [("/1", "once")])
    chat.page.evaluate(HELD)
    session.question(2, "Run it?", run={"type": "string", "default": "rm -r ~"})
    accept = chat.page.get_by_test_id("question-accept")
    chat.until(accept.count, what="the question")
    accept.click(force=True)
    chat.page.wait_for_timeout(50)
    chat.pump()
    assert session.replies == []
    chat.page.evaluate("pass()")
    accept.click()
    chat.until(lambda: session.replies == [("accept", {"run": "rm -r ~"})])


def test_a_click_counts_for_the_request_that_was_pressed(chat, session):
    ask(chat, session, 1, title="Say hello", kind="other")
    session.ask(2, toolCallId="t2", title="Say hello", kind="other")
    button = chat.page.get_by_test_id("permission-allow_once")
    expect(button).to_be_enabled()
    chat.page.mouse.move(*allow(chat))
    chat.page.mouse.down()
    session.pending[0].choose("no")  # the first is answered in the terminal meanwhile
    chat.until(lambda: chat.page.locator(".sw-ask .sw-dim", has_text="1 of 2").count() == 0)
    expect(button).to_be_enabled()
    chat.page.mouse.up()
    chat.page.wait_for_timeout(50)
    chat.pump()
    assert session.answers == [("/1", "no")]


def test_a_request_that_changes_has_to_be_seen_again(chat, session):
    session.begin("hello")
    session.tool("t1", title="List", kind="execute", rawInput={"command": "ls"})
    ask(chat, session, 1)
    button = chat.page.get_by_test_id("permission-allow_once")
    expect(button).to_be_enabled()
    chat.page.evaluate(HELD)
    session.tool("t1", first=False, rawInput={"command": "rm -r ~"})
    chat.until(lambda: "rm -r ~" in chat.page.locator(".sw-ask").inner_text())
    assert button.is_disabled()
    chat.page.evaluate("pass()")
    expect(button).to_be_enabled()


NAMES = ["constructor", "__proto__", "toString", "hasOwnProperty", "valueOf"]


def test_names_of_javascript_are_names_like_any_other(chat, session):
    for name in NAMES:
        tools = [{"title": "t", "status": name, "result": name}]
        session.hand_over({"turns": [{"prompt": "p", "answer": "a", "ended": name, "tools": tools}]})
        session.plan(("first", name))
        session.tool(f"a {name}", title=f"a.{name}", kind=name, status=name, locations=[{"path": f"a.{name}"}])
        session.tool(f"b {name}", title="b", kind="other", rawInput={name: name}, status="completed")
        session.say(f"```{name}\nx\n```")
        session.end(name, stop_reason=name, files=[{"path": f"a.{name}", "change": name, "size": 1}])
    session.begin("last")
    session.ask(1, toolCallId="c", title="delete", kind=NAMES[0])
    chat.sees("May the agent use a tool?")
    expect(chat.page.locator(".sw-plan")).to_have_count(len(NAMES))
    chat.page.locator(".sw-memory-head").first.click()
    chat.until(lambda: chat.page.locator(".sw-told-call").count() == 1)
    assert chat.page.locator(".sw-error").count() == 0


def test_a_row_that_cannot_be_drawn_stops_no_other(chat, session):
    session.begin("hello")
    session.say("before")
    session.tool("t", title="the odd one", kind="other", status="completed")
    chat.sees("the odd one")
    spoil = "() => { const get = Map.prototype.get; Map.prototype.get = function (key) {"
    spoil += " if (key === 'in_progress' && get.call(this, key)?.[0] === 'doing') throw new Error('boom');"
    chat.page.evaluate(spoil + " return get.call(this, key) } }")
    session.plan(("a plan", "in_progress"))
    session.say("after")
    session.ask(1, toolCallId="u", title="go on?", kind="other")
    chat.sees("This cannot be drawn: Error: boom")
    chat.sees("after")
    chat.sees("go on?")


def nested(levels: int) -> list:
    value: list = ["the end"]
    for _ in range(levels):
        value = [value]
    return value


def test_input_nested_a_thousand_deep_reaches_every_page(chat, session):
    card = ask(chat, session, kind="other", title="deep", rawInput={"deep": nested(1000)})
    expect(card).to_contain_text("the end")
    session.say("and on")
    chat.sees("and on")
    chat.page.evaluate("cleanups[0]()")  # as a reload does
    chat.page.evaluate("show('#view')")
    chat.until(card.count, what="the card")
    chat.page.get_by_test_id("permission-reject_once").click()
    chat.until(lambda: session.answers == [("/1", "no")])


SIZE = 64_000
QUOTES, POINTS, BOTH = "> " * 1850, "1. " * 1240, "> - " * 930
SLOW_PROSE = {
    "quotes": QUOTES,
    "points": POINTS,
    "quotes and points": BOTH,
    "dashes": " -" * (SIZE // 2) + "x\nx",
    "fences": "```\n" * (SIZE // 4),
    "fences of all lengths": "".join("`" * n + " " for n in range(1, 350)),
    "link": "http://a.b/" + "!" * SIZE,
    "mail": "a." * (SIZE // 2) + "@",
    "emphasis": "_a*" * (SIZE // 3),
    "table": "a|b\n-|-\n" + "a\n" * (SIZE // 2),
    "list": "- a\n" * (SIZE // 4),
    "headings": "# a\n" * (SIZE // 4),
    "accents": "a" + "\u0301" * (SIZE // 2),
    "accents in groups": "a" + ("\u0301" * 30 + "\u200d") * (SIZE // 62),
}
SLOW_OUTPUT = {
    "carriage return": "\r" + "x" * SIZE,
    "carriage returns": "\rx" * (SIZE // 2),
    "fences": "```\n" + "```  \n" * (SIZE // 6) + "x",
    "accents": "a" + "\u0301" * (SIZE // 2),
    "colours": "\x1b[1m\x1b]x" * (SIZE // 7),
}
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@contextmanager
def drawn_within(chat: Bench, seconds: float, last: str) -> Iterator[None]:
    """The main thread of the page draws what happens here, up to the row `last`, in so many seconds of its own time."""
    devtools = chat.page.context.new_cdp_session(chat.page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    began = _busy(devtools)
    yield
    chat.until(chat.page.get_by_text(last, exact=True).count, seconds=30, what=last)
    chat.page.evaluate(DRAWN)
    assert _busy(devtools) - began < seconds, last
    devtools.detach()


def _busy(devtools: CDPSession) -> float:
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")


def test_no_message_freezes_the_page(chat, session):
    chat.sees("What should the agent do?")
    for name, source in SLOW_PROSE.items():
        with drawn_within(chat, 3, last=f"after {name}"):
            session.begin(name)
            session.say(source)
            session.tool(name, title=f"after {name}", kind="other")
            session.end()


def test_no_output_of_a_tool_freezes_the_page(chat, session):
    chat.sees("What should the agent do?")
    session.begin("hello")
    for name, output in SLOW_OUTPUT.items():
        with drawn_within(chat, 3, last=name):
            session.tool(name, title=name, kind="execute", status="failed", content=[text(output)])
