"""Secrets are taken out before anything is written.

Two kinds are known: values of environment variables with a telling name, and keys of a well-known shape.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

REDACTED = "[redacted]"
SHORTEST_VALUE = 12
"""Shorter values of environment variables stay: they would be found in innocent text."""

_TELLING_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$", re.IGNORECASE)
_START = r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrtbf])|(?<=\\u[0-9a-fA-F]{4}))"
_SHAPES = {
    "sk-": _START + r"sk-(?=[A-Za-z0-9_-]*[0-9])[A-Za-z0-9_-]{20,}",
    "ghp_": r"ghp_[A-Za-z0-9]{36,}",
    "gho_": r"gho_[A-Za-z0-9]{36,}",
    "ghs_": r"ghs_[A-Za-z0-9]{36,}",
    "github_pat_": r"github_pat_[A-Za-z0-9_]{22,}",
    "AKIA": _START + r"AKIA[0-9A-Z]{16}(?![0-9A-Z])",
}


class Redactor:
    """The secrets that this process knows of, as its environment is now.

    Args:
        values: of environment variables that hold a secret.
    """

    def __init__(self, values: Sequence[str]) -> None:
        spellings = set[str]()
        for value in values:
            for ascii_only in (True, False):
                spelled = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
                spellings |= {spelled, spelled.replace("/", "\\/")}
        self._signs = (*spellings, *_SHAPES)
        self._in_json = _pattern(spellings)
        self._plain = _pattern(values)

    def suspects(self, text: str) -> bool:
        """Whether JSON `text` may hold a secret; cheap, and never wrong when it says no."""
        return any(sign in text for sign in self._signs)

    def json(self, text: str) -> str:
        """Return JSON `text` without the secrets; JSON no more if half an escape sequence was taken for one."""
        return self._in_json.sub(REDACTED, text) if self.suspects(text) else text

    def plain(self, text: str) -> str:
        """Return plain `text` without the secrets."""
        return self._plain.sub(REDACTED, text)

    def value(self, value: Any) -> Any:
        """Return a JSON value with every string and key in it redacted."""
        if isinstance(value, str):
            return self.plain(value)
        if isinstance(value, Mapping):
            return {self.plain(key): self.value(item) for key, item in value.items()}
        return [self.value(item) for item in value] if isinstance(value, list) else value


def redactor() -> Redactor:
    """Return the redactor for the environment as it is now."""
    telling = (name for name in os.environ if _TELLING_NAME.search(name))
    return _compiled(tuple(value for name in telling if len(value := os.environ.get(name, "")) >= SHORTEST_VALUE))


@functools.lru_cache(maxsize=4)
def _compiled(values: tuple[str, ...]) -> Redactor:
    return Redactor(values)


def _pattern(values: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(values, key=len, reverse=True)
    return re.compile("|".join([*map(re.escape, longest_first), *_SHAPES.values()]))
