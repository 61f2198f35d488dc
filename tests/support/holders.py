"""Where a text is on the disk."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def holders(place: Path, text: str) -> list[Path]:
    """Return the files below a directory that contain a text, but for those that somebody removes meanwhile."""
    found = []
    for path in place.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file() and text.encode() in path.read_bytes():
                found.append(path)
    return found
