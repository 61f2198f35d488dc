from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from session_widgets.widgets import Chat
from tests.support import needs
from tests.widgets.pages import Bench
from tests.widgets.scripted import Scripted

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page


@pytest.fixture
def session(tmp_path: Path) -> Scripted:
    return Scripted(tmp_path)


# Playwright keeps a loop running in this thread: it must be gone before another folder's async tests.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=needs.chromium(), headless=True, args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1100, "height": 800}, accept_downloads=True)
    context.set_default_timeout(8000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page that may ask no host for anything; asking fails the test."""
    asked: list[str] = []
    page = context.new_page()
    page.route("**/*", lambda route: (asked.append(route.request.url), route.abort()))
    yield page
    page.close()
    assert asked == []


@pytest.fixture
def chat(page: Page, session: Scripted):
    bench = Bench(page, Chat(session))
    yield bench
    bench.widget.close()
    assert bench.errors == []
