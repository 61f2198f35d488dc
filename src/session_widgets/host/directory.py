"""Changes a directory that hostile programs change too: no write ever goes through a link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from uuid import uuid4

from session_widgets.host.manifest import Occupied, Readable
from session_widgets.host.tree import TEMPORARY

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
CHUNK = 1 << 20
NO_FSYNC = {errno.EINVAL, errno.ENOSYS}
"""Errors of a file system that lacks the call."""


Replaceable = Callable[[os.stat_result | None], bool]
"""Whether an existing entry may be replaced; None is no entry."""


class Directory:
    """A directory of this machine, held open. New entries get the directory's owner.

    Attributes:
        owner: user and group of it, if this process is root and it is not root's.
    """

    def __init__(self, root: Path) -> None:
        self.fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        info = os.fstat(self.fd)
        self.owner = (info.st_uid, info.st_gid) if os.geteuid() == 0 and info.st_uid != 0 else None

    def close(self) -> None:
        """Close it."""
        os.close(self.fd)

    def __enter__(self) -> Directory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(
        self,
        path: str,
        body: Readable,
        mode: int,
        mtime_ns: int | None,
        replaceable: Replaceable | None = None,
        *,
        sync: bool = False,
    ) -> os.stat_result:
        """Put a file in place, atomically, creating its parents, and return its status. Raises `Occupied`.

        With `sync` its content is on the disk before it is in place; its folder is the caller's to sync.
        """
        with self._parent(path, make=True) as (parent, name):
            partial = f"{TEMPORARY}{uuid4().hex}"
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=parent)
            try:
                while piece := body.read(CHUNK):
                    _write(handle, piece)
                if self.owner is not None:
                    os.fchown(handle, *self.owner)
                os.fchmod(handle, mode & 0o777)
                if mtime_ns is not None:
                    os.utime(handle, ns=(mtime_ns, mtime_ns))
                if sync:
                    _sync(handle)
                _check(name, parent, replaceable)
                _replace(partial, name, parent)
                return os.fstat(handle)
            except BaseException:
                with suppress(OSError):
                    os.unlink(partial, dir_fd=parent)
                raise
            finally:
                os.close(handle)

    def link(self, path: str, target: bytes, replaceable: Replaceable | None = None) -> os.stat_result:
        """Put a symbolic link in place, creating its parents, and return its status. Raises `Occupied`."""
        with self._parent(path, make=True) as (parent, name):
            partial = f"{TEMPORARY}{uuid4().hex}"
            os.symlink(target, os.fsencode(partial), dir_fd=parent)
            try:
                if self.owner is not None:
                    os.chown(partial, *self.owner, dir_fd=parent, follow_symlinks=False)
                info = os.stat(partial, dir_fd=parent, follow_symlinks=False)
                _check(name, parent, replaceable)
                _replace(partial, name, parent)
            except BaseException:
                os.unlink(partial, dir_fd=parent)
                raise
            return info

    def make(self, path: str) -> None:
        """Create a directory and its parents."""
        with self._parent(f"{path}/.", make=True):
            return

    def remove(self, path: str, replaceable: Replaceable | None = None) -> None:
        """Remove a file, a link, or an empty directory, and the parents that become empty.

        Raises:
            Occupied: it is a directory with entries, or not `replaceable`.
        """
        try:
            with self._parent(path) as (parent, name):
                _check(name, parent, replaceable)
                if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                    os.rmdir(name, dir_fd=parent)
                else:
                    os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                raise Occupied(path) from error
            raise
        with suppress(OSError):
            while path := path.rpartition("/")[0]:
                with self._parent(path) as (parent, name):
                    os.rmdir(name, dir_fd=parent)

    def stat(self, path: str) -> os.stat_result:
        """Return the status of an entry, not of a link's target."""
        with self._parent(path) as (parent, name):
            return os.stat(name, dir_fd=parent, follow_symlinks=False)

    def open(self, path: str) -> IO[bytes]:
        """Open a file for reading."""
        return os.fdopen(self.descriptor(path), "rb")

    def descriptor(self, path: str) -> int:
        """Open an entry for reading, "" for the directory itself; the caller closes it."""
        with self._parent(path) as (parent, name):
            return os.open(name or ".", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)

    def fsync(self, path: str) -> None:
        """Sync one entry to disk; a missing entry or a link needs no sync. Raises OSError."""
        try:
            handle = self.descriptor(path)
        except (FileNotFoundError, Occupied):
            return
        except OSError as error:
            if error.errno == errno.ELOOP:  # a link, which is part of its folder
                return
            raise
        try:
            _sync(handle)
        finally:
            os.close(handle)

    def read_link(self, path: str) -> bytes:
        """Return the target of a link."""
        with self._parent(path) as (parent, name):
            return os.readlink(os.fsencode(name), dir_fd=parent)

    @contextmanager
    def _parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        *folders, name = path.split("/")
        directory = self.fd
        try:
            for folder in folders:
                try:
                    below = self._enter(folder, directory, make=make)
                except NotADirectoryError as error:
                    raise Occupied(path) from error
                if directory != self.fd:
                    os.close(directory)
                directory = below
            yield directory, name
        finally:
            if directory != self.fd:
                os.close(directory)

    def _enter(self, folder: str, directory: int, *, make: bool) -> int:
        """Open a folder of an open directory; `make` makes it first if it does not exist."""
        try:
            return os.open(folder, _FOLDER, dir_fd=directory)
        except FileNotFoundError:
            if not make:
                raise
        with suppress(FileExistsError):
            os.mkdir(folder, 0o755, dir_fd=directory)
            if self.owner is not None:
                os.chown(folder, *self.owner, dir_fd=directory, follow_symlinks=False)
        return os.open(folder, _FOLDER, dir_fd=directory)


def _sync(handle: int) -> None:
    """Sync an open entry to disk, if its file system can do that."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in NO_FSYNC:
            raise


def _write(handle: int, data: bytes) -> None:
    """Write all of it: one call may write a part."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _check(name: str, parent: int, replaceable: Replaceable | None) -> None:
    """Check the entry to be replaced at the last moment: programs work here too."""
    if replaceable is None:
        return
    try:
        info = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        info = None
    if not replaceable(info):
        raise Occupied(name)


def _replace(partial: str, name: str, parent: int) -> None:
    try:
        os.rename(partial, name, src_dir_fd=parent, dst_dir_fd=parent)
    except IsADirectoryError:
        try:
            os.rmdir(name, dir_fd=parent)
        except OSError as error:
            raise Occupied(name) from error
        os.rename(partial, name, src_dir_fd=parent, dst_dir_fd=parent)
