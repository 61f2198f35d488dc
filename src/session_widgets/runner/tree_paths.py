"""Paths and conditions in requests for `/v1/tree`."""

from __future__ import annotations

import os

from session_widgets.host.manifest import Entry
from session_widgets.host.tar_stream import NOTHING
from session_widgets.runner.problems import invalid

MAX_PATH_BYTES = 4096


def seen_of(text: str) -> Entry | None:
    """Read what may be replaced: "nothing", or size and modification time, "12.1700000000000000000"."""
    if text == NOTHING:
        return None
    size, _, time = text.partition(".")
    return Entry("", "file", number_of(size), 0, number_of(time), "")


def number_of(text: str) -> int:
    """Read a whole number."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 19:
        raise invalid(f"a whole number was expected: {text!r:.40}")
    return int(text)


def check_path(path: str) -> str:
    """Return a relative path in normal form; raise `Problem` for any other."""
    parts = path.split("/")
    if "\0" in path or any(part in ("", ".", "..") for part in parts) or len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise invalid(f"invalid relative path: {path!r:.200}")
    return path
