"""Questions of the agent, its commands and its title, in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from session_widgets._sessions.cell import CellQuestion
from session_widgets.widgets import Chat
from tests.widgets.pages import Bench
from tests.widgets.scripted import Scripted

pytestmark = pytest.mark.needs("chromium")

FORM = {
    "name": {"type": "string", "title": "Your name", "description": "As it is printed"},
    "colour": {"type": "string", "enum": ["red", "blue"]},
    "size": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
    "tags": {"type": "array", "items": {"enum": ["new", "old"]}},
    "loud": {"type": "boolean"},
}


@pytest.fixture
def chat(page: Page, session: Scripted):
    bench = Bench(page, Chat(session))
    yield bench
    bench.widget.close()
    assert bench.errors == []


def card(chat: Bench):
    return chat.page.get_by_role("group", name="Question of the agent")


def test_a_form_is_filled_in_by_the_keyboard_alone(chat, session):
    session.begin("hello")
    session.question(1, "Who are you?", required=["name", "colour"], **FORM)
    chat.sees("Who are you?")
    assert chat.page.inner_text(".sw-status-words") == "Waiting for your answer"
    assert chat.page.evaluate("document.activeElement.tagName") == "BODY", "nothing is focused for a stray Enter"
    expect(card(chat).get_by_test_id("question-accept")).to_be_enabled()
    card(chat).get_by_label("Your name").focus()
    keys = chat.page.keyboard
    keys.type("Ada")
    for key in ("Tab", "ArrowDown", "ArrowDown", "Tab", "ArrowUp", "Tab", "Space", "Tab", "Tab", "Space", "Enter"):
        keys.press(key)
    chat.until(lambda: session.replies)
    action, content = session.replies[0]
    assert (action, content) == (
        "accept",
        {"name": "Ada", "colour": content["colour"], "size": 4, "tags": ["new"], "loud": True},
    )
    assert content["colour"] in {"red", "blue"}
    chat.until(lambda: card(chat).count() == 0)
    assert chat.page.locator(".sw-asked-value").all_inner_texts()[0] == "name: Ada"


def test_what_is_needed_keeps_an_answer_back(chat, session):
    session.begin("hello")
    session.question(1, "Who?", required=["name"], name={"type": "string", "minLength": 3})
    chat.sees("Who?")
    card(chat).get_by_test_id("question-accept").click()
    expect(card(chat).get_by_label("name")).to_be_focused()
    assert session.replies == []
    card(chat).get_by_label("name").fill("Ada")
    chat.page.evaluate("document.querySelector('.sw-question').noValidate = true")
    card(chat).get_by_label("name").evaluate("(field) => { field.value = 'x' }")
    card(chat).get_by_test_id("question-accept").click()
    chat.sees("at least 3 characters")
    expect(card(chat).get_by_label("name")).to_have_value("x")
    card(chat).get_by_label("name").fill("Ada Lovelace")
    card(chat).get_by_test_id("question-accept").click()
    chat.until(lambda: session.replies == [("accept", {"name": "Ada Lovelace"})])


@pytest.mark.parametrize(("action", "said"), [("decline", "Declined"), ("cancel", "Not answered")])
def test_a_question_is_declined_or_left_open(chat, session, action, said):
    session.begin("hello")
    session.question(1, "Who?", name={"type": "string"})
    chat.sees("Who?")
    card(chat).get_by_test_id(f"question-{action}").click()
    chat.until(lambda: session.replies == [(action, None)])
    chat.sees(said)
    assert card(chat).count() == 0


def test_a_secret_is_not_seen_and_an_address_is_shown_in_full(chat, session):
    session.begin("hello")
    session.question(1, "Log in", api_key={"type": "string"})
    chat.sees("no transcript contains it")
    assert card(chat).locator("input").get_attribute("type") == "password"
    card(chat).get_by_test_id("question-cancel").click()
    chat.until(lambda: card(chat).count() == 0)
    session.question(2, "Look", url="https://example.org/login?x=<b>1</b>")
    chat.sees("https://example.org/login?x=<b>1</b>")
    link = card(chat).get_by_role("link")
    assert "noopener" in (link.get_attribute("rel") or "")
    card(chat).get_by_test_id("question-accept").click()
    chat.until(lambda: session.replies[-1] == ("accept", None))
    session.question(3, "Look", url="javascript:document.title='owned'")
    chat.sees("javascript:document.title")
    assert card(chat).get_by_role("link").count() == 0


def test_hostile_words_of_a_question_are_text(chat, session):
    hostile = "<img src=x onerror=\"document.title='owned'\">"
    session.begin("hello")
    session.question(
        1, hostile, **{hostile: {"type": "string", "title": hostile, "description": hostile, "enum": [hostile]}}
    )
    chat.sees("onerror")
    assert chat.page.locator("#view img").count() == 0
    card(chat).get_by_role("radio").check()
    card(chat).get_by_test_id("question-accept").click()
    chat.until(lambda: session.replies == [("accept", {hostile: hostile})])
    chat.sees(f"{hostile}: {hostile}"[:60])
    assert chat.page.title() == ""


def test_an_answer_is_typed_into_the_cell_that_asks(chat, session):
    session.begin("hello")
    session.question(1, "Who?", name={"type": "string"})
    session.control.page.show(CellQuestion("/1", "scripted, question 1.", {"accept": "accept (in the panel)"}))
    chat.sees("Who?")
    chat.page.evaluate(
        """() => {
          const field = document.createElement("pre");
          field.innerHTML = "scripted, question 1.<input class='jp-Stdin-input'>";
          document.body.append(field);
          const input = field.querySelector("input");
          window.typed = [];
          input.addEventListener("keydown", ({ key }) => typed.push([key, input.value]));
        }"""
    )
    card(chat).get_by_label("name").fill("Ada")
    card(chat).get_by_test_id("question-accept").click()
    chat.until(lambda: chat.page.evaluate("typed") == [["Enter", 'accept {"name":"Ada"} (in the panel)']])
    assert session.replies == []


def test_commands_of_the_agent_are_listed_behind_a_slash(chat, session):
    commands = [
        {"name": "plan", "description": "Make a plan", "input": {"hint": "of what"}},
        {"name": "play", "description": "<b>bold</b>"},
        {"name": "stop", "description": "Stop it"},
    ]
    session.update("available_commands_update", availableCommands=commands)
    composer = chat.page.get_by_test_id("composer")
    items = chat.page.get_by_role("option").and_(chat.page.locator(".sw-command-item"))
    chat.until(lambda: chat.widget._stream._shared.options.commands)
    composer.fill("/")
    chat.until(lambda: items.count() == 3)
    composer.press_sequentially("pl")
    chat.until(lambda: items.count() == 2)
    assert "<b>bold</b>" in items.nth(1).inner_text()
    composer.press("ArrowDown")
    expect(items.nth(1)).to_have_attribute("aria-selected", "true")
    composer.press("Enter")
    expect(composer).to_have_value("/play ")
    assert session.prompts == []
    composer.press_sequentially("now")
    composer.press("Enter")
    chat.until(lambda: session.prompts == ["/play now"])
    session.end()
    chat.sees("Ready")
    composer.fill("/st")
    chat.until(lambda: items.count() == 1)
    composer.press("Escape")
    chat.until(lambda: items.count() == 0)


def test_a_title_of_the_agent_is_drawn(page, session):
    session.title = None
    session.events.clear()
    session.note("session_opened", harness="demo", sandbox="local", workspace="/w", title=None)
    bench = Bench(page, Chat(session))
    session.begin("hello")
    session.update("session_info_update", title="Count the <i>words</i>")
    bench.sees("Count the <i>words</i>")
    bench.widget.close()
