"""Content of a directory with the hash of every file, made in the same way in the sandbox and on this machine.

Hashing reads the file; so a file with the identity (size, times, inode) of an earlier manifest keeps its hash. A file
that was written just before that manifest is read again: its times cannot tell a second write from the first
(git's "racily clean"). The resolution depends on the file system; some keep whole seconds.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from session_widgets.host.tree import Walk

CACHES = frozenset({"node_modules", "__pycache__", ".venv"})
"""Folders that are recreated rather than kept: no manifest and no bucket contains them."""
MAX_ENTRIES = 1_000_000
MAX_FILE_BYTES = 32 << 30
"""A minute of hashing. One call makes a file of any size without disk space (`truncate -s 300G`)."""
RACY_NS = 50_000_000
RACY_SECONDS_NS = 2_000_000_000
_CHUNK = 1 << 20

EntryKind = Literal["file", "link", "directory"]


class Readable(Protocol):
    """A source of bytes."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end."""


class Occupied(Exception):
    """An entry must not be replaced: a folder with files, a file where a folder is needed, or not what was seen."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, a link, or an empty directory; other directories follow from the paths below them.

    Attributes:
        path: relative, "/" between names.
        size: in bytes; of a link the length of its target, of a directory 0.
        mode: permission bits.
        md5: of the content, or of the target of a link; "" for a directory, and for a file that could not be read.
        stamp: identity of the hashed file, for the next manifest; "" if it must be read again.
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
    """One manifest.

    Attributes:
        root: device and inode of the directory: shows whether both sides see the same one.
        entries: by path.
        strange: paths that cannot be object keys (not UTF-8, a backslash), and entries that are neither file nor link.
        truncated: there are more than `MAX_ENTRIES`.
        unreadable: folders that cannot be listed: their content is unknown, not deleted.
        large: files of more than `MAX_FILE_BYTES`, or the limit of the scan, which are not read and have no entry.
    """

    root: tuple[int, int]
    entries: Mapping[str, Entry] = field(default_factory=dict)
    strange: tuple[str, ...] = ()
    truncated: bool = False
    unreadable: tuple[str, ...] = ()
    large: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
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
        """Read the JSON form."""
        entries = {row[0]: Entry(*row) for row in value["entries"]}
        unreadable, large = (tuple(value.get(name, ())) for name in ("unreadable", "large"))  # newer fields
        return cls(tuple(value["root"]), entries, tuple(value["strange"]), value["truncated"], unreadable, large)


def scan(
    root: Path | int, known: Mapping[str, Entry] | None = None, *, max_file_bytes: int = MAX_FILE_BYTES
) -> Manifest:
    """Scan a directory, through no link.

    Args:
        root: its path, or a descriptor of it.
        known: the entries of an earlier manifest, which save hashing.
        max_file_bytes: larger files are not read.
    """
    directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY) if isinstance(root, Path) else os.dup(root)
    try:
        return _scan(directory, known or {}, max_file_bytes)
    finally:
        os.close(directory)


def _scan(root: int, known: Mapping[str, Entry], max_file_bytes: int) -> Manifest:
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
        elif stat.S_ISREG(mode) and found.info.st_size > max_file_bytes:
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
    """Open a file below an open directory, through no link on the way; a link swapped in meanwhile is an OSError."""
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
    """Return the digest that a bucket uses as an ETag: it distinguishes contents and protects nothing."""
    return hashlib.md5(data, usedforsecurity=False)


def stamp(info: os.stat_result) -> str:
    """Return the identity of a file's content, as far as its times show it."""
    return f"{info.st_size}.{info.st_mtime_ns}.{info.st_ctime_ns}.{info.st_ino}"


def _shown(path: str) -> str:
    return os.fsencode(path).decode(errors="replace")


def can_be_key(path: str) -> bool:
    """Whether an object store can keep this name: SeaweedFS treats a backslash as a slash, and keys are UTF-8."""
    if "\\" in path:
        return False
    try:
        return len(path.encode()) <= 900
    except UnicodeEncodeError:
        return False
