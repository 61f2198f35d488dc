"""The journeys of the harness matrix in their order, and the table of the durable matrix at the end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.matrix.page import DURABLE


@pytest.hookimpl(trylast=True)  # after pytest-randomly
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A journey is one session: its events come in the order of the file, whatever the order of everything else."""
    places = [place for place, item in enumerate(items) if "journey" in getattr(item, "fixturenames", ())]
    journeys = sorted((items[place] for place in places), key=lambda item: (_route(item), _event(item)))
    for place, item in zip(places, journeys, strict=True):
        items[place] = item


def _route(item: Any) -> int:
    return int(item.callspec.indices["route"])


def _event(item: Any) -> int:
    """The deletion of the session, which has no event, comes last."""
    return int(item.callspec.indices.get("event", 99))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print how each durable cell came out."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties if report.when == "call" else ():
                if name == DURABLE:
                    sandbox, attachment, event, tier = value
                    found.setdefault((sandbox, attachment), {})[event] = tier if outcome == "passed" else "FAILED"
    if found:
        terminalreporter.write_line("durable sessions: how the agent's memory came back; files and memory were proven")
        for (sandbox, attachment), cells in sorted(found.items()):
            row = " ".join(f"{event} {tier:10}" for event, tier in sorted(cells.items()))
            terminalreporter.write_line(f"{sandbox:8} {attachment:10} {row}")
