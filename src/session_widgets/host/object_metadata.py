"""What the metadata of an object say about the file that it is: mode and time, in the form of s3fs."""

from __future__ import annotations

import stat
from collections.abc import Mapping

from session_widgets.host.manifest import Entry

MAX_LINK = 4095
"""Bytes of a link's target (Linux)."""
_GREATEST = 1 << 33
"""Limits of a mode, and of a time in seconds."""
_TYPES = {"file": stat.S_IFREG, "link": stat.S_IFLNK, "directory": stat.S_IFDIR}


def metadata_of(entry: Entry) -> dict[str, str]:
    """Return mode and time of an entry, as s3fs writes them, so that all attachments read each other's files."""
    return {"mode": str(_TYPES[entry.kind] | entry.mode), "mtime": str(entry.mtime_ns // 1_000_000_000)}


def entry_of(path: str, size: int, modified: float, metadata: Mapping[str, str]) -> Entry:
    """Return the file or the link that an object is. Without metadata it is a file, modified when it was stored.

    Args:
        path: of the entry.
        size: bytes of the object.
        modified: when it was stored, in seconds since the epoch.
        metadata: which any program may have written.
    """
    mode, mtime = _number(metadata, "mode"), _number(metadata, "mtime")
    mtime_ns = int((modified if mtime is None else mtime) * 1e9)
    if mode is not None and stat.S_ISLNK(int(mode)):
        return Entry(path, "link", size, 0o777, mtime_ns, "")
    return Entry(path, "file", size, stat.S_IMODE(int(mode)) if mode else 0o644, mtime_ns, "")


def is_target(target: bytes) -> bool:
    """Whether a content can be the target of a link."""
    return 0 < len(target) <= MAX_LINK and b"\0" not in target


def _number(metadata: Mapping[str, str], name: str) -> float | None:
    try:
        number = float(metadata.get(name) or "")
    except ValueError:
        return None
    return number if 0 <= number <= _GREATEST else None
