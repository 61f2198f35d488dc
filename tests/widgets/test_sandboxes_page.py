"""The table of sandboxes: what it shows, and that a loss is asked about first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from session_widgets._sandboxes.clouds.limits import SHOWN
from session_widgets._sessions import sandbox_info
from session_widgets._sessions.sandbox_info import SandboxList, SandboxRow
from session_widgets.errors import SandboxBusy
from session_widgets.widgets import Chat
from session_widgets.widgets.sandboxes import SandboxTable, total
from tests.support import needs
from tests.widgets.axe import faults
from tests.widgets.pages import Bench
from tests.widgets.scripted import Scripted

pytestmark = pytest.mark.needs("chromium", "axe")

STRANGER = """() => {
  model.on("msg:custom", (message) => { if (message.kind === "reply") window.said = message.error?.message; });
  model.send({ kind: "rpc", view: "v", id: 1, op: "destroy", args: { ref: "docker:other" } });
}"""
HOSTILE = "\u202e<img src=x onerror=alert(1)>"


def row(ref: str, *, running: bool = True, wanted: bool = True, **facts: Any) -> SandboxRow:
    now = datetime.now(UTC)
    session = facts.pop("session", ref.partition(":")[2])
    created, deadline = now - timedelta(hours=3), facts.pop("deadline", now + timedelta(minutes=22, seconds=30))
    return SandboxRow(ref, session, "ada@lab", running, created, deadline if running else None, wanted, **facts)


class Account:
    """What the providers have, and what was done to it."""

    def __init__(self) -> None:
        self.rows = {
            "e2b:one": row("e2b:one", seconds=5400.0, cost=Decimal("1.5"), currency="USD"),
            "modal:two": row("modal:two", working=True, seconds=60.0, cost=Decimal("0.25"), currency="USD"),
            "daytona:three": row("daytona:three", running=False, wanted=False, session=HOSTILE),
        }
        self.problems: dict[str, str] = {}
        self.done: list[tuple[str, str]] = []
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.fails: Exception | None = None

    def found(self) -> SandboxList:
        return SandboxList(list(self.rows.values()), self.problems)

    async def park(self, ref: str) -> None:
        self._do("park", ref)
        self.rows[ref] = row(ref, running=False)

    async def destroy(self, ref: str) -> bool:
        self._do("destroy", ref)
        return self.rows.pop(ref, None) is not None

    def _do(self, what: str, ref: str) -> None:
        assert self.goes_on.wait(20)
        if self.fails:
            raise self.fails
        self.done.append((what, ref))


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    account = Account()
    monkeypatch.setattr(sandbox_info, "sandboxes", account.found)
    monkeypatch.setattr(sandbox_info, "_park", account.park)
    monkeypatch.setattr(sandbox_info, "_destroy", account.destroy)
    return account


@pytest.fixture
def bench(page: Page, account: Account) -> Iterator[Bench]:
    bench = Bench(page, SandboxTable(account.found()))
    page.evaluate(needs.AXE.read_text())
    bench.sees("e2b")
    yield bench
    bench.widget.close()
    assert bench.errors == []


def test_a_loss_is_asked_about_first_and_the_rest_is_done_at_once(bench: Bench, account: Account) -> None:
    page, rows = bench.page, bench.page.locator("tr[data-ref]")

    def button(name: str):
        return page.get_by_role("button", name=name, exact=True)

    words = bench.words()
    for said in ("3 sandboxes", "2 running", "at least 1.75 USD", "22 min left", "a turn runs", "90 min", "1.50 USD"):
        assert said in words
    assert "no session refers to it" in rows.nth(2).inner_text()
    assert "⟨U+202E⟩<img" in words
    assert button("Park daytona:three").is_disabled()
    assert faults(bench) == {}

    account.goes_on.clear()
    button("Park e2b:one").focus()
    page.keyboard.press("Enter")
    bench.sees("Parking…")
    assert account.done == []
    account.goes_on.set()
    bench.until(lambda: button("Park e2b:one").count() and button("Park e2b:one").is_disabled(), what="parked")
    assert page.get_by_role("status").first.inner_text() == "e2b:one is parked."

    button("Destroy modal:two").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".sw-boxes-ask")).to_contain_text(
        "A turn runs in it. Its files that are saved nowhere else are lost."
    )
    expect(button("Keep it")).to_be_focused()
    page.keyboard.press("Escape")
    expect(button("Destroy modal:two")).to_be_focused()
    button("Park modal:two").click()
    expect(page.locator(".sw-boxes-ask")).to_contain_text("A turn runs in it, and would fail.")
    button("Keep it").click()
    assert account.done == [("park", "e2b:one")]

    account.fails = SandboxBusy("Modal is busy: send again later.")
    button("Destroy modal:two").click()
    button("Destroy it").click()
    bench.until(lambda: page.get_by_role("alert").count(), what="the error")
    assert "Modal is busy" in page.get_by_role("alert").inner_text()
    account.fails = None
    button("Destroy modal:two").click()
    button("Destroy it").click()
    bench.until(lambda: rows.count() == 2, what="two rows")
    assert page.get_by_role("alert").count() == 0
    assert account.done == [("park", "e2b:one"), ("destroy", "modal:two")]


def test_providers_that_were_not_asked_and_an_empty_list(bench: Bench, account: Account) -> None:
    account.rows.clear()
    account.problems["e2b"] = "E2B refused the key of E2B_API_KEY."
    bench.page.get_by_role("button", name="Ask the providers again").click()
    bench.sees("e2b was not asked: E2B refused the key of E2B_API_KEY.")
    bench.sees("No sandboxes.")
    static = bench.widget._static()
    assert static["text/plain"] == "No sandboxes."
    assert faults(bench) == {}


def test_a_page_can_act_only_on_what_it_shows(bench: Bench, account: Account) -> None:
    bench.page.evaluate(STRANGER)
    bench.until(lambda: bench.page.evaluate("window.said"), what="the answer")
    assert "'docker:other' is not in the list" in bench.page.evaluate("window.said")
    assert account.done == []


def test_an_error_about_too_many_offers_the_call_that_shows_them(page: Page, session: Scripted) -> None:
    bench = Bench(page, Chat(session))
    for error in ("The agent has exited.", f"E2B runs 4 for this installation. {SHOWN}"):
        session.begin("go")
        session.end("failed", error=error)
    bench.sees("E2B runs 4")
    copy = page.get_by_role("button", name="Copy sw.sandboxes() for a cell")
    expect(copy).to_have_count(1)
    page.evaluate("document.execCommand = () => { window.copied = document.activeElement.value }")
    copy.click()
    expect(page.locator(".sw-copied")).to_have_count(1)
    assert page.evaluate("window.copied") == "sw.sandboxes()"
    bench.widget.close()
    assert bench.errors == []


def test_a_sum_is_of_one_currency_and_says_what_it_lacks() -> None:
    dollars = row("e2b:a", cost=Decimal("1.004"), currency="USD")
    assert total(SandboxList([dollars, dollars], {})) == "2.01 USD"
    euros = row("ours:b", cost=Decimal(3), currency="EUR")
    assert total(SandboxList([dollars, euros], {})) == "3.00 EUR, 1.00 USD"
    assert total(SandboxList([dollars, row("docker:c")], {})) == "at least 1.00 USD"
    assert total(SandboxList([row("docker:c")], {})) == ""
