"""The last common state of both sides: it distinguishes an edit from a deletion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from session_widgets.host.daemon import read_json, write_private
from session_widgets.host.manifest import Entry
from session_widgets.workspaces.objects import ObjectInfo

Root = tuple[int, int] | None
"""Identity of the directory (`Manifest.root`), if it may be another one each time."""


@dataclass(frozen=True, slots=True)
class SyncBase:
    """An entry of the last common state, with its object.

    Attributes:
        etag: of the object; a change of its metadata alone does not change it.
        modified: when the object was stored, in seconds; 0 until a listing reports it.
    """

    entry: Entry
    etag: str
    modified: float = 0

    def is_still(self, info: ObjectInfo) -> bool:
        """Whether the object is still the known one."""
        mode = info.mode is None or self.entry.kind != "file" or info.mode == self.entry.mode & 0o777
        return info.etag == self.etag and self.modified in {0, info.modified.timestamp()} and mode


def signature(entry: Entry | None) -> tuple[str, str, int] | None:
    """Return the parts of an entry that matter to a person: kind, content, and whether it is executable."""
    return None if entry is None else (entry.kind, entry.md5, entry.mode if entry.kind == "file" else 0)


def load(file: Path, root: Root = None) -> dict[str, SyncBase]:
    """Read the result of `save`; empty if the file is missing, or is that of another directory than `root`."""
    kept = read_json(file) or {}
    rows = kept.get("known", ()) if kept.get("root") == (None if root is None else list(root)) else ()
    return {row[0]: SyncBase(Entry(*row[:7]), *row[7:]) for row in rows}


def save(file: Path, known: dict[str, SyncBase], root: Root = None) -> None:
    """Save it, atomically."""
    rows = [
        [e.path, e.kind, e.size, e.mode, e.mtime_ns, e.md5, e.stamp, one.etag, one.modified]
        for one in known.values()
        for e in [one.entry]
    ]
    write_private(file, {"root": root, "known": rows})


def version(file: Path) -> tuple[int, int] | None:
    """Return the file's version (mtime, inode)."""
    try:
        info = file.stat()
    except FileNotFoundError:
        return None
    return info.st_mtime_ns, info.st_ino
