"""The panel's display of the files' location, their durability, and slow operations."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from session_widgets.widgets import Chat
from tests.widgets.pages import Bench
from tests.widgets.scripted import Scripted

pytestmark = pytest.mark.needs("chromium")

NOON = "2026-11-21T12:00:00+00:00"
HOSTILE = "<img src=x onerror=\"document.title='owned'\">\u202e"


@pytest.fixture
def chat(page: Page, session: Scripted):
    bench = Bench(page, Chat(session))
    yield bench
    bench.widget.close()
    assert bench.errors == []


def turn(session: Scripted, **end) -> None:
    session.begin("hello")
    session.say("hi")
    session.end(**end)


def kept(chat: Bench, state: str):
    return chat.page.locator(f".sw-kept[data-state={state}]")


def said(chat: Bench, selector: str) -> str:
    return " ".join(chat.page.locator(selector).all_inner_texts())


def test_a_folder_is_quiet_and_says_more_when_asked(chat, session):
    turn(session, durable_at=NOON)
    chat.until(lambda: kept(chat, "disk").count() == 1)
    button = chat.page.get_by_role("button", name="On disk")
    assert button.locator("span").bounding_box()["width"] <= 1, "an icon says it to the eye, words to a screen reader"
    assert "On disk since" in button.get_attribute("title")
    button.focus()
    chat.page.keyboard.press("Enter")
    chat.sees(f"in {session.workspace}")
    assert said(chat, ".sw-home") == "folder"


def test_saved_lost_and_saved_later(chat, session):
    session.live("s3://lab/x", "sync")
    turn(session, durable_at=NOON)
    turn(session, durability_error="unreachable: no answer from 127.0.0.1")
    chat.sees("Not saved: the store does not answer")
    chat.sees("no answer from 127.0.0.1")  # the newest bad news is not folded away
    button = kept(chat, "lost")
    expect(button).to_have_attribute("aria-expanded", "true")
    button.focus()
    chat.page.keyboard.press("Space")
    chat.until(lambda: "no answer" not in chat.words())
    chat.page.keyboard.press("Enter")
    chat.sees("no answer from 127.0.0.1")
    turn(session, durable_at=NOON)
    chat.sees("Saved later, with turn 3")
    assert "Not saved" not in chat.words()
    assert kept(chat, "saved").count() == 2
    kept(chat, "saved").first.click()
    chat.sees("to s3://lab/x (s3 · sync)")


def test_what_a_mount_did_not_save_is_not_called_saved_later(chat, session):
    """A mount that died took what it had not written with it, whatever a later turn proves."""
    session.live("s3://lab/x", "fuse:s3fs")
    turn(session, durability_error="unreachable: no answer from 127.0.0.1")
    turn(session, durable_at=NOON)
    chat.until(lambda: kept(chat, "saved").count() == 1)
    assert "Not saved: the store does not answer" in chat.words()
    kept(chat, "saved").first.click()
    chat.sees("to s3://lab/x (s3 · s3fs)")


def test_bad_news_folds_once_another_turn_has_begun(chat, session):
    session.live("s3://lab/x", "sync")
    turn(session, durability_error="disk: no room on the moon")
    chat.sees("no room on the moon")
    session.begin("again")
    chat.until(lambda: "no room" not in chat.words())
    assert "Not saved: the disk is full" in chat.words()


def test_where_a_turn_was_saved_stays_true_when_the_session_moves(chat, session):
    session.live("s3://lab/x", "sync")
    turn(session, durable_at=NOON)
    session.live("s3://lab/x", "fuse:weed")
    chat.until(lambda: said(chat, ".sw-home") == "s3 · weed")
    chat.until(lambda: kept(chat, "saved").count() == 1)
    kept(chat, "saved").click()
    chat.sees("(s3 · sync)")


def test_a_turn_that_is_saved_says_so_and_without_motion_where_none_is_wanted(chat, session):
    session.live("s3://lab/x", "sync")
    session.begin("hello")
    session.say("hi")
    chat.sees("hi")
    assert chat.page.locator(".sw-kept, .sw-activity").count() == 0
    session.note("persist_started", attachment="sync")
    chat.sees("Saving to s3 · sync…")
    assert said(chat, ".sw-status-words") == "Saving"
    name = "getComputedStyle(document.querySelector('.sw-saving .sw-icon')).animationName"
    assert chat.page.evaluate(name) == "sw-fade"
    chat.page.emulate_media(reduced_motion="reduce")
    assert chat.page.evaluate(name) == "none"
    session.work("Saving 12 files")
    chat.sees("Saving 12 files…")
    session.work(None)
    session.end(durable_at=NOON)
    chat.until(lambda: kept(chat, "saved").count() == 1)
    assert chat.page.locator(".sw-activity").count() == 0


def test_what_takes_time_is_said_in_a_turn_and_between_turns(chat, session):
    session.begin("hello")
    session.work("Building the sandbox image, step 3 of 12")
    chat.sees("step 3 of 12…")
    assert said(chat, ".sw-status-words") == "Starting"
    assert chat.page.locator(".sw-activity").get_attribute("aria-live") == "off", "a count is not read out at each step"
    session.work(None)
    session.say("hi")
    session.end()
    chat.sees("Ready")
    assert "step 3" not in chat.words()
    session.work("Restoring 120 of 2,000 files")
    chat.until(lambda: said(chat, ".sw-status-words") == "Restoring 120 of 2,000 files")


def test_a_page_that_opens_late_sees_what_takes_time(page, session):
    session.begin("hello")
    session.work("Restoring 120 of 2,000 files")
    bench = Bench(page, Chat(session))
    bench.sees("Restoring 120 of 2,000 files…")
    bench.widget.close()


def test_how_the_memory_came_back_is_said_once(chat, session):
    session.begin("hello")
    session.note("memory_restored", tier="fresh")
    session.end()
    for tier in ("warm", "replay", "fresh"):
        session.begin("hello")
        session.note("memory_restored", tier=tier)
        session.end()
    chat.sees("has no memory")
    assert chat.page.locator(".sw-memory").all_inner_texts() == [
        "History handed over",
        "The agent has no memory of the earlier turns",
    ]


def test_the_header_says_sandbox_and_home_in_full(chat, session):
    chat.until(lambda: chat.page.locator(".sw-sandbox").count())
    assert said(chat, ".sw-sandbox") == "local, not isolated"
    session.note("session_sandbox", name="local", confine=True)
    chat.until(lambda: said(chat, ".sw-sandbox") == "local, confined")
    session.note("session_changed", sandbox="docker")
    session.live("s3://lab/x", "fuse:s3fs")
    chat.until(lambda: said(chat, ".sw-sandbox") == "docker")
    assert chat.page.get_by_role("img", name="Workspace: s3://lab/x").inner_text() == "s3 · s3fs"


def test_hostile_reasons_and_places_are_text(chat, session):
    session.note("session_changed", sandbox=HOSTILE)
    session.live(f"s3://{HOSTILE}", HOSTILE)
    turn(session, durability_error=f"unreachable: {HOSTILE}")
    turn(session, durability_error=HOSTILE)
    chat.until(lambda: kept(chat, "lost").count() == 2)
    kept(chat, "lost").first.click()
    chat.until(lambda: chat.words().count("onerror") >= 3)
    session.begin("hello")
    session.note("persist_started", attachment=HOSTILE)
    session.work(HOSTILE)
    chat.until(lambda: "onerror" in said(chat, ".sw-saving"))
    session.end(durable_at=NOON)
    session.work(HOSTILE)
    chat.until(lambda: "onerror" in said(chat, ".sw-status-words"))
    assert "\u202e" not in chat.page.content()
    assert chat.page.locator("#view img").count() == 0
    assert chat.page.title() == ""
