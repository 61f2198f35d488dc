"""Payloads: text of any origin becomes JSON without secrets."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from session_widgets._store.payload import TOO_DEEP, clean, decode, encode, encode_clean, parse
from session_widgets.errors import BadValue

KEY = "AKIAIOSFODNN7EXAMPLE"


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_texts_without_a_secret_stay_as_they_are() -> None:
    texts = ['{"a" : 1}', '{"b":"\\u00e4"}', "{}"]
    assert clean(texts) == [(texts[0], {"a": 1}), (texts[1], {"b": "ä"}), (texts[2], {})]
    assert clean([]) == []


def test_one_secret_is_removed_from_text_and_value_and_the_others_stay() -> None:
    texts = ['{"a" : 1}', f'{{"key": "{KEY}"}}']
    assert clean(texts) == [(texts[0], {"a": 1}), ('{"key": "[redacted]"}', {"key": "[redacted]"})]


def test_a_secret_that_begins_in_half_of_an_escape_leaves_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "n0123456789ab")
    text = r'{"a": "line\n0123456789ab", "n0123456789ab": [1]}'
    ((kept, value),) = clean([text])
    assert value == {"a": "line\n0123456789ab", "[redacted]": [1]}
    assert kept == encode(value)
    assert decode(encode_clean({"a": "line\n0123456789ab", "b": "n0123456789ab"})) == {
        "a": "line\n0123456789ab",
        "b": "[redacted]",
    }


@pytest.mark.parametrize("text", ["[1]", '"text"', "1", "null", "", "{", '{"a": }'])
def test_what_is_no_object_is_refused_with_its_beginning(text: str) -> None:
    for call in (lambda: parse(text), lambda: clean([text]), lambda: clean(['{"a": 1}', text])):
        with pytest.raises(BadValue, match=r"^a payload must be the text of a JSON object.*; got '"):
            call()
    long = f"[{'1,' * 100}1]"
    with pytest.raises(BadValue) as caught:
        parse(long)
    assert str(caught.value).endswith(f"; got {repr(long)[:80]}")


def test_the_reason_is_said_of_a_text_with_a_secret_and_of_one_that_is_no_json() -> None:
    for text in (f"[{KEY!r}]".replace("'", '"'), f'{{"key": {KEY}}}'):
        with pytest.raises(BadValue, match="must be the text of a JSON object"):
            clean([text])
    with pytest.raises(BadValue, match=r"JSON object \(Expecting value: line 1 column 7 \(char 6\)\); got '{\"a\": }"):
        parse('{"a": }')


def test_half_of_a_surrogate_pair_becomes_a_question_mark() -> None:
    assert parse(r'{"a": "\ud83d", "b": "ü"}') == {"a": "?", "b": "ü"}


def test_a_value_is_encoded_whatever_is_in_it() -> None:
    now = datetime(2026, 11, 28, 9, tzinfo=UTC)
    assert encode({"t": now, "p": {1}.__class__}) == '{"t":"2026-11-28T09:00:00+00:00","p":"<class \'set\'>"}'
    assert encode(deep(100)) == "[" * 100 + "1" + "]" * 100
    assert encode(deep(400)) == encode_clean(deep(400)) == TOO_DEEP
    assert decode(TOO_DEEP) == "[nested too deeply to be kept here; the event holds it]"
    assert encode_clean({"key": KEY}) == '{"key":"[redacted]"}'


def test_null_is_none() -> None:
    assert decode(None) is None
    assert decode("null") is None
    assert decode('["a"]') == ["a"]
