"""Keys in a known format, from any source.

Each format has a sign, a text that all its keys contain: the pattern is matched only in text with the sign.
All patterns take linear time on any text: a run of characters is consumed completely before it is
classified. They read JSON text and plain text alike, so no match crosses a quotation mark or an escape.
"""

from __future__ import annotations

import re
from collections.abc import Callable

REDACTED = "[redacted]"
SHORTEST_ASSIGNED = 12
"""Shorter values after `NAME_KEY=` are kept: `SORT_KEY=name` is no secret."""

Replace = Callable[[re.Match[str]], str]

_WORD = "[A-Za-z0-9_-]"
PASSWORD_IN_URL = r"[^\s/:@\"'\\<>{}$%*\[][^\s/@\"'\\<>{}]{2,200}"  # noqa: S105
"""Excludes placeholders such as `{password}` or `$PASS`."""


def _free(sign: str) -> str:
    """Match a sign that is not the end of a longer word; an escape sequence of JSON is no word."""
    return rf"{sign}(?:(?<!{_WORD}{sign})|(?<=\\[nrtbf]{sign})|(?<=\\u[0-9a-fA-F]{{4}}{sign}))"


def _whole(_: re.Match[str]) -> str:
    return REDACTED


def _behind(found: re.Match[str]) -> str:
    """Keep the text before the secret, in the group `before`, and the text that ends it."""
    return f"{found['before']}{REDACTED}{found['end']}"


def _jwt(found: re.Match[str]) -> str:
    return REDACTED if found["rest"] else found[0]


def _assigned(found: re.Match[str]) -> str:
    value = found["value"]
    telling = len(value) >= SHORTEST_ASSIGNED and mixed(value)
    return f"{found['before']}{REDACTED}" if telling else found[0]


def mixed(text: str) -> bool:
    """Whether a text mixes letters with other characters, unlike most words and all numbers."""
    return not text.isalpha() and any(character.isalpha() for character in text)


_PEM_LINE = r"(?:[A-Za-z0-9+/=]|\\+/){16,}+"
_PEM_HEADER = r"(?:Proc-Type|DEK-Info|Version|Comment): [^\\\n\"]{0,100}+"
_PEM_BREAK = r"(?:\s|\\+[nrt])*+"


def _urls(slashes: str) -> list[tuple[str, str, Replace]]:
    """Match the password in `scheme://user:password@host`, and a token in place of the user."""
    sign = re.escape(slashes)
    user = rf"(?P<before>{sign}[^\s/:@\"'\\<>]{{0,100}}:){PASSWORD_IN_URL}(?P<end>@)"
    return [
        (slashes, user, _behind),
        (slashes, rf"(?P<before>{sign})[A-Za-z0-9_-]{{20,200}}(?P<end>@)", _behind),
    ]


def _variable(name: str) -> tuple[str, str, Replace]:
    """Match the value in `SOME_KEY=value`, `KEYS="value"` and so on, as in a shell or a `.env` file."""
    before = rf"(?P<before>{name}[A-Z0-9_]{{0,40}}=(?:\\*[\"'])?)"
    return name, before + r"(?P<value>[A-Za-z0-9_+/=.~%!@#^*:-]+)", _assigned


def _parameter(name: str) -> tuple[str, str, Replace]:
    """Match the value in `?key=value`, `&access_token=value`, `AccountKey=value` and so on."""
    start = rf"(?<=[?&;_-]{name}=)" if name.islower() else rf"(?<=[a-z?&;_-]{name}=)"
    before = rf"(?P<before>{name}={start})"
    return f"{name}=", before + r"(?P<value>[A-Za-z0-9_+/=.~%-]+)", _assigned


