"""The sandboxes of this installation as a table, each with park and destroy."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from decimal import Decimal
from html import escape
from typing import Any, TypedDict

from session_widgets._sessions import sandbox_info
from session_widgets._sessions.sandbox_info import SandboxList, SandboxRow, ran_and_cost
from session_widgets.errors import SandboxGone
from session_widgets.widgets._base import STATIC, PageWidget
from session_widgets.widgets._rpc import Answer, Operation
from session_widgets.widgets._static_html import ALONE
from session_widgets.widgets._text import safe
from session_widgets.widgets._wire import millis


class RowView(TypedDict):
    """One sandbox for the page; `js/src/sandboxes/link.ts` has the same."""

    ref: str
    session: str
    owner: str
    running: bool
    working: bool
    wanted: bool
    created: int
    deadline: int | None
    ran: str
    cost: str


class SandboxTable(PageWidget):
    """What `sandboxes()` found, with buttons; what would lose something asks first.

    Args:
        found: the list to begin with.
    """

    _esm = STATIC / "sandboxes.js"
    _css = STATIC / "sandboxes.css"

    def __init__(self, found: SandboxList) -> None:
        self._found, self._at = found, time.time()
        self._lock = threading.Lock()
        super().__init__()

    def _operations(self) -> dict[str, Operation]:
        return {
            "refresh": lambda _, __: self._renewed(),
            "park": lambda args, _: self._act(args, SandboxRow.park),
            "destroy": lambda args, _: self._act(args, SandboxRow.destroy),
        }

    def _act(self, args: Mapping[str, Any], action: Callable[[SandboxRow], Any]) -> Answer:
        """Do it to a sandbox that the page shows; no other reference is accepted."""
        ref = args.get("ref")
        row = next((row for row in self._found if row.ref == ref), None)
        if row is None:
            raise SandboxGone(f"{ref!r:.80} is not in the list any more.")
        try:
            action(row)
        finally:
            self._renew()
        return Answer()

    def _renewed(self) -> Answer:
        self._renew()
        return Answer()

    def _renew(self) -> None:
        """Ask the providers again."""
        found = sandbox_info.sandboxes()
        with self._lock:
            self._found, self._at = found, time.time()
        self._tell()
        self._renew_static()

    def _hello(self, view: str) -> None:
        self._tell()

    def _tell(self) -> None:
        with self._lock:
            problems = [{"provider": name, "text": safe(text)} for name, text in self._found.problems.items()]
            view = {
                "kind": "sandboxes",
                "now": int(time.time() * 1000),
                "at": int(self._at * 1000),
                "sandboxes": [row_view(row) for row in self._found],
                "total": total(self._found),
                "problems": problems,
            }
            self.send(view)

    def _static(self) -> dict[str, str]:
        alone = f"<style>{ALONE.format(uid=self.snapshot_id)}</style>"
        html = f'<div data-sw-for="{escape(self.snapshot_id)}">{alone}{self._found._repr_html_()}</div>'
        return {"text/html": html, "text/plain": repr(self._found)}


def row_view(row: SandboxRow) -> RowView:
    """Return a sandbox for the page."""
    ran, cost = ran_and_cost(row)
    return {
        "ref": row.ref,
        "session": safe(row.session),
        "owner": safe(row.owner),
        "running": row.running,
        "working": row.working,
        "wanted": row.wanted,
        "created": millis(row.created),
        "deadline": None if row.deadline is None else millis(row.deadline),
        "ran": ran,
        "cost": cost,
    }


def total(found: SandboxList) -> str:
    """Return what the sandboxes cost together, each currency by itself; empty if no cost is known."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for row in found:
        if row.cost is not None and row.currency is not None:
            sums[row.currency] += row.cost
    least = "at least " if any(row.partial or row.cost is None for row in found) else ""
    return ", ".join(f"{least}{amount:.2f} {currency}" for currency, amount in sorted(sums.items()))
