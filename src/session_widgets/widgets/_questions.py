"""A question of the agent for the page: its fields, or the address, and the answer."""

from __future__ import annotations

from session_widgets.errors import ProtocolError
from session_widgets.transcript.envelopes import as_object, as_text
from session_widgets.transcript.question_form import QuestionField, fields_of
from session_widgets.transcript.records import Json, Step
from session_widgets.widgets._text import safe
from session_widgets.widgets._views import FieldView, QuestionView

_TEXT = 2000


def question_view(step: Step) -> QuestionView:
    """Return the question of `step`."""
    asked, said = as_object(step.raw_input), as_object(step.raw_output)
    url = as_text(asked.get("url"))
    return {
        "request": as_text(asked.get("request_id")) or "",
        "fields": [] if url is not None else _fields(as_object(asked.get("schema"))),
        "url": None if url is None else safe(url)[:_TEXT],
        "action": as_text(said.get("action")),
        "values": [
            {"name": safe(name)[:200], "value": safe(str(value))[:_TEXT]}
            for name, value in list(as_object(said.get("content")).items())[:100]
        ],
        "by": as_text(said.get("answered_by")),
        "reason": safe(as_text(said.get("reason")) or "")[:_TEXT] or None,
    }


def _fields(schema: Json) -> list[FieldView]:
    try:
        return [_field(field) for field in fields_of(schema)]
    except ProtocolError:  # it was refused before it was shown
        return []


def _field(field: QuestionField) -> FieldView:
    return {
        "name": safe(field.name),
        "title": safe(field.title)[:300],
        "description": safe(field.description)[:_TEXT],
        "kind": field.kind,
        "required": field.required,
        "secret": field.secret,
        "default": field.default,
        "choices": [{"value": safe(one.value), "label": safe(one.label)[:300]} for one in field.choices],
        "least": field.least,
        "most": field.most,
    }
