"""Planted secrets never reach the file."""

from __future__ import annotations

import base64
import json
import random
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from detect_secrets.plugins import (
    aws,
    azure_storage_key,
    basic_auth,
    github_token,
    gitlab_token,
    jwt,
    npm,
    openai,
    private_key,
    pypi_token,
    sendgrid,
    slack,
    square_oauth,
    stripe,
)

from session_widgets._store import secret_shapes
from session_widgets._store.database import Store
from session_widgets._store.payload import clean
from session_widgets._store.redaction import REDACTED, redactor
from tests.support.drafts import chunk, note, opened, update

VALUE = 'p@ss/word "with\\ all\nsorts ü'
PEM = "\n".join(
    ["-----BEGIN OPENSSH PRIVATE KEY-----", *["b3BlbnNzaC1r" * 5] * 9, "ab==", "-----END OPENSSH PRIVATE KEY-----"]
)
SHAPES = [
    "sk-ant-api03-" + "aB3" * 12,
    "sk-ant-" + "abcdefgh" * 4,
    "sk-proj-" + "x9Y" * 12,
    "sk-" + "a1B2c" * 4 + "T3BlbkFJ" + "d3E4f" * 4,
    "AIza" + "SyD-9tSr_" * 3 + "abcdefgh",
    "hf_" + "aBcDeFgH" * 4 + "ij",
    "gsk_" + "aB3d" * 13,
    "e2b_" + "0a1b" * 10,
    "dtn_" + "0a1b" * 16,
    *(f"gh{kind}_" + "a1B2" * 9 for kind in "pousr"),
    "github_pat_" + "11ABC" * 6,
    "glpat-" + "x1-Y_" * 4,
    "glrt-" + "x1-Y_" * 4,
    "dckr_pat_" + "aB3_-" * 5,
    "npm_" + "aB3d" * 9,
    "pypi-AgEIcHlwaS5vcmc" + "aB3_-" * 15,
    "SG." + "aB3_-x" * 3 + "abcd." + "aB3_-x" * 7 + "z",
    "xoxb-1234567890-1234567890-" + "aB3d" * 6,
    "xapp-1-A012-" + "a1b2" * 8,
    "sk_live_" + "a1B2" * 6,
    "sq0csp-" + "a1B2-" * 8 + "a1B",
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    PEM,
    PEM.partition("-----END")[0].rstrip(),
]
MORE_SHAPES = [
    "rk_live_" + "a1B2" * 6,
    "GOCSPX-" + "a1B2-" * 6,
    "ya29." + "a0Af_b-C." * 4,
    "xai-" + "aB3d" * 20,
    "r8_" + "aB3" * 12,
    "nvapi-" + "aB3_-" * 12,
    "dapi" + "0a1b" * 8,
    *(f"gl{kind}-" + "x1-Y_" * 4 for kind in ("dt", "ft", "soat", "cbt", "imt", "ptt", "agent", "oas")),
    "dckr_oat_" + "aB3_-" * 5,
    "hooks.slack.com/services/T012ABCDE/B012ABCDE/" + "a1B2" * 6,
    "ABIAIOSFODNN7EXAMPLE",
    "ACCAIOSFODNN7EXAMPLE",
]
"""Of vendors that the others resemble."""
INNOCENT = [
    "risk-assessment-of-the-2024-season-report",
    "task-1234567890123456789012",
    "sk-short-1",
    "monkey ?monkey=a1b2c3d4e5f6g7&x=1",
    "a key=value pair, sorted(rows, key=some_function_of_2_rows)",
    "MAX_TOKENS=200000 SORT_KEY=name PASS=12 TOKENIZER=AutoTokenizer",
    'API_KEY = os.environ["API_KEY"]; KEY=$OTHER_KEY; KEYS={a1b2c3d4e5f6g7h8}',
    "postgres://{user}:{password}@{host}/db and postgres://$USER:$PASS@host",
    "git@github.com:owner/name.git https://user@example.org/x?page=2 ssh://git@host:22/repo",
    'if "-----BEGIN RSA PRIVATE KEY-----" in text: pass',
    "-----BEGIN PUBLIC KEY-----\n" + "A" * 64 + "\n-----END PUBLIC KEY-----",
    "eyJhbGciOiJIUzI1NiJ9 alone, hf_hub_download, xoxo, AKIA, ghp_, ASIAPACIFICREGIONOFFICE",
]


AROUND = ["{}", "key={} end", "line\n{}\nline", 'say "{}"', "tab\t{}", "\u2028{}"]


