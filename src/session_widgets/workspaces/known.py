"""What both sides were last known to have in common: without it nobody can tell an edit from a deletion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from session_widgets.host.daemon import read_json, write_private
from session_widgets.host.manifest import Entry
from session_widgets.workspaces.bucket import ObjectInfo


@dataclass(frozen=True, slots=True)
class Known:
    """An entry as it was when both sides had it, and its object.

    Attributes:
        etag: of the object; a change of its metadata alone leaves it the same.
        modified: when the object was stored, in seconds; 0 until a listing has told it.
    """

    entry: Entry
    etag: str
    modified: float = 0

    def is_still(self, info: ObjectInfo) -> bool:
        """Whether the object is the one that was known."""
        return info.etag == self.etag and self.modified in {0, info.modified.timestamp()}


def signature(entry: Entry | None) -> tuple[str, str, int] | None:
    """Return what makes two entries the same to a person: kind, content, and whether it can be run."""
    return None if entry is None else (entry.kind, entry.md5, entry.mode if entry.kind == "file" else 0)


def load(file: Path) -> dict[str, Known]:
    """Read what `save` wrote; nothing is known where there is nothing."""
    rows = (read_json(file) or {}).get("known", ())
    return {row[0]: Known(Entry(*row[:7]), *row[7:]) for row in rows}


def save(file: Path, known: dict[str, Known]) -> None:
    """Write it down, atomically."""
    rows = [
        [e.path, e.kind, e.size, e.mode, e.mtime_ns, e.md5, e.stamp, one.etag, one.modified]
        for one in known.values()
        for e in [one.entry]
    ]
    write_private(file, {"known": rows})


def version(file: Path) -> tuple[int, int] | None:
    """Return what changes whenever somebody saves."""
    try:
        info = file.stat()
    except FileNotFoundError:
        return None
    return info.st_mtime_ns, info.st_ino
