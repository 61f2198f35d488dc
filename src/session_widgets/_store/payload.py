"""Encodes and decodes JSON text of any origin."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import orjson

from session_widgets._store.redaction import Redactor, redactor
from session_widgets.errors import BadValue
from session_widgets.transcript.records import Json

TOO_DEEP = '"[nested too deeply to be kept here; the event holds it]"'


def clean(texts: Sequence[str]) -> list[tuple[str, Json]]:
    """Return payload texts without secrets, each with its value.

    Raises:
        BadValue: a text is not a JSON object.
    """
    secrets = redactor()
    if not secrets.suspects("\n".join(texts)):
        return [(text, parse(text)) for text in texts]
    return [_clean(text, secrets) for text in texts]


def parse(text: str) -> Json:
    """Return the JSON object in `text`; half a surrogate pair becomes '?'.

    Raises:
        BadValue: the text is not a JSON object.
    """
    try:
        value = orjson.loads(text)
    except ValueError:
        value = _parse_patiently(text)
    if not isinstance(value, dict):
        raise BadValue(f"a payload must be the text of a JSON object; got {text!r:.80}")
    return value


def encode(value: object) -> str:
    """Return a value as JSON; times are ISO 8601, and values nested too deeply are omitted."""
    try:
        return orjson.dumps(value, default=str).decode()
    except TypeError:
        return TOO_DEEP


def encode_clean(value: object) -> str:
    """Return a value as JSON without secrets."""
    text, secrets = encode(value), redactor()
    kept = secrets.plain(text)
    try:
        orjson.loads(kept)
    except ValueError:
        return encode(secrets.value(value))
    return kept


def decode(text: str | None) -> Any:
    """Decode the result of `encode`; None for NULL."""
    return None if text is None else orjson.loads(text)


def _clean(text: str, secrets: Redactor) -> tuple[str, Json]:
    kept = secrets.plain(text)
    try:
        return kept, parse(kept)
    except BadValue:
        if kept == text:
            raise
        value = secrets.value(parse(text))  # half of an escape sequence had looked like the start of a secret
        return encode(value), value


def _parse_patiently(text: str) -> Json:
    try:
        loose = json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", "replace")
        value: Json = orjson.loads(loose)
    except (ValueError, RecursionError) as error:
        raise BadValue(f"a payload must be the text of a JSON object ({error}); got {text!r:.80}") from error
    return value
