"""What CI runs of the matrices, the journeys of harnesses in their order, the table of durable sessions at the end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.matrix.page import DURABLE


def pytest_itemcollected(item: Any) -> None:
    """CI runs the cells that have each pair of values; the night runs all, these too, for a whole table.

    The deletion of a session is tested with each harness and sandbox that a cell of CI has.
    """
    if (cell := getattr(item, "callspec", None)) is None:
        return
    in_ci: set[str] = item.module.IN_CI if hasattr(item.module, "IN_CI") else {cell.id}
    chosen = cell.id in in_ci or any(one.startswith(f"{cell.id}-") for one in in_ci)
    if not chosen or (item.originalname == "test_files_and_memory_survive" and item.config.getoption("--nightly")):
        item.add_marker(pytest.mark.nightly)


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
    known: dict[str, None] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties if report.when == "call" else ():
                if name == DURABLE:
                    sandbox, attachment, event, tier = value
                    known[event] = None
                    found.setdefault((sandbox, attachment), {})[event] = tier if outcome == "passed" else "FAILED"
    if found:
        terminalreporter.write_line("durable sessions: how the agent's memory came back; files and memory were proven")
        terminalreporter.write_line(
            "-: not run; CI runs each pair of sandbox, attachment and event, `make nightly` all"
        )
        for (sandbox, attachment), cells in sorted(found.items()):
            row = " ".join(f"{event} {cells.get(event, '-'):10}" for event in sorted(known))
            terminalreporter.write_line(f"{sandbox:8} {attachment:10} {row}")
