"""The forms of agents' questions: fields of a schema, and valid answers."""

import pytest

from session_widgets.acp.questions import Question
from session_widgets.errors import BadValue, ProtocolError
from session_widgets.transcript.question_form import check_answer, fields_of, without_secrets

SCHEMA = {
    "type": "object",
    "required": ["name", "size"],
    "properties": {
        "name": {"type": "string", "title": "Name", "minLength": 2, "maxLength": 5, "default": "abc"},
        "size": {"type": "integer", "minimum": 1, "maximum": 9, "default": 99},
        "share": {"type": "number"},
        "sure": {"type": "boolean", "default": False},
        "colour": {"type": "string", "oneOf": [{"const": "r", "title": "Red"}, {"const": "g"}, 3]},
        "parts": {"type": "array", "items": {"enum": ["a", "b", 4]}, "maxItems": 1},
        "later": {"type": "_of_tomorrow"},
        "apiKey": {"type": "string"},
        "odd": ["no object"],
    },
}


def test_fields():
    fields = {field.name: field for field in fields_of(SCHEMA)}
    assert {name: field.kind for name, field in fields.items()} == {
        "name": "text",
        "size": "integer",
        "share": "number",
        "sure": "boolean",
        "colour": "choice",
        "parts": "choices",
        "apiKey": "text",
    }
    assert [choice.label for choice in fields["colour"].choices] == ["Red", "g"]
    assert (fields["name"].default, fields["size"].default, fields["sure"].default) == ("abc", None, False)
    assert [name for name, field in fields.items() if field.secret] == ["apiKey"]


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("password", True),
        ("db_token", True),
        ("passphrase", True),
        ("x", False),
        ("keywords", False),
        ("tokens", False),
    ],
)
def test_what_sounds_like_a_secret_is_one(name, secret):
    (field,) = fields_of({"properties": {name: {"type": "string", "default": "d"}}})
    assert field.secret is secret
    assert field.default == (None if secret else "d")
    assert without_secrets((field,), {name: "v"}) == {name: "[redacted]" if secret else "v"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"name": "abc"}, "needs an answer for 'size'"),
        ({"name": "abc", "size": 3, "more": 1}, "no field 'more'"),
        ({"name": "a", "size": 3}, "name must be at least 2 characters"),
        ({"name": "abcdef", "size": 3}, "name must be at most 5 characters"),
        ({"name": 3, "size": 3}, "name must be text"),
        ({"name": "abc", "size": 10}, "size must be at most 9"),
        ({"name": "abc", "size": True}, "size must be a whole number"),
        ({"name": "abc", "size": 3.5}, "size must be a whole number"),
        ({"name": "abc", "size": 3, "share": "1"}, "share must be a number"),
        ({"name": "abc", "size": 3, "sure": 1}, "sure must be True or False"),
        ({"name": "abc", "size": 3, "colour": "Red"}, "colour must be one of 'r', 'g'"),
        ({"name": "abc", "size": 3, "parts": ["a", "b"]}, "parts must be at most 1 values"),
        ({"name": "abc", "size": 3, "parts": "a"}, "parts must be a list"),
        ({"name": "abc", "size": 3, "apiKey": 12345}, "apiKey must be text; got something else"),
    ],
)
def test_what_is_no_answer(content, said):
    with pytest.raises(BadValue, match=said):
        check_answer(fields_of(SCHEMA), content)


def test_an_answer():
    content = {"name": "abc", "size": 3, "share": 0.5, "sure": True, "colour": "g", "parts": ["b"], "apiKey": None}
    assert check_answer(fields_of(SCHEMA), content) == {k: v for k, v in content.items() if v is not None}


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"mode": "form"},
        {"mode": "form", "requestedSchema": []},
        {"mode": "form", "requestedSchema": {"required": ["x"], "properties": {"x": {"type": "_odd"}}}},
        {"mode": "form", "requestedSchema": {"properties": {f"f{n}": {"type": "string"} for n in range(51)}}},
        {"mode": "url"},
        {"mode": "url", "url": "javascript:alert(1)"},
        {"mode": "url", "url": "file:///etc/passwd"},
        {"mode": "url", "url": "http://[x"},
        {"mode": "url", "url": "https://a.b/\u202ec"},
        {"mode": "_of_tomorrow"},
    ],
)
def test_what_cannot_be_asked(params):
    with pytest.raises(ProtocolError):
        Question.parse({"id": 1, "method": "elicitation/create", "params": params})
