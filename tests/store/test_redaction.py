"""Planted secrets never reach the file."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from session_widgets.store.database import Store
from session_widgets.store.redaction import REDACTED, redactor

from .drafting import chunk, note, opened, update

VALUE = 'p@ss/word "with\\ all\nsorts ü'
SHAPES = [
    "sk-ant-api03-" + "aB3" * 12,
    "sk-proj-" + "x9Y" * 12,
    "ghp_" + "a1B2" * 9,
    "github_pat_" + "11ABC" * 6,
    "AKIAIOSFODNN7EXAMPLE",
]
INNOCENT = ["risk-assessment-of-the-2024-season-report", "task-1234567890123456789012", "sk-short-1", "monkey"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("around", ["{}", "key={} end", "line\n{}\nline", 'say "{}"', "tab\t{}", "\u2028{}"])
def test_keys_of_a_known_shape_are_replaced(store: Store, shape: str, around: str) -> None:
    text = around.format(shape)
    (event,) = store.append("s", [chunk(1, text)])
    kept = event.payload["params"]["update"]["content"]["text"]
    assert kept == around.format(REDACTED)
    assert shape not in store.sql("select payload from v_events").fetchall()[0][0]


@pytest.mark.parametrize("text", INNOCENT)
def test_innocent_text_stays(text: str) -> None:
    assert redactor().json(text) == redactor().plain(text) == text


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
    assert b"with" not in stored
    assert b"p@ss" not in stored


def test_a_secret_in_pieces_does_not_stand_joined_in_a_step(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_API_KEY", "correct-horse-battery")
    store.append("s", [opened(), chunk(1, "it is correct-ho"), chunk(2, "rse-battery, see")])
    store.append("s", [note("turn_ended", 2, turn=1, status="completed")])
    assert [step.text for step in store.steps("s")] == [f"it is {REDACTED}, see"]
    assert store.turns("s")[0].text == f"it is {REDACTED}, see"


def test_json_stays_json_whatever_the_secret_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(3)
    letters = 'nrtbfu"\\/ax0\n\té'
    for number in range(1, 150):
        secret = "".join(chance.choice(letters) for _ in range(12))
        monkeypatch.setenv("SOME_KEY", secret)
        text = "".join(chance.choice(letters) for _ in range(3)) + secret + chance.choice(letters)
        (event,) = store.append("s", [chunk(number, text)])
        kept = event.payload["params"]["update"]["content"]["text"]
        assert REDACTED in kept
        assert secret not in kept