@pytest.mark.parametrize("around", AROUND)
def test_keys_of_a_known_shape_are_replaced(around: str) -> None:
    texts, kept = [around.replace("{}", shape) for shape in SHAPES], around.replace("{}", REDACTED)
    assert [redactor().plain(text) for text in texts] == [kept] * len(SHAPES)
    assert [json.loads(redactor().plain(json.dumps(text))) for text in texts] == [kept] * len(SHAPES)


def test_keys_of_a_known_shape_are_not_in_the_store(store: Store) -> None:
    texts = [around.replace("{}", shape) for around in AROUND for shape in SHAPES]
    events = store.append("s", [chunk(number, text) for number, text in enumerate(texts, 1)])
    kept = [event.payload["params"]["update"]["content"]["text"] for event in events]
    assert kept == [around.replace("{}", REDACTED) for around in AROUND for _ in SHAPES]
    stored = "\n".join(text for (text,) in store.sql("select payload from v_events").fetchall())
    assert [shape for shape in SHAPES if json.dumps(shape)[1:-1] in stored] == []


def test_keys_of_more_vendors_are_replaced_whole() -> None:
    kept = [redactor().plain(f"see {shape}, there") for shape in MORE_SHAPES]
    assert kept == [f"see {REDACTED}, there"] * len(MORE_SHAPES)


def test_innocent_text_stays() -> None:
    assert [redactor().plain(text) for text in INNOCENT] == INNOCENT


@pytest.mark.parametrize("ascii_only", [True, False])
def test_values_of_telling_variables_are_replaced_everywhere(
    store: Store, monkeypatch: pytest.MonkeyPatch, ascii_only: bool
) -> None:
    monkeypatch.setenv("MY_SERVICE_PASSWORD", VALUE)
    monkeypatch.setenv("SOME_TOKEN", "short")
    tool = {"toolCallId": "t", "title": f"run {VALUE}", "rawInput": {VALUE: [VALUE, "short"]}, "status": "completed"}
    draft = update("tool_call", 1, **tool)
    store.append("s", [replace(draft, payload=json.dumps(json.loads(draft.payload), ensure_ascii=ascii_only))])
    (step,) = store.steps("s")
    assert (step.title, step.raw_input) == (f"run {REDACTED}", {REDACTED: [REDACTED, "short"]})
    store.close()
    stored = store.path.read_bytes()
    assert b"sorts" not in stored
    assert b"p@ss" not in stored


