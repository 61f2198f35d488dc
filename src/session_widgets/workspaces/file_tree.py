"""The directory in which a sandbox works, wherever it is: on this host, or behind a runner.

All methods block and may be called from any thread. None follows a link, and every write is atomic.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from session_widgets.host.direct import Outcome, Request
from session_widgets.host.manifest import Entry, Manifest, Occupied, Readable


class FileTree(Protocol):
    """A directory with its files, links and empty directories.

    `seen` is the entry that a caller has seen at a path, None for nothing: another size or modification time, or an
    entry where none was seen, is a program's work and stays. An empty directory may always be replaced, and so may a
    seen entry that is gone.
    """

    def manifest(self, known: Mapping[str, Entry]) -> Manifest:
        """List it with hashes; entries of an earlier manifest save the hashing of unchanged files."""

    def read(self, entry: Entry) -> AbstractContextManager[Readable]:
        """Open the content of a file, or the target of a link, at `entry.path`.

        Raises:
            OSError: it is no longer there, or is another kind of entry.
            Occupied: the same, of one of its parents.
        """

    def write(self, entry: Entry, body: Readable, seen: Entry | None) -> Entry:
        """Put a file or a link in place, atomically, creating its parents.

        Args:
            entry: its path, kind, permission bits and modification time; size and MD5 are those of the body.
            body: the content, or the target of a link.
            seen: what it may replace.

        Returns:
            The entry as it is now, with the MD5 of the body.

        Raises:
            Occupied: something else is there, or a file where a parent is needed.
        """

    def mkdir(self, path: str) -> None:
        """Create a directory and its parents; an existing one is not changed. Raises `Occupied` if a file is there."""

    def delete(self, path: str, seen: Entry | None) -> None:
        """Delete a file, a link or an empty directory, and the parents that become empty; nothing there is no error.

        Raises:
            Occupied: it is not as seen, or is a directory with entries.
        """

    def close(self) -> None:
        """Release its descriptors and connections."""


@runtime_checkable
class BulkTree(FileTree, Protocol):
    """A tree at a distance: one stream of many small entries is faster than a request for each."""

    def read_many(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Readable]]:
        """Open the contents of many files and links, in any order.

        An entry that is no longer there is left out. A content must be read before the next is requested.
        """

    def write_many(self, items: Iterable[tuple[Entry, Readable, Entry | None]]) -> Iterator[Entry | Occupied]:
        """Do `write` for many entries; yields its result or its error for each, in the order of the items.

        A transfer that breaks raises its error; the entries before that stay, and the next manifest shows them.
        """


@runtime_checkable
class DirectTree(BulkTree, Protocol):
    """A tree whose machine makes requests to an object store, without a key of it."""

    def transfer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Outcome]]:
        """Make requests side by side; yields the number and the outcome of each as it ends."""
