"""Pickers of mode, model and effort, and the card of a harness that cannot start, in a real browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from session_widgets._sessions.launching import MissingRequirements
from session_widgets.errors import BadValue, HarnessNotReady
from session_widgets.widgets import Chat
from tests.widgets.pages import Bench
from tests.widgets.scripted import Scripted

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture
def chat(page: Page, session: Scripted):
    bench = Bench(page, Chat(session))
    yield bench
    bench.widget.close()
    assert bench.errors == []


def picker(chat: Bench, name: str):
    return chat.page.get_by_test_id(f"pick-{name}")


def shown(chat: Bench) -> list[str]:
    return chat.page.locator(".sw-picks .sw-pick-words").all_inner_texts()


def test_the_badge_tells_the_harness_and_its_version(chat):
    chat.sees("What should")
    badge = chat.page.locator(".sw-agent")
    assert badge.inner_text() == "Demo 1.2.3"
    assert badge.get_attribute("aria-label") == "Harness: Demo 1.2.3"


def test_the_pickers_wait_for_the_agent_and_say_why(chat, session):
    chat.sees("What should")
    assert shown(chat) == ["Mode", "Model"]
    expect(picker(chat, "mode")).to_be_disabled()
    assert "after the first prompt" in picker(chat, "mode").get_attribute("aria-description")
    assert "after the first prompt" in chat.page.locator(".sw-picks .sw-pick").first.get_attribute("title")
    session.offer(mode=["ask", "plan"], model=["small", "large"], effort=["low", "high"])
    chat.until(lambda: shown(chat) == ["Ask", "Small", "Low"])
    expect(picker(chat, "mode")).to_be_enabled()


def test_a_choice_goes_to_the_agent_and_what_the_agent_changes_comes_back(chat, session):
    session.offer(mode=["ask", "plan"], effort=["low", "high"])
    chat.until(lambda: shown(chat) == ["Ask", "Low"])
    picker(chat, "effort").select_option("high")
    chat.until(lambda: session.chosen == [("effort", "high")])
    chat.until(lambda: shown(chat) == ["Ask", "High"])
    session.update("current_mode_update", currentModeId="plan")
    chat.until(lambda: shown(chat) == ["Plan", "High"])
    expect(picker(chat, "mode")).to_have_value("plan")


def test_the_keyboard_alone_is_enough(chat, session):
    session.offer(mode=["ask", "plan", "full"])
    chat.until(lambda: shown(chat) == ["Ask"])
    chat.page.get_by_test_id("composer").fill("x")
    for _ in range(3):
        chat.page.keyboard.press("Tab")
        if chat.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Mode":
            break
    assert chat.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Mode"
    ring = "getComputedStyle(document.querySelector('.sw-picks .sw-pick')).outlineStyle"
    assert chat.page.evaluate(ring) == "solid", "who comes by the keyboard sees where they are"
    chat.page.keyboard.press("f")
    chat.page.keyboard.press("Enter")
    chat.until(lambda: session.chosen == [("mode", "full")])
    chat.until(lambda: shown(chat) == ["Full"])


def test_a_refused_choice_is_taken_back_and_the_reason_shown(chat, session):
    session.offer(model=["small", "large"])
    chat.until(lambda: shown(chat) == ["Small"])

    def refuse(value):
        raise BadValue(f"{value} is for paying guests")

    session.set_model = refuse
    picker(chat, "model").select_option("large")
    chat.sees("large is for paying guests")
    chat.until(lambda: shown(chat) == ["Small"])
    expect(picker(chat, "model")).to_have_value("small")


def test_names_of_choices_are_text_and_nothing_else(chat, session):
    bad = "<img src=x onerror=alert(1)>\u202e" + "n" * 200
    session.offer(mode=[bad, 'b"><script>alert(1)</script>'])
    chat.until(lambda: shown(chat)[0].startswith("<Img Src=X Onerror=Alert(1)>⟨U+202E⟩"))
    assert chat.page.locator(".sw img, .sw script").count() == 0
    box, bar = chat.page.locator(".sw-picks .sw-pick").bounding_box(), chat.page.locator(".sw-bar").bounding_box()
    assert box["width"] <= 190
    assert bar["height"] < 40
    picker(chat, "mode").select_option(index=1)
    chat.until(lambda: session.chosen == [("mode", 'b"><script>alert(1)</script>')])


def test_a_harness_is_installed_in_place_and_the_prompt_can_be_sent_again(chat, session):
    session.control.missing = MissingRequirements(install=True)
    session.begin("write a parser")
    session.end("failed", error="Demo 1.2.3 is not installed.")
    card = chat.page.locator(".sw-missing")
    chat.sees("Demo is not installed")
    chat.page.get_by_test_id("install").click()
    expect(chat.page.get_by_test_id("install")).to_be_disabled()
    session.installs.put("installing Demo 1.2.3: 40 MB")
    chat.sees("installing Demo 1.2.3: 40 MB")
    assert card.get_by_role("status").inner_text().strip() == "installing Demo 1.2.3: 40 MB…"
    session.installs.put("")
    chat.until(lambda: card.count() == 0)
    expect(chat.page.get_by_test_id("composer")).to_have_value("write a parser")
    chat.page.get_by_test_id("composer").press("Enter")
    chat.until(lambda: session.prompts == ["write a parser"])


def test_an_installation_that_fails_says_so_and_can_be_tried_again(chat, session):
    session.control.missing = MissingRequirements(install=True)
    session.work(None)
    chat.sees("Demo is not installed")
    chat.page.get_by_test_id("install").click()
    session.installs.put(HarnessNotReady("npm could not\n<b>reach</b> the registry"))
    chat.sees("<b>reach</b> the registry")
    assert chat.page.locator(".sw-missing [role=alert]").count() == 1
    chat.page.get_by_test_id("install").click()
    session.installs.put("")
    chat.until(lambda: chat.page.locator(".sw-missing").count() == 0)


def test_a_missing_key_is_named_and_never_asked_for_here(chat, session):
    session.control.missing = MissingRequirements(keys=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"))
    session.work(None)
    card = chat.page.locator(".sw-missing")
    chat.sees("Demo needs a key: ANTHROPIC_API_KEY")
    assert 'os.environ["ANTHROPIC_API_KEY"] = getpass' in card.locator("pre").inner_text()
    assert "ANTHROPIC_AUTH_TOKEN can be used instead" in card.inner_text()
    assert card.locator("input, textarea, [contenteditable]").count() == 0
    session.control.missing = MissingRequirements()
    session.begin("again")
    chat.until(lambda: card.count() == 0)


def test_the_policy_is_seen_and_chosen_in_the_panel(chat, session):
    chat.sees("Asks you")
    expect(picker(chat, "permissions")).to_have_value("ask")
    picker(chat, "permissions").select_option("allow_edits")
    chat.sees("Allows edits")  # shown at once, as busy
    chat.until(lambda: session.permissions == "allow_edits")
    session.set_permissions("allow_all")
    chat.sees("Allows everything")

    def only_python(request):
        return None

    session.set_permissions(only_python)
    chat.sees("Decided by only_python()")
    expect(picker(chat, "permissions")).to_be_disabled()


def test_what_is_no_policy_is_refused(chat, session):
    chat.sees("Asks you")
    with pytest.raises(BadValue, match="must be one of"):
        chat.widget._operations()["choose"]({"name": "permissions", "value": "everything"}, ())
    assert session.permissions == "ask"
