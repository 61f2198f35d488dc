"""Converts an entry of a directory to an object, and back."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import IO

from session_widgets.host.directory import Directory, Replaceable
from session_widgets.host.manifest import Entry, EntryKind, md5, stamp

MAX_LINK = 4095
"""Bytes of a link's target (Linux)."""
_GREATEST = 1 << 33
"""Limits of a mode, and of a time in seconds."""


class NoLink(Exception):
    """An object is marked as a link, but its content is no valid target."""


def receive(
    directory: Directory, path: str, body: IO[bytes], metadata: Mapping[str, str], replaceable: Replaceable | None
) -> Entry:
    """Write an object of the bucket as a file or, if its mode is that of a link, as a link; return the entry.

    Raises:
        NoLink: a link's target is empty, contains NUL, or is longer than `MAX_LINK`.
        Occupied: the existing entry is not `replaceable`.
    """
    mode, mtime = _number(metadata.get("mode")), _number(metadata.get("mtime"))
    if mode is not None and stat.S_ISLNK(int(mode)):
        target = body.read(MAX_LINK + 1)
        if not 0 < len(target) <= MAX_LINK or b"\0" in target:
            raise NoLink(path)
        return _entry(path, "link", directory.link(path, target, replaceable), md5(target).hexdigest())
    hashed = _Hashing(body)
    mtime_ns = None if mtime is None else int(mtime * 1e9)
    info = directory.write(path, hashed, stat.S_IMODE(int(mode)) if mode else 0o644, mtime_ns, replaceable)
    return _entry(path, "file", info, hashed.digest.hexdigest())


def _entry(path: str, kind: EntryKind, info: os.stat_result, md5: str) -> Entry:
    mark = stamp(info) if kind == "file" else ""
    return Entry(path, kind, info.st_size, info.st_mode & 0o7777, info.st_mtime_ns, md5, mark)


def metadata_of(entry: Entry) -> dict[str, str]:
    """Return mode and time in the metadata of s3fs, so that both attachments read each other's files."""
    kind = {"file": stat.S_IFREG, "link": stat.S_IFLNK, "directory": stat.S_IFDIR}[entry.kind]
    return {"mode": str(kind | entry.mode), "mtime": str(entry.mtime_ns // 1_000_000_000)}


@contextmanager
def body_of(directory: Directory, entry: Entry) -> Iterator[IO[bytes]]:
    """Open the content of the object: that of the file, or the target of a link."""
    if entry.kind == "file":
        with directory.open(entry.path) as file:
            yield file
    else:
        yield BytesIO(directory.read_link(entry.path) if entry.kind == "link" else b"")


class _Hashing:
    """A stream that hashes the bytes read from it."""

    def __init__(self, body: IO[bytes]) -> None:
        self._body = body
        self.digest = md5()

    def read(self, size: int) -> bytes:
        piece = self._body.read(size)
        self.digest.update(piece)
        return piece


def _number(text: str | None) -> float | None:
    """Read metadata, which any program may have written."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number <= _GREATEST else None
