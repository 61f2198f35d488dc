"""Secrets are taken out before anything is written.

Two kinds are known: values of environment variables with a telling name, and keys of a well-known shape.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Mapping
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


def redact(text: str) -> str:
    """Return `text`, plain or JSON, without the secrets that this process knows of."""
    signs, pattern = _compiled(_secret_values())
    if not any(sign in text for sign in signs):
        return text
    return pattern.sub(REDACTED, text)


def redact_value(value: Any) -> Any:
    """Return a JSON value with every string and key in it redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(key): redact_value(item) for key, item in value.items()}
    return [redact_value(item) for item in value] if isinstance(value, list) else value


def _secret_values() -> tuple[str, ...]:
    return tuple(
        value for name, value in os.environ.items() if len(value) >= SHORTEST_VALUE and _TELLING_NAME.search(name)
    )


@functools.lru_cache(maxsize=4)
def _compiled(values: tuple[str, ...]) -> tuple[tuple[str, ...], re.Pattern[str]]:
    """Return what to look for first (cheap), and the pattern of what to replace."""
    spellings = set[str]()
    for value in values:
        for ascii_only in (True, False):
            spelled = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
            spellings |= {spelled, spelled.replace("/", "\\/")}
    longest_first = sorted(spellings, key=len, reverse=True)
    pattern = "|".join([*map(re.escape, longest_first), *_SHAPES.values()])
    return (*longest_first, *_SHAPES), re.compile(pattern)
