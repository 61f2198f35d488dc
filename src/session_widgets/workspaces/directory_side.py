"""A directory of this host as the durable side. An ETag is the MD5 of the content; there is no lease."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Literal

from session_widgets.errors import NotFound, WorkspaceError
from session_widgets.host.daemon import read_json, write_private
from session_widgets.host.directory import Directory
from session_widgets.host.host_tree import Hashing
from session_widgets.host.manifest import (
    MAX_FILE_BYTES,
    Entry,
    EntryKind,
    Manifest,
    Occupied,
    Readable,
    hash_file,
    md5,
    scan,
    stamp,
)
from session_widgets.host.tree import TEMPORARY
from session_widgets.progress import Progress
from session_widgets.workspaces.objects import Changed, Listing, ObjectInfo, Torn

LEFT_SECONDS = 3600.0
_EPOCH = datetime.fromtimestamp(0, UTC)


class DirectorySide:
    """See `durable.DurableSide`.

    Args:
        root: the directory.
        managed: whether it is created if it is missing.
        record: file for the hashes of its unchanged files.
    """

    noun = "the directory"
    distant = False

    def __init__(self, root: Path, record: Path, *, managed: bool) -> None:
        self.location = str(root)
        self._path = root
        self._managed = managed
        self._record = record
        self._known: Mapping[str, Entry] | None = None
        self._root: tuple[int, int] | None = None
        self._written: set[str] = set()

    def reach(self, progress: Progress) -> None:
        """Create a missing managed directory."""
        with self._explained():
            if self._managed:
                self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._path.stat()

    def acquire(self) -> bool:
        """Return whether it is the directory that was used before; it has no lease."""
        self._load()
        with self._explained():
            info = self._path.stat()
        return self._root == (info.st_dev, info.st_ino)

    def check(self) -> None:
        """Does nothing: there is no lease."""

    def release(self) -> None:
        """Does nothing: there is no lease."""

    def take_over(self) -> None:
        """Does nothing: there is no lease."""

    def tidy(self) -> None:
        """Remove leftovers of killed writes; newer ones may be writes of another process."""
        begun = time.time() - LEFT_SECONDS
        with suppress(OSError):
            for _, _, names, directory in os.fwalk(self._path, follow_symlinks=False):
                for name in names:
                    if name.startswith(TEMPORARY) and os.lstat(name, dir_fd=directory).st_mtime < begun:
                        os.unlink(name, dir_fd=directory)

    def listing(self) -> Listing:
        """Return all files, without caches. The folders of earlier writes are synced to disk first."""
        with self._explained():
            self._sync_folders()
            found = scan(self._path, self._load())
        self._check(found)
        if found.entries != self._known or found.root != self._root:
            self._known, self._root = found.entries, found.root
            write_private(self._record, Manifest(found.root, found.entries).to_json())
        objects = {path: _info(entry) for path, entry in found.entries.items()}
        return Listing(objects, found.strange)

    def digest(self, path: str) -> tuple[str, str]:
        """Read a file."""
        with self._explained(), self._opened() as directory:
            digest = hash_file(directory.fd, path)[1]
        return digest, digest

    @contextmanager
    def reading(self, info: ObjectInfo) -> Iterator[tuple[Entry, Readable, ObjectInfo]]:
        """Open a file or a link."""
        now = ObjectInfo(info.path, "file", info.size, "", info.modified)
        with self._opened() as directory:
            with self._explained():
                there = directory.stat(info.path)
                link = stat.S_ISLNK(there.st_mode)
                body = BytesIO(directory.read_link(info.path)) if link else directory.open(info.path)
            kind: EntryKind = "link" if link else "file"
            with body:
                yield Entry(info.path, kind, there.st_size, there.st_mode & 0o777, there.st_mtime_ns, ""), body, now

    def put(self, entry: Entry, body: Readable, etag: str) -> str:
        """Store an entry, and sync it to disk."""
        hashed = Hashing(body)
        with self._explained(), self._opened() as directory:

            def replaceable(info: os.stat_result | None) -> bool:
                if hashed.digest.hexdigest() != entry.md5:
                    raise Torn(entry.path)
                return self._is_still(directory, entry.path, etag, info)

            try:
                if entry.kind == "directory":
                    directory.make(entry.path)
                    directory.fsync(entry.path)
                elif entry.kind == "link":
                    directory.link(entry.path, hashed.read(entry.size + 1), replaceable)
                else:
                    directory.write(entry.path, hashed, entry.mode, entry.mtime_ns, replaceable, sync=True)
            except Occupied as error:
                raise Changed(entry.path) from error
            self._written.add(entry.path.rpartition("/")[0])
        return entry.md5

    def delete(self, entry: Entry, etag: str) -> None:
        """Delete an entry, and the folders that it leaves empty."""
        with self._explained(), self._opened() as directory:
            try:
                directory.remove(entry.path, lambda info: self._is_still(directory, entry.path, etag, info))
            except Occupied as error:
                raise Changed(entry.path) from error
        self._written.add(entry.path.rpartition("/")[0])

    def _sync_folders(self) -> None:
        """Sync each folder once, however many of its files were written."""
        with self._opened() as directory:
            while self._written:
                directory.fsync(self._written.pop())

    def _is_still(self, directory: Directory, path: str, etag: str, info: os.stat_result | None) -> bool:
        """Whether the entry at a path has this ETag; "" is none, or an empty directory."""
        if info is None:
            return not etag
        if not etag or stat.S_ISDIR(info.st_mode):
            return not etag and stat.S_ISDIR(info.st_mode)
        if stat.S_ISLNK(info.st_mode):
            return md5(directory.read_link(path)).hexdigest() == etag
        known = (self._known or {}).get(path)
        if known is not None and known.stamp == stamp(info):
            return known.md5 == etag
        return stat.S_ISREG(info.st_mode) and hash_file(directory.fd, path)[1] == etag

    def _load(self) -> Mapping[str, Entry]:
        if self._known is None:
            kept = read_json(self._record)
            found = Manifest.from_json(kept) if kept else Manifest((0, 0))
            self._known, self._root = found.entries, found.root if kept else None
        return self._known

    def _check(self, found: Manifest) -> None:
        """Refuse a listing that lacks files: they would count as deleted."""
        hidden = [entry.path for entry in found.entries.values() if entry.kind == "file" and not entry.md5]
        if unreadable := [*found.unreadable, *hidden]:
            raise WorkspaceError(
                f"{len(unreadable):,} of the files and folders of {self.location} cannot be read, the first "
                f"{unreadable[0]!r:.120}. Allow its owner to read it (chmod u+rwX).",
                reason="disk",
            )
        if found.truncated or found.large:
            what = (
                f"a file larger than {MAX_FILE_BYTES >> 30} GiB ({found.large[0]!r:.120})"
                if found.large
                else ("more files, or folders nested more deeply, than a workspace can have")
            )
            raise WorkspaceError(
                f"{self.location} holds {what}, so it cannot be copied to a sandbox elsewhere. Move it out of "
                "there, or use a sandbox on this machine.",
                reason="name",
            )

    @contextmanager
    def _opened(self) -> Iterator[Directory]:
        with self._explained():
            directory = Directory(self._path)
        with directory:
            yield directory

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            if self._path.is_dir():
                raise NotFound(f"no such file in {self.location}") from error
            raise WorkspaceError(
                f"{self.location} does not exist. Create it, then send again.", reason="disk"
            ) from error
        except OSError as error:
            full = "; free space" if error.errno in {errno.ENOSPC, errno.EDQUOT} else ""
            raise WorkspaceError(
                f"{self.location} cannot be read or written: {error.strerror}{full}.", reason="disk"
            ) from error


def _info(entry: Entry) -> ObjectInfo:
    kind: Literal["file", "directory"] = "directory" if entry.kind == "directory" else "file"
    mode = entry.mode & 0o777 if entry.kind == "file" else None
    return ObjectInfo(entry.path, kind, entry.size, entry.md5, _EPOCH, mode)
