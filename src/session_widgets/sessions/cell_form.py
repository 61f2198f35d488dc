"""Ask an agent's question in the cell or terminal: field by field, secrets unseen, until it is answered anywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from session_widgets.errors import BadValue
from session_widgets.question_form import QuestionField
from session_widgets.sessions.cell import NO_STDIN, current_kernel, has_stdin
from session_widgets.sessions.questions import Answer, QuestionRequest
from session_widgets.sessions.stdin import read_line
from session_widgets.text import one_line, printable

YES, NO = frozenset({"y", "yes", "true"}), frozenset({"n", "no", "false"})


class _Over(Exception):
    """The question was answered elsewhere, or its turn has ended."""


def ask_question(request: QuestionRequest, is_open: Callable[[], bool]) -> Answer | None:
    """Put a question before a person at the cell or terminal; decline it if there is no input.

    Args:
        request: what to ask.
        is_open: whether the question still waits for an answer.

    Returns:
        The answer; None if the question was answered elsewhere, or its turn has ended.
    """
    if not has_stdin():
        return Answer("decline", None, "policy:ask", NO_STDIN)
    print(describe_question(request), flush=True)  # noqa: T201  # the question stands above its input field
    try:
        return _ask(request, is_open)
    except EOFError:
        return Answer("decline", None, "policy:ask", NO_STDIN)
    except _Over:
        print("This was answered elsewhere.", flush=True)  # noqa: T201  # below the question
        return None


def describe_question(request: QuestionRequest) -> str:
    """Return the question as text, with the address in full."""
    lines = [f"The agent asks: {request.message or '(nothing)'}"]
    if request.url is not None:
        lines += ["It wants you to open an address that it chose. Open it only if you know it:", f"  {request.url}"]
    return printable("\n".join(lines))


def _ask(request: QuestionRequest, is_open: Callable[[], bool]) -> Answer:
    done = "opened" if request.mode == "url" else "answer"
    ways = {"a": "accept", "d": "decline", "c": "cancel"}
    prompt = f"{request.session_id}: [a] {done} / [d] decline / [c] cancel: "
    while (way := _line(prompt, is_open).strip().lower()[:1]) not in ways:
        pass
    if way == "d":
        return Answer("decline", None, "user:cell")
    if way == "c":
        return Answer("cancel", None, "user:cell")
    values = {field.name: value for field in request.fields if (value := _value(field, is_open)) is not None}
    return Answer("accept", values, "user:cell")


def _value(field: QuestionField, is_open: Callable[[], bool]) -> Any:
    """Ask for one field until what was typed fits; None leaves it out."""
    while True:
        typed = _line(f"{_label(field)}: ", is_open, secret=field.secret)
        if not typed.strip():
            if field.default is not None or not field.required:
                return field.default
            continue
        try:
            return field.check(_read(field, typed))
        except (BadValue, ValueError) as error:
            print(printable(str(error)), flush=True)  # noqa: T201


def _line(prompt: str, is_open: Callable[[], bool], *, secret: bool = False) -> str:
    line = read_line(current_kernel(), prompt, is_open, 0, secret=secret)
    if line is None:
        raise _Over
    return line


def _label(field: QuestionField) -> str:
    kind = {"boolean": "yes or no", "choices": "some of, by commas"}.get(field.kind, "")
    choices = ", ".join(choice.value for choice in field.choices)
    parts = [kind, choices, "" if field.required else "may be left out"]
    parts += [] if field.default is None else [f"empty is {field.default}"]
    more = "; ".join(filter(None, parts))
    about = f" - {field.description}" if field.description else ""
    return one_line(f"{field.title}{about}" + (f" ({more})" if more else ""), 500)


def _read(field: QuestionField, typed: str) -> Any:
    """Return what was typed as the kind of value that the field takes; ValueError if it is none."""
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
