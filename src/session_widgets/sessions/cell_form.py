"""Ask an agent's question in the cell or terminal: field by field, secrets unseen."""

from __future__ import annotations

import getpass
from typing import Any

from session_widgets.errors import BadValue
from session_widgets.question_form import QuestionField
from session_widgets.sessions.cell import NO_STDIN, has_stdin
from session_widgets.sessions.questions import Answer, QuestionRequest
from session_widgets.text import one_line, printable

YES, NO = frozenset({"y", "yes", "true"}), frozenset({"n", "no", "false"})


def ask_question(request: QuestionRequest) -> Answer:
    """Put a question before a person at the cell or terminal; decline it if there is no input."""
    if not has_stdin():
        return Answer("decline", None, "policy:ask", NO_STDIN)
    print(describe_question(request), flush=True)  # noqa: T201  # the question stands above its input field
    try:
        return _ask(request)
    except EOFError:
        return Answer("decline", None, "policy:ask", NO_STDIN)


def describe_question(request: QuestionRequest) -> str:
    """Return the question as text, with the address in full."""
    lines = [f"The agent asks: {request.message or '(nothing)'}"]
    if request.url is not None:
        lines += ["It wants you to open an address that it chose. Open it only if you know it:", f"  {request.url}"]
    return printable("\n".join(lines))


def _ask(request: QuestionRequest) -> Answer:
    done = "opened" if request.mode == "url" else "answer"
    ways = {"a": "accept", "d": "decline", "c": "cancel"}
    while (way := input(f"[a] {done} / [d] decline / [c] cancel: ").strip().lower()[:1]) not in ways:
        pass
    if way == "d":
        return Answer("decline", None, "user:cell")
    if way == "c":
        return Answer("cancel", None, "user:cell")
    values = {field.name: value for field in request.fields if (value := _value(field)) is not None}
    return Answer("accept", values, "user:cell")


def _value(field: QuestionField) -> Any:
    """Ask for one field until what was typed fits; None leaves it out."""
    prompt = f"{_label(field)}: "
    while True:
        typed = getpass.getpass(prompt) if field.secret else input(prompt)
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
