"""The fields of an agent's question (ACP's elicitation), and validation of answers. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from session_widgets.errors import BadValue, ProtocolError
from session_widgets.transcript.envelopes import as_object, as_objects, as_text
from session_widgets.transcript.records import Json

FieldKind = Literal["text", "number", "integer", "boolean", "choice", "choices"]
FIELDS = 50
CHOICES = 500
TEXT_LIMIT = 100_000
"""Limit of a text answer in characters, if the schema has none."""
REDACTED = "[redacted]"
_KINDS: Mapping[str, FieldKind] = {"string": "text", "number": "number", "integer": "integer", "boolean": "boolean"}
_SECRET = re.compile(r"pass(word|phrase|code)?(?![a-z])|secret|credential|key(?![a-z])|token(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class QuestionChoice:
    """One choice of a field; `label` is agent text."""

    value: str
    label: str


@dataclass(frozen=True, slots=True)
class QuestionField:
    """One field of a question. All text is the agent's: show it escaped.

    Attributes:
        name: key of its value in the answer.
        title: label beside it.
        description: one sentence, or empty.
        kind: `choice` takes one of `choices`, `choices` a list of them.
        required: whether an answer must contain it.
        secret: whether its value is never stored: its name or title mentions a key, token, password or the like.
        default: initial value, None without one.
        choices: of the kinds `choice` and `choices`.
        least: smallest number, or shortest text or list; None for no limit.
        most: largest number, or longest text or list; None for no limit.
    """

    name: str
    title: str
    description: str
    kind: FieldKind
    required: bool
    secret: bool
    default: Any
    choices: tuple[QuestionChoice, ...] = ()
    least: float | None = None
    most: float | None = None

    def check(self, value: object) -> Any:
        """Return a value if it is valid for the field, else raise `BadValue`."""
        known = [choice.value for choice in self.choices]
        match self.kind:
            case "choice" if value in known:
                return value
            case "choice":
                raise self._wrong(f"one of {', '.join(map(repr, known[:20]))}", value)
            case "choices":
                chosen = list(value) if isinstance(value, list | tuple) else None
                if chosen is None or any(one not in known for one in chosen):
                    raise self._wrong(f"a list of {', '.join(map(repr, known[:20]))}", value)
                return self._in_bounds(chosen, len(chosen), "values")
            case "boolean":
                if isinstance(value, bool):
                    return value
                raise self._wrong("True or False", value)
            case "text":
                if not isinstance(value, str):
                    raise self._wrong("text", value)
                if self.most is None and len(value) > TEXT_LIMIT:
                    raise self._wrong(f"at most {TEXT_LIMIT} characters", value)
                return self._in_bounds(value, len(value), "characters")
        whole = self.kind == "integer"
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise self._wrong("a whole number" if whole else "a number", value)
        return self._in_bounds(value, value, "")

    def _in_bounds(self, value: Any, size: float, unit: str) -> Any:
        if self.least is not None and size < self.least:
            raise self._wrong(f"at least {self.least:g} {unit}".rstrip(), value)
        if self.most is not None and size > self.most:
            raise self._wrong(f"at most {self.most:g} {unit}".rstrip(), value)
        return value

    def _wrong(self, wanted: str, value: object) -> BadValue:
        got = "something else" if self.secret else f"{value!r:.80}"
        return BadValue(f"{self.name} must be {wanted}; got {got}.")


def fields_of(schema: Json) -> tuple[QuestionField, ...]:
    """Return the fields of a `requestedSchema`, in its order.

    Raises:
        ProtocolError: it has too many fields, or a required one of unknown kind.
    """
    properties, required = as_object(schema.get("properties")), schema.get("required")
    needed = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
    if len(properties) > FIELDS:
        raise ProtocolError(f"the agent asked for {len(properties)} fields at once; at most {FIELDS} are taken")
    found = [_field(name, as_object(said), name in needed) for name, said in properties.items()]
    return tuple(field for field in found if field is not None)


def check_answer(fields: tuple[QuestionField, ...], content: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer if it is valid for the fields, else raise `BadValue`."""
    known = {field.name: field for field in fields}
    if unknown := sorted(set(content) - set(known)):
        raise BadValue(f"the question has no field {unknown[0]!r:.80}, but {', '.join(map(repr, known)) or 'none'}.")
    if missing := [field.name for field in fields if field.required and content.get(field.name) is None]:
        raise BadValue(f"the question needs an answer for {', '.join(map(repr, missing))}.")
    return {name: known[name].check(value) for name, value in content.items() if value is not None}


def without_secrets(fields: tuple[QuestionField, ...], content: Json) -> dict[str, Any]:
    """Return an answer without secrets, for the store."""
    secret = {field.name for field in fields if field.secret}
    return {name: REDACTED if name in secret else value for name, value in content.items()}


def _field(name: str, said: Json, required: bool) -> QuestionField | None:
    kind, choices = _kind(said)
    if kind is None:
        if required:
            raise ProtocolError(f"the agent asked for {name!r:.80}, which is of an unknown kind")
        return None
    title, about = as_text(said.get("title")) or name, as_text(said.get("description")) or ""
    bounds = {"text": "Length", "choices": "Items"}.get(kind, "imum")
    least, most = (_number(said.get(f"{side}{bounds}")) for side in ("min", "max"))
    secret = (
        said.get("format") == "password" or said.get("writeOnly") is True or bool(_SECRET.search(f"{name} {title}"))
    )
    field = QuestionField(name, title, about, kind, required, secret, None, choices, least, most)
    try:
        default = None if said.get("default") is None or secret else field.check(said["default"])
    except BadValue:
        default = None
    return QuestionField(name, title, about, kind, required, secret, default, choices, least, most)


def _kind(said: Json) -> tuple[FieldKind | None, tuple[QuestionChoice, ...]]:
    kind = as_text(said.get("type")) or ""
    if kind == "array":
        return "choices", _choices(as_object(said.get("items")))
    choices = _choices(said) if kind == "string" else ()
    return ("choice", choices) if choices else (_KINDS.get(kind), ())


def _choices(said: Json) -> tuple[QuestionChoice, ...]:
    titled = [
        QuestionChoice(value, as_text(one.get("title")) or value)
        for one in as_objects(said.get("oneOf") or said.get("anyOf"))
        if (value := as_text(one.get("const"))) is not None
    ]
    plain = said.get("enum")
    found = titled or [QuestionChoice(v, v) for v in (plain if isinstance(plain, list) else ()) if isinstance(v, str)]
    return tuple(found[:CHOICES])


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
