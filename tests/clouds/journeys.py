"""What journeys through clouds look at."""

from __future__ import annotations

from pathlib import Path

from tests.support.waiting import until


def completed(turn):
    """The turn, which ended as it should, with its files saved."""
    assert (turn.status, turn.error, turn.durability_error) == ("completed", None, None)
    assert turn.durable_at is not None
    return turn


def output(turn) -> str:
    """What its tools printed."""
    return str([step.content for step in turn.steps if step.kind == "tool_call"])


def files_in(folder: Path) -> dict[str, bytes]:
    """The files of a workspace but those of the harness."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(".harness/")}


def allowing(session, turn):
    """The turn at its end; every request for a permission is allowed."""
    while not turn.ended:
        until(lambda: session.pending or turn.ended, seconds=60, what="a request or the end")
        for request in session.pending:
            request.allow()
    return completed(turn)
