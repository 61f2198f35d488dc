"""Text of agents, made safe to print."""

from __future__ import annotations

import re

_UNSAFE = re.compile(
    "\r\n?"  # a lone carriage return would overwrite the line
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # C0 without tab and newline, DEL, C1
    "|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # direction marks, overrides and isolates
    "|[\u2028\u2029\ufeff\U000e0000-\U000e007f]"  # separators, byte order mark, invisible tags
    "|[\ud800-\udfff]"  # halves of a surrogate pair
)


def printable(text: str) -> str:
    """Return `text` with every character that could steer a terminal, or hide text in it, drawn instead.

    Newlines and tabs stay. Escape becomes ␛, a right-to-left override ⟨U+202E⟩.
    """
    return _UNSAFE.sub(_draw, text)


def one_line(text: str, width: int = 200) -> str:
    """Return `text` printable, on one line, and cut to `width` characters."""
    line = " ".join(printable(text[: width * 8]).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def _draw(match: re.Match[str]) -> str:
    found = match.group()
    if found == "\r\n":
        return "\n"
    code = ord(found)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"
