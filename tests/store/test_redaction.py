"""Planted secrets never reach the file."""

from __future__ import annotations

import json
import random
import re
import time
from dataclasses import replace
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
from tests.store.planted import MORE_SHAPES, PEM, SHAPES, VALUE
from tests.support.drafts import chunk, note, opened, update

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
