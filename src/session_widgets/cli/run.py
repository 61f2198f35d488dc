"""One turn in the terminal."""

from __future__ import annotations

import dataclasses
import json
import queue
import sys
from collections.abc import Callable, Iterator

from rich.console import Console

from session_widgets._sessions import PermissionRequest, Session, Turn
from session_widgets._sessions.cell import ask
from session_widgets._sessions.cell_form import ask_question
from session_widgets._sessions.questions import Answer, QuestionRequest
from session_widgets.cli.turn_printer import TurnPrinter
from session_widgets.transcript.records import Event

EXIT_CODES = {"completed": 0, "cancelled": 130}
LOOK_SECONDS = 0.1
NO_TERMINAL = "there is no terminal to ask in; --permissions sets the policy"


def run_turn(session: Session, prompt: str, console: Console, *, as_json: bool = False) -> Turn:
    """Send `prompt`, print its events, ask for permissions, and return the turn when it has ended.

    The first interrupt cancels the turn and waits for its end; a second one exits at once.
    """
    record = session.store.session(session.id)
    printer = TurnPrinter(session.id, console, connection=record.connection if record else None)
    asks = sys.stdin.isatty() and not as_json

    def answer(request: PermissionRequest) -> None:
        if asks:
            printer.make_room(request.id)
            decision = ask(request, session.control.page, lambda: any(one.id == request.id for one in session.pending))
            if decision is not None:
                request.answer(decision)
        else:
            request.answer(request.rejection("policy:ask", NO_TERMINAL))

    def answer_question(question: QuestionRequest) -> None:
        if asks:
            printer.make_room(question.id)
            if (
                answered := ask_question(question, session.control.page, lambda: question in session.questions)
            ) is not None:
                question.answer(answered)
        else:
            question.answer(Answer("decline", None, "policy:ask", NO_TERMINAL))

    arrived: queue.SimpleQueue[list[Event]] = queue.SimpleQueue()
    last = session.store.last_seq(session.id)
    turn = session.start(prompt)
    unsubscribe = session.subscribe(arrived.put, after=last)
    try:
        _follow(session, turn, arrived, _print_json if as_json else printer.feed, answer, answer_question)
    finally:
        unsubscribe()
    if not as_json:
        printer.ended(turn)
    return turn


def _follow(
    session: Session,
    turn: Turn,
    arrived: queue.SimpleQueue[list[Event]],
    show: Callable[[Event], None],
    answer: Callable[[PermissionRequest], None],
    answer_question: Callable[[QuestionRequest], None],
) -> None:
    """Print events until the turn has ended and all its events have arrived."""
    cancelled = False
    while True:
        try:
            over, waiting, questions = turn.ended, session.pending, session.questions
            events = list(_arrived(arrived))
            for event in events:
                show(event)
            if over and not events:
                return
            for request in waiting:
                answer(request)
            for question in questions:
                answer_question(question)
        except KeyboardInterrupt:
            if cancelled:
                raise
            cancelled = True
            session.cancel()


def _arrived(arrived: queue.SimpleQueue[list[Event]]) -> Iterator[Event]:
    """Yield the arrived events, waiting a moment for the first."""
    try:
        yield from arrived.get(timeout=LOOK_SECONDS)
        while True:
            yield from arrived.get_nowait()
    except queue.Empty:
        return


def _print_json(event: Event) -> None:
    """Print one event as a line of ASCII."""
    sys.stdout.write(json.dumps(dataclasses.asdict(event), default=str) + "\n")
    sys.stdout.flush()