_PATTERNS: list[tuple[str, str, Replace]] = [
    ("sk-ant-", r"sk-ant-[A-Za-z0-9_-]{16,}", _whole),
    ("sk-", _free("sk-") + r"(?=[A-Za-z_-]*+[0-9])[A-Za-z0-9_-]{20,}", _whole),
    *((sign, rf"{sign}[0-9a-zA-Z]{{16,}}", _whole) for sign in ("sk_live_", "rk_live_")),
    ("AIza", r"AIza[0-9A-Za-z_-]{35}", _whole),
    ("GOCSPX-", r"GOCSPX-[0-9A-Za-z_-]{20,}", _whole),
    ("ya29.", r"ya29\.[0-9A-Za-z_.-]{20,}", _whole),
    ("hf_", r"hf_[A-Za-z0-9]{30,}", _whole),
    ("gsk_", r"gsk_[A-Za-z0-9]{40,}", _whole),
    ("xai-", _free("xai-") + r"[A-Za-z0-9]{40,}", _whole),
    ("r8_", r"r8_[A-Za-z0-9]{30,}", _whole),
    ("nvapi-", r"nvapi-[A-Za-z0-9_-]{40,}", _whole),
    ("e2b_", r"e2b_[0-9a-f]{32,}", _whole),
    ("dtn_", r"dtn_[0-9a-f]{32,}", _whole),
    ("dapi", r"dapi[0-9a-f]{32}", _whole),
    *((sign, rf"{sign}[A-Za-z0-9]{{36,}}", _whole) for sign in ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
    ("github_pat_", r"github_pat_[A-Za-z0-9_]{22,}", _whole),
    ("glpat-", r"glpat-[A-Za-z0-9_.-]{20,}", _whole),
    *(
        (sign, rf"{_free(sign)}(?=[A-Za-z_-]*+[0-9])[A-Za-z0-9_-]{{20,}}", _whole)
        for sign in ("gldt-", "glft-", "glsoat-", "glrt-", "glcbt-", "glimt-", "glptt-", "glagent-", "gloas-")
    ),
    ("dckr_pat_", r"dckr_pat_[A-Za-z0-9_-]{20,}", _whole),
    ("dckr_oat_", r"dckr_oat_[A-Za-z0-9_-]{20,}", _whole),
    ("npm_", r"npm_[A-Za-z0-9]{36}", _whole),
    ("pypi-AgE", r"pypi-AgE[A-Za-z0-9_-]{50,}", _whole),
    ("SG.", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}", _whole),
    ("xox", r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}", _whole),
    ("sq0", r"sq0(?:csp|atp|idp)-[0-9A-Za-z_-]{22,}", _whole),
    ("xapp-", r"xapp-[0-9]-[A-Za-z0-9-]{10,}", _whole),
    ("hooks.slack.com", r"hooks\.slack\.com/services/[A-Za-z0-9_/]{20,}", _whole),
    ("AKIA", r"AKIA[0-9A-Z]{16}", _whole),
    *((sign, rf"{sign}(?=[A-Z]{{0,15}}[0-9])[0-9A-Z]{{16}}", _whole) for sign in ("ASIA", "ABIA", "ACCA")),
    ("eyJ", rf"eyJ{_WORD}{{8,}}+(?P<rest>\.{_WORD}{{8,}}+\.{_WORD}*+)?+", _jwt),
    (
        "PRIVATE KEY",
        rf"-----BEGIN [A-Z0-9 ]{{0,40}}PRIVATE KEY(?: BLOCK)?-----(?:{_PEM_BREAK}{_PEM_HEADER})*+"
        rf"(?:{_PEM_BREAK}{_PEM_LINE})++{_PEM_BREAK}[A-Za-z0-9+/=]*+"
        rf"(?:{_PEM_BREAK}-----END [A-Z0-9 ]{{0,40}}PRIVATE KEY(?: BLOCK)?-----)?",
        _whole,
    ),
    *_urls("://"),
    *_urls(":\\/\\/"),
    *map(_variable, ("KEY", "TOKEN", "SECRET", "PASS", "CREDENTIAL")),
    *map(
        _parameter, ("key", "Key", "token", "Token", "secret", "Secret", "password", "sig", "Signature", "Credential")
    ),
]

SHAPES: tuple[tuple[str, str, Replace], ...] = tuple(_PATTERNS)
"""Sign, pattern, and the replacement of a match; `re` compiles a pattern when its sign first occurs."""
