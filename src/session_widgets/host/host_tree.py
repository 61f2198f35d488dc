"""A directory of this host as a `FileTree`."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from session_widgets.host.directory import CHUNK, Directory
from session_widgets.host.manifest import Entry, EntryKind, Manifest, Readable, md5, scan, stamp


class HostTree:
    """See `file_tree.FileTree`. It stays open until `close`, even if the directory is replaced meanwhile."""

    def __init__(self, root: Path) -> None:
        self._directory = Directory(root)

    def manifest(self, known: Mapping[str, Entry]) -> Manifest:
        """List it with hashes."""
        return scan(self._directory.fd, known)

    @contextmanager
    def read(self, entry: Entry) -> Iterator[Readable]:
        """Open a content."""
        if entry.kind == "file":
            with self._directory.open(entry.path) as file:
                yield file
        else:
            yield BytesIO(self._directory.read_link(entry.path) if entry.kind == "link" else b"")

    def write(self, entry: Entry, body: Readable, seen: Entry | None) -> Entry:
        """Put a file or a link in place."""
        replaceable = as_seen(seen)
        if entry.kind == "link":
            target = b"".join(iter(lambda: body.read(CHUNK), b""))
            info = self._directory.link(entry.path, target, replaceable)
            return _now(entry.path, "link", info, md5(target).hexdigest())
        hashed = body if isinstance(body, Hashing) else Hashing(body)
        info = self._directory.write(entry.path, hashed, entry.mode, entry.mtime_ns, replaceable)
        return _now(entry.path, "file", info, hashed.digest.hexdigest())

    def mkdir(self, path: str) -> None:
        """Create a directory and its parents."""
        self._directory.make(path)

    def delete(self, path: str, seen: Entry | None) -> None:
        """Delete an entry."""
        self._directory.remove(path, as_seen(seen))

    def close(self) -> None:
        """Close it."""
        self._directory.close()


def as_seen(seen: Entry | None) -> Callable[[os.stat_result | None], bool]:
    """Return whether an entry may be replaced: it is as it was seen, not written by a program since."""

    def replaceable(info: os.stat_result | None) -> bool:
        if info is None or seen is None:
            return info is None
        return stat.S_ISDIR(info.st_mode) or (info.st_size, info.st_mtime_ns) == (seen.size, seen.mtime_ns)

    return replaceable


class Hashing:
    """A stream that hashes the bytes read from it."""

    def __init__(self, body: Readable) -> None:
        self._body = body
        self.digest = md5()

    def read(self, size: int) -> bytes:
        """Read and hash."""
        piece = self._body.read(size)
        self.digest.update(piece)
        return piece


def _now(path: str, kind: EntryKind, info: os.stat_result, digest: str) -> Entry:
    mark = stamp(info) if kind == "file" else ""
    return Entry(path, kind, info.st_size, info.st_mode & 0o7777, info.st_mtime_ns, digest, mark)
