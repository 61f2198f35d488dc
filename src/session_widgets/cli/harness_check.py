"""One prompt to a harness in a temporary session, and its result."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from session_widgets.cli.checks import Check
from session_widgets.errors import SessionWidgetsError
from session_widgets.printing import one_line

if TYPE_CHECKING:
    from session_widgets._sessions import Turn

from session_widgets.transcript.notes import TurnStarted
from session_widgets.transcript.records import Event

PROMPT = "Answer in one short sentence, and use no tool: are you there?"
SECONDS = 120.0
FIRST = "start the program"


def self_test(name: str, model: str | None) -> Iterator[Check]:
    """Send one prompt, reject the agent's permission requests, and yield the checks; the first failure is the last.

    The session has its own store and workspace in a temporary directory, which is removed.
    """
    from session_widgets._harnesses import catalog
    from session_widgets._sessions import open_session
    from session_widgets._store import store

    with tempfile.TemporaryDirectory(prefix="session-widgets-check-") as folder:
        book = store(Path(folder) / "transcripts.duckdb")
        session = open_session("check", harness=name, model=model, permissions="deny", store=book)
        try:
            turn = session.start(PROMPT)
            late = _wait(turn)
            if late:
                session.cancel()
            yield from _proofs(session.events(), turn, late, catalog.get(name).version)
        except SessionWidgetsError as error:
            yield Check(FIRST, False, str(error))
        finally:
            session.delete()
            book.close()


def _wait(turn: Turn) -> str:
    try:
        turn.wait(SECONDS)
    except TimeoutError:
        return f"nothing came within {SECONDS:g} s"
    return ""


def _proofs(events: list[Event], turn: Turn, late: str, tried: str) -> Iterator[Check]:
    began = next(event.ts for event in events if event.kind == TurnStarted.kind)
    cause = late or turn.error or ""

    def seconds(event: Event) -> str:
        return f"{(event.ts - began).total_seconds():.1f} s after the prompt"

    hello = _answer(events, "initialize")
    if hello is None:
        yield Check(FIRST, False, cause or "it did not answer initialize")
        return
    said = hello.payload["result"]
    info = said.get("agentInfo") or {}
    version = info.get("version") or ""
    program = f"{info.get('title') or info.get('name') or 'it does not say its name'} {version}".strip()
    other = f"; session-widgets was tried with {tried}" if tried and version and version != tried else ""
    yield Check("program", True, f"{program}{other}, {seconds(hello)}")
    yield Check("ACP", True, f"version {said.get('protocolVersion')}")
    made = _answer(events, "session/new")
    if made is None:
        yield Check("make a session", False, cause or "it did not answer session/new")
        return
    yield Check("session", True, f"{made.payload['result'].get('sessionId')}, {seconds(made)}")
    if turn.status != "completed" or not turn.text.strip():
        silent = f"no words came ({turn.stop_reason}): the model may have failed, or the key is not accepted"
        yield Check("get an answer", False, cause or silent)
        return
    first = next(event for event in events if event.kind == "agent_message_chunk")
    yield Check("answer", True, f"“{one_line(turn.text, 100)}”, {seconds(first)}, all of it {seconds(events[-1])}")


def _answer(events: list[Event], method: str) -> Event | None:
    return next((e for e in events if e.method == method and e.direction == "in" and "result" in e.payload), None)
