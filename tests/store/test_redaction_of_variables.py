"""Values of the environment's variables never reach the file."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from session_widgets._store.redaction import REDACTED, redactor
from tests.store.planted import PEM, SHAPES, VALUE

NAMES = [
    "API_KEYS",
    "key_of_mine",
    "TOKEN_2",
    "AWS_SECRET_ID",
    "DB_PASS",
    "PASSPHRASE",
    "MY_CREDENTIALS",
    "Db_Password_X",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_telling_word_anywhere_in_the_name_of_a_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "correct-horse-battery")
    assert redactor().plain("it is correct-horse-battery") == f"it is {REDACTED}"


def test_passwords_in_urls_of_any_variable_items_of_lists_and_short_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://me:pa%24sword1@host/db")
    monkeypatch.setenv("SERVICE_KEYS", "first-key-1234,second-key-5678")
    monkeypatch.setenv("DB_PASSWORD", "hunter2")
    monkeypatch.setenv("DOCS", "https://example.org/docs-2")
    url = "postgres://me:{}@host/db, https://example.org/docs-2"
    assert redactor().plain(url.format("pa%24sword1")) == url.format(REDACTED), "the address itself is no secret"
    text = 'pa$sword1 pa%24sword1 second-key-5678 first-key-1234 hunter2, "hunter2"'
    assert redactor().plain(text) == '{0} {0} {0} {0} {0}, "{0}"'.replace("{0}", REDACTED)
    for text in ("hunter22 xhunter2 hunter", "hunter2x hunter2X hunter2_ hunter20 _hunter2"):
        assert redactor().plain(text) == text, "a short one is a word of its own"
    assert redactor().plain(r'"a\nhunter2\n"') == rf'"a\n{REDACTED}\n"', "an escape is no letter"


def test_a_short_value_is_found_however_json_spells_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", 'pä"s1x')
    for spelled in ('pä"s1x', r"pä\"s1x", r"p\u00e4\"s1x"):
        assert redactor().plain(f"it is {spelled}.") == f"it is {REDACTED}."
    assert redactor().plain('"s1x u00e4"s1x u00e4') == '"s1x u00e4"s1x u00e4'


def test_a_value_of_json_is_redacted_at_every_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_PASSWORD", VALUE)
    value = {VALUE: [f"a{VALUE}", 1, None, {"b": (VALUE, True)}], "c": 2.5, "d": VALUE}
    kept = {REDACTED: [f"a{REDACTED}", 1, None, {"b": (VALUE, True)}], "c": 2.5, "d": REDACTED}
    assert redactor().value(value) == kept


def test_each_secret_is_listed_once_with_its_shape_and_without_its_surroundings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SERVICE_PASSWORD", "correct-horse-battery")
    monkeypatch.setenv("DB_PASSWORD", "hunter2")
    text = (
        f"correct-horse-battery, {SHAPES[0]}, hunter2 ghp_short eyJhbGciOiJIUzI1NiJ9 correct-horse-battery\n"
        f"postgres://me:s3cr3t!@db and https://{'0a1b' * 8}@host MY_KEY='a1b2c3d4e5f6' SORT_KEY=name {SHAPES[7]}"
    )
    environment = [("environment", "correct-horse-battery")] * 2 + [("environment", "hunter2")]
    assert list(redactor().found(text)) == [
        *environment,
        ("sk-ant-", SHAPES[0]),
        ("e2b_", SHAPES[7]),
        ("://", "s3cr3t!"),
        ("://", "0a1b" * 8),
        ("KEY", "a1b2c3d4e5f6"),
    ]
    assert list(redactor().found(redactor().plain(text))) == []
    assert redactor().suspects(text)
    assert not redactor().suspects("plain words")
    assert set(redactor().signs) >= {"correct-horse-battery", "hunter2", "sk-ant-", "KEY"}


def test_what_is_no_secret_in_a_telling_variable_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path))
    monkeypatch.setenv("MAX_TOKENS", "128000")
    monkeypatch.setenv("BYPASS_CACHE", "disabled")
    text = f"{tmp_path} holds 128000 tokens, disabled"
    assert redactor().plain(text) == text


def test_values_as_base64_in_urls_and_as_json_inside_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_PASSWORD", VALUE)
    for user in ("", "a", "ab", "abc"):
        basic = base64.b64encode(f"{user}{VALUE}!".encode()).decode()
        assert REDACTED in redactor().plain(basic)
        assert base64.b64encode(VALUE.encode()[6:12]).decode() not in redactor().plain(basic)
    assert redactor().plain("p=p%40ss%2Fword%20%22with%5C%20all%0Asorts%20%C3%BC") == f"p={REDACTED}"
    text = VALUE
    for _ in range(4):
        assert "p@ss" not in redactor().plain(text)
        text = json.dumps([text])


def test_values_with_slashes_and_as_each_kind_of_base64(monkeypatch: pytest.MonkeyPatch) -> None:
    value = "~~~/??>>/\u00ff\u00fe/~~??"
    monkeypatch.setenv("SERVICE_TOKEN", value)
    escaped = json.dumps(value).replace("/", r"\/")
    assert redactor().plain(escaped) == f'"{REDACTED}"'
    assert redactor().plain(json.dumps(value, ensure_ascii=False).replace("/", r"\/")) == f'"{REDACTED}"'
    for before in range(4):
        raw = bytes(before) + value.encode() + b"!"
        first, end = -(-8 * before // 6), 8 * (len(raw) - 1) // 6  # of the digits that hold nothing but the value
        digits = base64.b64encode(raw).decode()
        assert "/" in digits[first:end]
        assert "+" in digits[first:end]
        kept = f"{digits[:first]}{REDACTED}{digits[end:]}"
        assert redactor().plain(digits) == kept
        assert redactor().plain(digits.replace("/", r"\/")) == kept.replace("/", r"\/")
        to_url = str.maketrans("+/", "-_")
        assert redactor().plain(digits.translate(to_url)) == kept.translate(to_url)


def test_values_that_are_no_text_are_found_in_base64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_TOKEN", "any-bytes-\udcff\udcfe-1")
    assert redactor().plain(base64.b64encode(b"any-bytes-\xff\xfe-1").decode()).startswith(REDACTED)


def test_of_two_values_the_one_that_holds_the_other_is_replaced_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    values = ["horse-battery-1", "correct-horse-battery-1", "correct-horse-battery-1-staple"]
    for number, value in enumerate(values):
        monkeypatch.setenv(f"TOKEN_{number}", value)
    assert redactor().plain(" ".join(values)) == " ".join([REDACTED] * 3)


def test_the_shortest_value_that_needs_no_other_characters_than_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_1", "abcdefghijkl")
    monkeypatch.setenv("TOKEN_2", "mnopqrstuvw")
    assert redactor().plain("xabcdefghijklx mnopqrstuvw") == f"x{REDACTED}x mnopqrstuvw"


def test_items_of_json_of_urls_and_of_pem_are_no_secrets_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_CREDENTIALS", '{"type": "service-account-1", "n": 2}')
    monkeypatch.setenv("B_SECRET_URLS", "https://host-1/a, https://host-2/b")
    monkeypatch.setenv("C_KEY", PEM)
    text = 'the "service-account-1" of https://host-1/a in a -----BEGIN CERTIFICATE-----'
    assert redactor().plain(text) == text
