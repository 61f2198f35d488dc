"""The fast search for signs of secrets finds exactly those that the redactor knows."""

from __future__ import annotations

import random

import pytest

from session_widgets._store.importing import secrets
from session_widgets._store.importing.secrets import SecretFinder
from session_widgets._store.redaction import Redactor


@pytest.mark.parametrize("many", [0, 2_000])
def test_it_finds_every_sign_at_every_place_and_no_other(monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    monkeypatch.setattr(secrets, "MANY", many)
    redactor = Redactor(["päss wörd with spaces 1", "ab3"])
    finder = SecretFinder(redactor, replace=False)
    chance = random.Random(1)
    signs = list(redactor.signs)
    letters = "".join(signs) + " \n"
    for length in (0, 1, 2, 3, 5, 400):
        for _ in range(100):
            text = "".join(chance.choices(letters, k=length))
            for sign in chance.sample(signs, 2) if length > 50 else ():
                place = chance.randrange(length)
                text = text[:place] + sign + text[place:]
            expected = {sign for sign in signs if sign in text}
            assert {sign.decode() for sign in finder.signs_in(text.encode())} == expected
    for sign in signs:
        assert sign in {found.decode() for found in finder.signs_in(f"x{sign}".encode())}
        assert sign in {found.decode() for found in finder.signs_in(sign.encode())}
