"""Removes secrets before anything is written.

There are two kinds: values of environment variables with a matching name, or in the URL of any variable, and keys in a
known format. `redactor().plain(text)` and `.value(value)` are for text that is shown outside the store:
a secret that an agent streams in pieces is redacted where the pieces are joined.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from session_widgets._store.secret_shapes import PASSWORD_IN_URL, REDACTED, SHAPES, Replace, mixed

__all__ = ["REDACTED", "Redactor", "redactor"]

SHORTEST_VALUE = 12
"""Shorter values are replaced only as separate words that mix letters with other characters."""
SHORTEST_WORD = 6
"""Even shorter values are kept: they would match innocent text."""
DEPTH = 3
"""Levels of JSON inside of JSON in which a secret is found."""

_TELLING_NAME = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL", re.IGNORECASE)
_URL_SECRET = re.compile(rf"://[^\s/:@]{{0,100}}:({PASSWORD_IN_URL})@")
_WORD_START = r"(?:(?<![A-Za-z0-9_]{0})|(?<=\\[nrtbf]{0})|(?<=\\u[0-9a-fA-F]{{4}}{0}))"


class Redactor:
    """The secrets in this process's environment.

    Args:
        values: of environment variables with a secret.
    """

    def __init__(self, values: Sequence[str]) -> None:
        longest_first = sorted(set(values), key=len, reverse=True)
        spellings = [each for value in longest_first if len(value) >= SHORTEST_VALUE for each in _spellings(value)]
        self._spellings = tuple(dict.fromkeys(each for each in spellings if each not in REDACTED))
        short = [value for value in longest_first if SHORTEST_WORD <= len(value) < SHORTEST_VALUE]
        self._words = tuple(rule for value in short for rule in _word_rules(value))
        self._rules: tuple[tuple[str, str | re.Pattern[str], Replace], ...] = (*self._words, *SHAPES)
        self._signs = tuple(dict.fromkeys([*self._spellings, *(sign for sign, _, _ in self._rules)]))

    def suspects(self, text: str) -> bool:
        """Whether `text` may contain a secret; cheap, and never wrong when false."""
        return any(sign in text for sign in self._signs)

    @property
    def signs(self) -> tuple[str, ...]:
        """Texts of which each secret has one."""
        return self._signs

    def plain(self, text: str, signs: Collection[str] | None = None) -> str:
        """Return `text` without the secrets.

        Args:
            text: that may have some.
            signs: those of `signs` that it has, if they are known.
        """
        has = text.__contains__ if signs is None else signs.__contains__
        for spelling in self._spellings:
            if has(spelling):
                text = text.replace(spelling, REDACTED)
        for sign, pattern, replace in self._rules:
            if has(sign):
                text = re.sub(pattern, replace, text)
        return text

    def found(self, text: str) -> Iterator[tuple[str, str]]:
        """Yield each secret in `text`, after its shape: the sign of its format, or "environment"."""
        for spelling in self._spellings:
            yield from [("environment", spelling)] * text.count(spelling)
            text = text.replace(spelling, REDACTED)
        for number, (sign, pattern, replace) in enumerate(self._rules):
            if sign not in text:
                continue
            shape = "environment" if number < len(self._words) else sign  # the sign of a word is the secret itself
            for match in re.finditer(pattern, text):
                if replace(match) != match[0]:
                    named = match.groupdict()
                    yield shape, match[0].removeprefix(named.get("before", "")).removesuffix(named.get("end", ""))
            text = re.sub(pattern, replace, text)

    def value(self, value: Any) -> Any:
        """Return a JSON value with every string and key redacted."""
        if isinstance(value, str):
            return self.plain(value)
        if isinstance(value, Mapping):
            return {self.plain(key): self.value(item) for key, item in value.items()}
        return [self.value(item) for item in value] if isinstance(value, list) else value


def redactor() -> Redactor:
    """Return the redactor for the current environment."""
    return _compiled(tuple(_telling(os.environ)))


def _telling(environment: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    """Yield the values with a secret: True if the whole value is secret, else only the password of its URL."""
    for name, value in environment.items():
        if _TELLING_NAME.search(name):
            yield value, True
        elif "://" in value:
            yield value, False


@functools.lru_cache(maxsize=4)
def _compiled(values: tuple[tuple[str, bool], ...]) -> Redactor:
    return Redactor([secret for value, whole in values for secret in _secrets(value, whole=whole)])


def _secrets(value: str, *, whole: bool) -> Iterator[str]:
    """Yield the secrets in the value of a variable: the value, each item of a list, the password of a URL."""
    for password in _URL_SECRET.findall(value):
        yield from (each for each in (password, unquote(password)) if _is_secret(each))
    if whole and not (value.startswith("/") and os.path.lexists(value)):
        if len(value) >= SHORTEST_VALUE or _is_secret(value):
            yield value
        if not any(sign in value for sign in ('"', "://", "-----")):
            yield from (part for part in re.split(r"[\s,;]+", value) if _is_secret(part))


def _is_secret(value: str) -> bool:
    return len(value) >= SHORTEST_WORD and mixed(value)


def _spellings(value: str) -> Iterator[str]:
    """Yield the forms of a value in text: plain, as JSON (in JSON), in a URL, in base64."""
    for ascii_only in (True, False):
        spelled = value
        for _ in range(DEPTH + 1):
            yield from (spelled, spelled.replace("/", "\\/"))
            spelled = json.dumps(spelled, ensure_ascii=ascii_only)[1:-1]
    raw = value.encode(errors="surrogateescape")
    yield from (quote(raw, safe=""), quote(raw), quote_plus(raw))
    for before in range(3):  # preceding bytes shift the base64 digits
        first, end = (0, 2, 3)[before], (before + len(raw)) * 8 // 6
        digits = base64.b64encode(bytes(before) + raw).decode()[first:end]
        yield from (digits, digits.replace("/", "\\/"), digits.translate(str.maketrans("+/", "-_")))


def _word_rules(value: str) -> Iterator[tuple[str, re.Pattern[str], Replace]]:
    """Yield the rules for a short value: only as a separate word."""
    for spelled in dict.fromkeys((value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])):
        sign = re.escape(spelled)
        yield spelled, re.compile(sign + _WORD_START.format(sign) + r"(?![A-Za-z0-9_])"), lambda _: REDACTED
