"""Walks directories: bounded, sorted, never through a link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

TEMPORARY = ".session-widgets-upload-"
MAX_DEPTH = 100
_REPLACED = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
"""Errors of a folder that was removed, or replaced by a file or a link, since it was listed."""


class Found(NamedTuple):
    """An entry below the start; `path` is relative to it."""

    path: str
    name: str
    info: os.stat_result

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory itself, not a link to one."""
        return stat.S_ISDIR(self.info.st_mode)


Order = Callable[[list[Found]], None]


@dataclass(slots=True)
class Walk:
    """Collects entries; `truncated` means that a bound was reached; `unreadable` are folders that cannot be listed."""

    limit: int
    recursive: bool = True
    skip: frozenset[str] = frozenset()
    order: Order | None = None
    found: list[Found] = field(default_factory=list)
    truncated: bool = False
    unreadable: list[str] = field(default_factory=list)

    def run(self, directory: int, prefix: str = "", depth: int = 0) -> None:
        """Collect the entries below an open directory, depth first; entries that vanish meanwhile are skipped."""
        here = self._entries(directory, prefix)
        if self.order:
            self.order(here)
        for entry in here:
            if len(self.found) >= self.limit:
                self.truncated = True
                return
            self.found.append(entry)
            if self.recursive and entry.is_directory:
                self._below(directory, entry, depth)

    def _below(self, directory: int, entry: Found, depth: int) -> None:
        if depth >= MAX_DEPTH:
            self.truncated = True
            return
        try:
            fd = os.open(entry.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
        except OSError as error:
            if error.errno not in _REPLACED:
                self.unreadable.append(entry.path)
            return
        try:
            self.run(fd, f"{entry.path}/", depth + 1)
        finally:
            os.close(fd)

    def _entries(self, directory: int, prefix: str) -> list[Found]:
        here: list[Found] = []
        with os.scandir(directory) as entries:
            for entry in entries:
                name = entry.name
                if name in self.skip or name.startswith(TEMPORARY):
                    continue
                if len(here) > self.limit:
                    break
                try:
                    here.append(Found(prefix + name, name, entry.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue
        return here
