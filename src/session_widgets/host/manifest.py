"""What a directory holds, with the hash of every file: looked at in the sandbox and on this machine alike.

Hashing reads; so a file whose identity (size, times, inode) is that of an earlier look keeps the hash it had then. One
that was written just before the look is read again the next time: its times cannot tell a second write from the first
(git's "racily clean"). How long that is depends on the file system; some keep whole seconds.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from session_widgets.host.tree import Walk

CACHES = frozenset({"node_modules", "__pycache__", ".venv"})
"""Folders that are made again rather than kept: they are in no manifest and in no bucket."""
MAX_ENTRIES = 1_000_000
MAX_FILE_BYTES = 32 << 30
"""A minute of hashing. A file of any size costs one call and no disk (`truncate -s 300G`)."""
RACY_NS = 50_000_000
RACY_SECONDS_NS = 2_000_000_000
_CHUNK = 1 << 20

EntryKind = Literal["file", "link", "directory"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, a link, or a directory that holds nothing; others follow from the paths below them.

    Attributes:
        path: relative, "/" between names.
        size: in bytes; of a link the length of its target, of a directory 0.
        mode: permission bits.
        md5: of the content, or of the target of a link; "" for a directory, and for a file that could not be read.
        stamp: identity of what was hashed, for the next look; "" if it must be read again.
    """

    path: str
    kind: EntryKind
    size: int
    mode: int
    mtime_ns: int
    md5: str
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one look has seen.

    Attributes:
        root: device and inode of the directory: whether both sides look at the same one.
        entries: by path.
        strange: paths that no object key can carry (not UTF-8, a backslash), and what is neither file nor link.
        truncated: there is more than `MAX_ENTRIES`.
        unreadable: folders that may not be looked into: what they hold is not gone, but unknown.
        large: files of more than `MAX_FILE_BYTES`, which are not read, and so no entries.
    """

    root: tuple[int, int]
    entries: Mapping[str, Entry] = field(default_factory=dict)
    strange: tuple[str, ...] = ()
    truncated: bool = False
    unreadable: tuple[str, ...] = ()
    large: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it for the wire."""
        rows = [[e.path, e.kind, e.size, e.mode, e.mtime_ns, e.md5, e.stamp] for e in self.entries.values()]
        return {
            "root": self.root,
            "entries": rows,
            "strange": self.strange,
            "truncated": self.truncated,
            "unreadable": self.unreadable,
            "large": self.large,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Manifest:
        """Read what `to_json` made."""
        entries = {row[0]: Entry(*row) for row in value["entries"]}
        unreadable, large = (tuple(value.get(name, ())) for name in ("unreadable", "large"))  # new: an older runner's
        return cls(tuple(value["root"]), entries, tuple(value["strange"]), value["truncated"], unreadable, large)


def scan(root: Path | int, known: Mapping[str, Entry] | None = None) -> Manifest:
    """Look at a directory, through no link.

    Args:
        root: its path, or a descriptor of it.
        known: the entries of an earlier look, which spare hashing.
    """
    directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY) if isinstance(root, Path) else os.dup(root)
    try:
        return _scan(directory, known or {})
    finally:
        os.close(directory)


def _scan(root: int, known: Mapping[str, Entry]) -> Manifest:
    walk = Walk(limit=MAX_ENTRIES, skip=CACHES)
    walk.run(root)
    entries: dict[str, Entry] = {}
    strange: list[str] = []
    large: list[str] = []
    parents = {found.path.rpartition("/")[0] for found in walk.found}
    for found in walk.found:
        mode = found.info.st_mode
        if not can_be_key(found.path):
            strange.append(_shown(found.path))
        elif stat.S_ISREG(mode) and found.info.st_size > MAX_FILE_BYTES:
            large.append(found.path)
        elif stat.S_ISREG(mode):
            entries[found.path] = _file(root, found.path, found.info, known.get(found.path))
        elif stat.S_ISLNK(mode):
            target = _read_link(root, found.path)
            entries[found.path] = _entry(found.path, "link", found.info, len(target), md5(target).hexdigest())
        elif not stat.S_ISDIR(mode):
            strange.append(found.path)
        elif found.path not in parents:
            entries[found.path] = _entry(found.path, "directory", found.info, 0, "")
    info = os.fstat(root)
    unreadable = tuple(map(_shown, walk.unreadable))
    return Manifest((info.st_dev, info.st_ino), entries, tuple(strange), walk.truncated, unreadable, tuple(large))


def _file(root: int, path: str, info: os.stat_result, known: Entry | None) -> Entry:
    same = stamp(info)
    if known is not None and known.stamp == same:
        return Entry(path, "file", info.st_size, info.st_mode & 0o7777, info.st_mtime_ns, known.md5, same)
    now = time.time_ns()
    try:
        size, digest = hash_file(root, path)
    except OSError:
        return _entry(path, "file", info, info.st_size, "")
    racy = RACY_NS if info.st_ctime_ns % 1_000_000_000 else RACY_SECONDS_NS
    settled = size == info.st_size and max(info.st_mtime_ns, info.st_ctime_ns) + racy < now
    return Entry(path, "file", size, info.st_mode & 0o7777, info.st_mtime_ns, digest, same if settled else "")


def _entry(path: str, kind: EntryKind, info: os.stat_result, size: int, md5: str) -> Entry:
    return Entry(path, kind, size, info.st_mode & 0o7777, info.st_mtime_ns, md5)


def hash_file(root: int, path: str) -> tuple[int, str]:
    """Return size and MD5 of a file below an open directory; never through a link."""
    digest, size = md5(), 0
    handle = open_below(root, path)
    try:
        while size <= MAX_FILE_BYTES and (piece := os.read(handle, _CHUNK)):
            digest.update(piece)
            size += len(piece)
    finally:
        os.close(handle)
    return size, digest.hexdigest()


def open_below(root: int, path: str, flags: int = os.O_RDONLY, mode: int = 0o666) -> int:
    """Open a file below an open directory, through no link on the way; who swaps one in gets an OSError."""
    *folders, name = path.split("/")
    directory = os.dup(root)
    try:
        for folder in folders:
            below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
            os.close(directory)
            directory = below
        return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, mode, dir_fd=directory)
    finally:
        os.close(directory)


def _read_link(root: int, path: str) -> bytes:
    try:
        return os.readlink(os.fsencode(path), dir_fd=root)
    except OSError:
        return b""


def md5(data: bytes = b"") -> hashlib._Hash:
    """Return a digest of what a bucket calls an ETag: it tells contents apart, and guards nothing."""
    return hashlib.md5(data, usedforsecurity=False)


def stamp(info: os.stat_result) -> str:
    """Return the identity of a file's content as far as its times tell."""
    return f"{info.st_size}.{info.st_mtime_ns}.{info.st_ctime_ns}.{info.st_ino}"


def _shown(path: str) -> str:
    return os.fsencode(path).decode(errors="replace")


def can_be_key(path: str) -> bool:
    """Whether an object store keeps this name: SeaweedFS takes a backslash for a slash, and keys are UTF-8."""
    if "\\" in path:
        return False
    try:
        return len(path.encode()) <= 900
    except UnicodeEncodeError:
        return False
