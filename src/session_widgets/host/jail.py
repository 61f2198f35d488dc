"""Confines paths to the workspace, whatever links they contain.

Every component is opened from the directory before it and never through a link; links are read and resolved
explicitly, from the root of the jail. So no change between check and use leads outside. The runner uses it, and this
machine's own access to a workspace.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MAX_LINKS = 40
MAX_PATH = 4096
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


class InvalidPath(Exception):
    """A path cannot exist, or is no file; the text says why."""


class OutsidePath(InvalidPath):
    """A path leaves the workspace."""


@dataclass(frozen=True, slots=True)
class Place:
    """A name in an open directory; `name` is "." for the directory itself, `path` is absolute."""

    directory: int
    name: str
    path: str

    def stat(self) -> os.stat_result:
        """Return the entry's status, not through a link."""
        return os.stat(self.name, dir_fd=self.directory, follow_symlinks=False)

    def open(self, flags: int, mode: int = 0o666) -> int:
        """Open the entry, never through a link."""
        return os.open(self.name, flags | os.O_NOFOLLOW, mode, dir_fd=self.directory)

    def open_directory(self) -> int:
        """Open a directory for listing; raise `NotADirectoryError` for anything else."""
        return os.open(self.name, _DIRECTORY, dir_fd=self.directory)

    def open_file(self) -> tuple[int, os.stat_result]:
        """Open a regular file for reading; raise `InvalidPath` for anything else."""
        fd = os.open(self.name, _FILE, dir_fd=self.directory)
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            os.close(fd)
            raise InvalidPath(f"path is not a file: {self.path}")
        return fd, info


class Jail:
    """The workspace. Relative paths start at its root, absolute paths must be inside it.

    Args:
        root: an existing directory.
        owner: user and group of the directories that it makes; None: this process's.

    Attributes:
        root: as configured; responses name paths below it, even if it is a link itself.
    """

    def __init__(self, root: Path, owner: tuple[int, int] | None = None) -> None:
        self.root = str(root)
        self._roots = [_split(self.root), _split(os.path.realpath(root))]
        self._owner = owner
        self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)

    @contextmanager
    def locate(self, path: str, *, follow: bool = True, create: bool = False) -> Iterator[Place]:
        """Resolve `path`; the entry may not exist; its directory stays open as long as the context.

        Args:
            path: as a client sent it.
            follow: whether a link at the end is followed too.
            create: whether missing parent directories are created.

        Raises:
            InvalidPath: the path is invalid.
            OutsidePath: it leads outside.
            OSError: of an operation on the way.
        """
        todo = self._parts(path)[::-1]
        stack = [os.dup(self._fd)]
        names: list[str] = []
        links = 0
        try:
            while todo:
                part = todo.pop()
                if part == "..":  # only links contain these
                    if not names:
                        raise _outside(path)
                    os.close(stack.pop())
                    names.pop()
                    continue
                target = _read_link(part, stack[-1]) if todo or follow else None
                if target is not None:
                    links += 1
                    if links > MAX_LINKS:
                        raise OSError(errno.ELOOP, "")
                    if target.startswith("/"):
                        _close(stack[1:])
                        del stack[1:], names[:]
                    todo += self._link_parts(target, path)[::-1]
                    continue
                if not todo:
                    yield Place(stack[-1], part, "/".join([self.root, *names, part]))
                    return
                if create:
                    make_directory(part, stack[-1], self._owner)
                stack.append(os.open(part, _DIRECTORY, dir_fd=stack[-1]))
                names.append(part)
            yield Place(stack[-1], ".", "/".join([self.root, *names]))
        finally:
            _close(stack)

    def _parts(self, path: str) -> list[str]:
        if "\0" in path:
            raise InvalidPath("path holds a NUL character")
        if len(path) > MAX_PATH:
            raise InvalidPath(f"path is longer than {MAX_PATH} characters")
        parts = _split(path)
        if ".." in parts:
            raise InvalidPath(f"invalid relative path: {path}")
        return self._below_root(parts, path) if path.startswith("/") else parts

    def _link_parts(self, target: str, path: str) -> list[str]:
        parts = _split(target)
        return self._below_root(parts, path) if target.startswith("/") else parts

    def _below_root(self, parts: list[str], path: str) -> list[str]:
        for root in self._roots:
            if parts[: len(root)] == root:
                return parts[len(root) :]
        raise _outside(path)


def _outside(path: str) -> OutsidePath:
    return OutsidePath(f"path leaves the workspace: {path}")


def _split(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _read_link(name: str, directory: int) -> str | None:
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise


def make_directory(name: str, directory: int, owner: tuple[int, int] | None) -> None:
    """Create a directory in an open one, unless the name exists."""
    try:
        os.mkdir(name, dir_fd=directory)
    except FileExistsError:
        return
    if owner is not None:
        os.chown(name, *owner, dir_fd=directory, follow_symlinks=False)


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
