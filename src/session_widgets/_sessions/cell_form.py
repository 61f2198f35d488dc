"""Asks an agent's question in the cell or terminal: field by field, with hidden secrets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from session_widgets._sessions.cell import IN_THE_PANEL, NO_STDIN, CellField, CellQuestion, FrontendState, has_stdin
from session_widgets._sessions.questions import Answer, QuestionRequest
from session_widgets.errors import BadValue
from session_widgets.printing import one_line, printable
from session_widgets.transcript.question_form import QuestionField, check_answer

YES, NO = frozenset({"y", "yes", "true"}), frozenset({"n", "no", "false"})


class _AnsweredElsewhere(Exception):
    """No answer is needed any more."""


def ask_question(request: QuestionRequest, page: FrontendState, is_open: Callable[[], bool]) -> Answer | None:
    """Ask a person in the cell or terminal; decline the question without an input.

    Args:
        request: the question.
        page: shows the question while it is open, so that a click there can answer it.
        is_open: whether it still needs an answer.

    Returns:
        The answer; None if the question was answered elsewhere, or its turn has ended.
    """
    if not has_stdin():
        return Answer("decline", None, "policy:ask", NO_STDIN)
    print(describe_question(request), flush=True)  # noqa: T201  # the question stands above its input field
    try:
        return _ask(request, page, is_open)
    except _AnsweredElsewhere:
        return None
    except EOFError:
        return Answer("decline", None, "policy:ask", NO_STDIN)
    finally:
        page.show(None)


def describe_question(request: QuestionRequest) -> str:
    """Return the question as text, with the full address."""
    lines = [f"The agent asks: {request.message or '(nothing)'}"]
    if request.url is not None:
        lines += ["The agent asks you to open this address. Open it only if you know it:", f"  {request.url}"]
    return printable("\n".join(lines))


def _ask(request: QuestionRequest, page: FrontendState, is_open: Callable[[], bool]) -> Answer:
    done = "opened" if request.mode == "url" else "answer"
    page.asked += 1
    prompt = f"{request.session_id}, question {page.asked}. [a] {done} / [d] decline / [c] cancel: "
    ways = {way: way + IN_THE_PANEL for way in ("accept", "decline", "cancel")}
    if any(field.secret for field in request.fields):
        del ways["accept"]  # a cell stores its input
    field = CellField(page, CellQuestion(request.id, prompt, ways), is_open)
    while True:
        line = _read_from(field).strip()
        if line.endswith(IN_THE_PANEL) and (told := _told_by_panel(request, line.removesuffix(IN_THE_PANEL))):
            return told
        if (way := line.lower()[:1]) in {"d", "c"}:
            return Answer("decline" if way == "d" else "cancel", None, "user:cell")
        if way == "a":
            break
    values = {one.name: value for one in request.fields if (value := _value(one, field)) is not None}
    return Answer("accept", values, "user:cell")


def _told_by_panel(request: QuestionRequest, said: str) -> Answer | None:
    """Parse the answer that a panel types: "decline", "cancel", or "accept" and the values as JSON."""
    way, _, values = said.partition(" ")
    if way in {"decline", "cancel"}:
        return Answer("decline" if way == "decline" else "cancel")
    try:
        return Answer("accept", check_answer(request.fields, json.loads(values or "{}")) if request.fields else None)
    except (BadValue, ValueError, TypeError, AttributeError):
        return None


def _read_from(field: CellField, prompt: str | None = None, *, secret: bool = False) -> str:
    if (line := field.read(prompt, secret=secret)) is None:
        raise _AnsweredElsewhere
    return line


def _value(field: QuestionField, cell: CellField) -> Any:
    """Ask for one field until the input is valid; None skips it."""
    prompt = f"{_label(field)}: "
    while True:
        typed = _read_from(cell, prompt, secret=field.secret)
        if not typed.strip():
            if field.default is not None or not field.required:
                return field.default
            continue
        try:
            return field.check(_read(field, typed))
        except (BadValue, ValueError) as error:
            print(printable(str(error)), flush=True)  # noqa: T201


def _label(field: QuestionField) -> str:
    kind = {"boolean": "yes or no", "choices": "some of, by commas"}.get(field.kind, "")
    choices = ", ".join(choice.value for choice in field.choices)
    parts = [kind, choices, "" if field.required else "may be left out"]
    parts += [] if field.default is None else [f"empty is {field.default}"]
    more = "; ".join(filter(None, parts))
    about = f" - {field.description}" if field.description else ""
    return one_line(f"{field.title}{about}" + (f" ({more})" if more else ""), 500)


def _read(field: QuestionField, typed: str) -> Any:
    """Return the input as the field's type; ValueError if it is invalid."""
    text = typed.strip()
    if field.kind == "boolean":
        return True if text.lower() in YES else False if text.lower() in NO else text
    if field.kind == "choices":
        return [part.strip() for part in text.split(",") if part.strip()]
    if field.kind == "integer":
        return int(text)
    if field.kind == "number":
        return float(text)
    return text if field.kind == "choice" else typed
