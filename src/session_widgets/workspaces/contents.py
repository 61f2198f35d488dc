"""The contents of a session's snapshots, each kept once: by MD5 and size, apart from the workspace.

All methods block. A process calls one at a time; processes exclude each other by a lock.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, Self

from session_widgets.errors import FilesNotKept, SessionWidgetsError, WorkspaceError
from session_widgets.host.daemon import locked
from session_widgets.host.manifest import Entry, Manifest
from session_widgets.workspaces.contract import Workspace
from session_widgets.workspaces.snapshot import KeptEntry, LeftOut, Snapshot, sort_out

IsLate = Callable[[], bool]
NAME = re.compile(r"[0-9a-f]{32}-[0-9]+")


class Contents(Protocol):
    """Where contents are kept."""

    def names(self) -> Collection[str]:
        """Return the names of the kept contents."""

    def keep(self, entries: Sequence[Entry], is_late: IsLate) -> dict[str, LeftOut]:
        """Copy the content of entries out of the workspace; return the paths that failed.

        Args:
            entries: files and links, each with another content.
            is_late: whether to stop: the rest has failed then.

        Raises:
            WorkspaceError: nothing can be kept.
        """

    def put(self, data: bytes) -> str:
        """Keep a content and return its name."""

    def read(self, name: str) -> bytes:
        """Return a content; raise `FilesNotKept` if it is not there, or damaged."""

    def delete(self, names: Iterable[str]) -> None:
        """Delete contents."""

    def link(self, other: Self, names: Iterable[str]) -> None:
        """Keep contents of another session of the same kind of place; missing ones are skipped."""

    def fill(self, snapshot: Snapshot, space: Workspace) -> None:
        """Put the files of a snapshot into a new session's workspace of the same kind of place.

        Raises:
            FilesNotKept: a content was deleted.
            WorkspaceError: the files cannot be written.
        """

    def remove(self) -> None:
        """Delete everything."""


def keep_snapshot(contents: Contents, manifest: Manifest, is_late: IsLate) -> tuple[str, Snapshot]:
    """Keep the files of a manifest; return the name of the snapshot's list, and the snapshot.

    Raises:
        WorkspaceError: nothing can be kept.
    """
    entries, left = sort_out(manifest)
    present = contents.names()
    kept = [KeptEntry(one.path, one.kind, one.size, one.mode, one.md5) for one in entries]
    new = {entry.name: one for entry, one in zip(kept, entries, strict=True) if entry.name not in present}
    new.pop("", None)
    failed = contents.keep(list(new.values()), is_late) if new else {}
    lost = {name: failed[one.path] for name, one in new.items() if one.path in failed}
    left |= {entry.path: lost[entry.name] for entry in kept if entry.name in lost}
    snapshot = Snapshot({entry.path: entry for entry in kept if entry.name not in lost}, left)
    return contents.put(snapshot.encode()), snapshot


class KeptNames(ABC):
    """The names of contents, listed once and again after a change by another process.

    Args:
        place: a directory of this machine with a lock; its modification time is that of the latest change.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self._names: set[str] = set()
        self._version: int | None = None

    def names(self) -> Collection[str]:
        """Return the names of the kept contents."""
        self._make_place()
        self._look()
        return self._names

    @abstractmethod
    def _list(self) -> set[str]:
        """List the names."""

    def _tidy(self) -> None:  # noqa: B027 - only a directory has something to do
        """Delete what killed processes have left."""

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Exclude other processes, and mark the change."""
        try:
            self._make_place()
            with locked(self.place):
                self._look()
                self._tidy()
                try:
                    yield
                finally:
                    os.utime(self.place)
                    self._version = self.place.stat().st_mtime_ns
        except OSError as error:
            if isinstance(error, SessionWidgetsError):
                raise
            raise WorkspaceError(
                f"the files of the turn cannot be kept in {self.place}: {error.strerror}.", reason="disk"
            ) from error

    def _make_place(self) -> None:
        self.place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.place.mkdir(mode=0o700, exist_ok=True)

    def _look(self) -> None:
        version = self.place.stat().st_mtime_ns
        if version != self._version:
            self._names = self._list()
            self._version = version


def checked(name: str) -> str:
    """Return a name of a content; raise `FilesNotKept` for any other text."""
    if NAME.fullmatch(name):
        return name
    raise FilesNotKept(f"{name!r:.80} is no name of a content: the list of the files is damaged.")


def fork_files(files: Snapshot, contents: Contents, space: Workspace, kept: Contents, snapshots: Iterable[str]) -> None:
    """Fill a new session's workspace with the files of a snapshot, and keep the snapshots of the other session there.

    Args:
        files: the snapshot.
        contents: of the other session.
        space: the new workspace.
        kept: contents of the new session.
        snapshots: names of all snapshots to keep.

    Raises:
        FilesNotKept: a content was deleted.
        WorkspaceError: the files cannot be written.
    """
    names: dict[str, None] = {}
    for name in snapshots:
        with suppress(FilesNotKept):  # an earlier turn's: that turn has none in the new session either
            names |= dict.fromkeys([*Snapshot.decode(contents.read(name)).names, name])
    kept.link(contents, names)
    contents.fill(files, space)
