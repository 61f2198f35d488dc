"""The time that a sandbox has left: in the header, counted down by the page itself."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Page, expect

from session_widgets.widgets import Chat
from tests.widgets.pages import Bench
from tests.widgets.scripted import Scripted

pytestmark = pytest.mark.needs("chromium")


def test_the_header_says_how_long_a_sandbox_stays_and_warns_before_its_end(page: Page, session: Scripted):
    bench = Bench(page, Chat(session))
    left, banner = page.locator(".sw-deadline"), page.locator(".sw-banner")
    bench.sees("scripted")
    expect(left).to_have_count(0)

    def ends_in(seconds: float, words: str) -> None:
        session.deadline = time.time() + seconds
        bench.widget._look()  # as a ping of the page does
        bench.until(lambda: left.count() and words in left.inner_text(), what=words)

    ends_in(3 * 3600 + 60, "3 h left")
    assert (left.get_attribute("data-near"), banner.count()) == ("false", 0)
    assert re.search(r"parks or ends at .+ at the latest", left.get_attribute("aria-label") or "")
    ends_in(299, "4:5")
    assert left.get_attribute("data-near") == "true"
    expect(banner).to_contain_text("A turn that still runs then fails")
    assert banner.get_attribute("role") == "status"
    said, counted = banner.inner_text(), left.inner_text()
    bench.held = True  # the kernel sends nothing more
    expect(left).not_to_have_text(counted, timeout=4000)
    assert banner.inner_text() == said, "a reader hears it once"
    bench.held = False
    ends_in(-1, "time is over")
    expect(banner).to_contain_text("The next prompt starts one again")
    session.deadline = None
    session.work("Parking the sandbox")
    bench.until(lambda: left.count() == 0, what="no deadline")
    expect(banner).to_have_count(0)
    bench.widget.close()
    assert bench.errors == []