def test_a_secret_in_pieces_does_not_stand_joined_in_a_step(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_API_KEY", "correct-horse-battery")
    store.append("s", [opened(), chunk(1, "it is correct-ho"), chunk(2, "rse-battery, see")])
    store.append("s", [note("turn_ended", 2, turn=1, status="completed")])
    assert [step.text for step in store.steps("s")] == [f"it is {REDACTED}, see"]
    assert store.turns("s")[0].text == f"it is {REDACTED}, see"


def test_json_stays_json_whatever_the_secret_is(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(3)
    letters = 'nrtbfu"\\/ax0\n\té'
    for number in range(1, 150):
        secret = "".join(chance.choice(letters) for _ in range(12))
        monkeypatch.setenv("SOME_KEY", secret)
        text = "".join(chance.choice(letters) for _ in range(3)) + secret + chance.choice(letters)
        ((payload, value),) = clean([chunk(number, text).payload])
        assert json.loads(payload) == value
        kept = value["params"]["update"]["content"]["text"]
        assert REDACTED in kept
        assert secret not in kept


@pytest.mark.parametrize("shape", ["AKIAIOSFODNN7EXAMPLE", SHAPES[0], SHAPES[9], "glpat-" + "x1Y2" * 6, PEM])
def test_a_key_is_found_glued_to_a_letter_and_as_json_inside_of_json(shape: str) -> None:
    text = f"x{shape}"
    for _ in range(4):
        assert f"x{REDACTED}" in redactor().plain(text)
        assert shape[8:40] not in redactor().plain(text)
        text = json.dumps({"text": text})


IN_CONTEXT = [
    ("postgres://me:s3cr3t!@db:5432/x", "postgres://me:[redacted]@db:5432/x"),
    (r'{"url":"https:\/\/me:s3cr3t@host\/x"}', r'{"url":"https:\/\/me:[redacted]@host\/x"}'),
    ("redis://:s3cr3t@host", "redis://:[redacted]@host"),
    ("https://" + "0a1b2c3d" * 5 + "@github.com/x", "https://[redacted]@github.com/x"),
    ("https://x.org/?page=2&access_token=a1b2c3d4e5f6g7#top", "https://x.org/?page=2&access_token=[redacted]#top"),
    ("https://s3/x?X-Amz-Signature=" + "0a1b" * 16, "https://s3/x?X-Amz-Signature=[redacted]"),
    ("AccountName=a;AccountKey=" + "aB3/" * 21 + "aB==;End=x", "AccountName=a;AccountKey=[redacted];End=x"),
    ("export MY_API_KEYS='a1b2c3d4e5f6g7'\n", "export MY_API_KEYS='[redacted]'\n"),
    (r'"DB_PASSWORD_PROD=\"a1b2c3d4e5f6g7\"\nX=1"', r'"DB_PASSWORD_PROD=\"[redacted]\"\nX=1"'),
    *((f"{name}_2=a1b2c3d4e5f6", f"{name}_2=[redacted]") for name in ("TOKEN", "SECRET", "PASS", "CREDENTIAL")),
    *(
        (f"?page=2&{name}=a1b2c3d4e5f6&x=1", f"?page=2&{name}=[redacted]&x=1")
        for name in ("key", "secret", "password", "sig", "authToken", "clientSecret", "X-Goog-Credential")
    ),
    (r'"https:\/\/' + "0a1b2c3d" * 5 + r'@github.com\/x"', r'"https:\/\/[redacted]@github.com\/x"'),
]


@pytest.mark.parametrize(("text", "kept"), IN_CONTEXT)
def test_what_a_url_or_a_line_of_an_environment_holds_is_replaced_and_the_rest_stays(text: str, kept: str) -> None:
    assert redactor().plain(text) == kept
    assert redactor().plain(kept) == kept, "and once is enough"


def test_every_shape_has_an_example() -> None:
    examples = [*SHAPES, *MORE_SHAPES, *(text for text, _ in IN_CONTEXT)]

    def matches(sign: str, pattern: str, replacement: secret_shapes.Replace) -> bool:
        return any(sign in text and re.sub(pattern, replacement, text) != text for text in examples)

    assert [rule[1] for rule in secret_shapes.SHAPES if not matches(*rule)] == []


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


HOSTILE = [
    *(
        "eyJ",
        "eyJaaaaaaaaaa.",
        "sk-",
        "\\nsk-a",
        "://a:",
        "://",
        "-----BEGIN RSA PRIVATE KEY-----",
        "KEY",
        "KEY=",
        "PASS=\\",
    ),
    *(
        "token=",
        "&token=a",
        "hf_",
        "ASIA",
        "AKIA",
        "xoxb-",
        "KEY_",
        "SG.",
        "SG.aaaaaaaaaaaaaaaaaaaaaa.",
        "a",
        "\\",
        "A",
        "glrt-",
    ),
]


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("head", ["", "://a:", "sk-", "eyJ", "KEY=", "PASS=", "-----BEGIN RSA PRIVATE KEY-----\n"])
def test_the_time_grows_with_the_length_alone(piece: str, head: str) -> None:
    text = head + piece * (400_000 // len(piece))
    begin = time.process_time()
    redactor().plain(text)
    assert time.process_time() - begin < 2, "it is 30 ms; in quadratic time it would be minutes"


DETECTORS = [
    aws.AWSKeyDetector(),
    azure_storage_key.AzureStorageKeyDetector(),
    basic_auth.BasicAuthDetector(),
    github_token.GitHubTokenDetector(),
    gitlab_token.GitLabTokenDetector(),
    jwt.JwtTokenDetector(),
    npm.NpmDetector(),
    openai.OpenAIDetector(),
    private_key.PrivateKeyDetector(),
    pypi_token.PypiTokenDetector(),
    sendgrid.SendGridDetector(),
    slack.SlackDetector(),
    square_oauth.SquareOAuthDetector(),
    stripe.StripeDetector(),
]
"""Of detect-secrets, what knows keys by a text that all of a kind hold; the others guess from names and from chance."""


def test_what_detect_secrets_finds_is_not_there_any_more() -> None:
    corpus = [
        *(f"see {shape} there" for shape in SHAPES),
        "AccountKey=" + "aB3/" * 21 + "aB3=",
        "see postgres://me:s3cr3t@host",
        "//packages.example/:_authToken=npm_" + "aB3d" * 9,
        "https://hooks.slack.com/services/T012ABCDE/B012ABCDE/" + "a1B2" * 6,
    ]
    found = [text for text in corpus if any(_finds(detector, text) for detector in DETECTORS)]
    assert len(found) >= 22
    assert [text for text in found if any(_finds(detector, redactor().plain(text)) for detector in DETECTORS)] == []


def _finds(detector: Any, text: str) -> bool:
    return any(list(detector.analyze_string(line)) for line in text.splitlines())
