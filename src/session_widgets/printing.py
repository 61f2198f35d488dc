"""Makes text of agents safe to print."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

_UNSAFE = re.compile(
    "\r\n?"  # a lone carriage return would overwrite the line
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # C0 without tab and newline, DEL, C1
    "|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # direction marks, overrides and isolates
    "|[\u2028\u2029\ufeff\U000e0000-\U000e007f]"  # separators, byte order mark, invisible tags
    "|[\ud800-\udfff]"  # halves of a surrogate pair
)


def printable(text: str) -> str:
    """Return `text` with a visible replacement for every character that could control a terminal or hide text.

    Newlines and tabs stay. Escape becomes ␛, a right-to-left override ⟨U+202E⟩.
    """
    return _UNSAFE.sub(_draw, text)


def one_line(text: str, width: int = 200) -> str:
    """Return `text` printable, on one line, and cut to `width` characters."""
    line = " ".join(printable(text[: width * 8]).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def plural(count: int, noun: str) -> str:
    """Return "1 file", "2,500 files", "3 entries"."""
    many = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else many}"


def text_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of printable cells below their headings, in columns as wide as they need."""
    table = [columns, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(columns))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
    return "\n".join(line.rstrip() for line in lines)


def html_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: bool = False) -> str:
    """Return the same as HTML; `left`: cells of words begin on one line, where notebooks align all to the right."""
    style = ' style="text-align:left;vertical-align:top"' if left else ""
    head = "".join(f"<th{style}>{escape(name)}</th>" for name in columns)
    cells = ("".join(f"<td{style}>{escape(cell)}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _draw(match: re.Match[str]) -> str:
    found = match.group()
    if found == "\r\n":
        return "\n"
    code = ord(found)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"
