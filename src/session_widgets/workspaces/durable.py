"""The durable side of a workspace: where its files survive every sandbox. A bucket, or a directory of this host."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from session_widgets.host.manifest import Entry, Readable
from session_widgets.progress import Progress
from session_widgets.workspaces.objects import Listing, ObjectInfo


class NoLink(Exception):
    """An object is marked as a link, but its content is no valid target.

    Attributes:
        etag: of the object.
    """

    def __init__(self, etag: str) -> None:
        super().__init__(etag)
        self.etag = etag


class DurableSide(Protocol):
    """The files of one session at their location. Thread-safe; every failure is a `WorkspaceError`.

    Each has an ETag, which identifies its content.

    Attributes:
        noun: "the bucket" or "the directory".
        distant: whether each request waits for an answer, so that many are made at a time.
    """

    @property
    def noun(self) -> str: ...  # noqa: D102 - see the class
    @property
    def distant(self) -> bool: ...  # noqa: D102 - see the class
    @property
    def location(self) -> str:
        """A bucket's URL, or an absolute directory."""

    def reach(self, progress: Progress) -> None:
        """Prepare it, such as by starting its store."""

    def acquire(self) -> bool:
        """Acquire the right to write.

        Returns:
            Whether it is the place that was used before: in another one, missing files were not deleted.

        Raises:
            WorkspaceTaken: another installation has it.
        """

    def check(self) -> None:
        """Raise `WorkspaceTaken` if the right to write was lost since."""

    def release(self) -> None:
        """Give it back."""

    def take_over(self) -> None:
        """Acquire the right to write, whatever its holder."""

    def tidy(self) -> None:
        """Remove leftovers of killed transfers."""

    def listing(self) -> Listing:
        """Return all files."""

    def digest(self, path: str) -> tuple[str, str]:
        """Read a file and return its ETag and the MD5 of its content. Raises `NotFound`."""

    def reading(self, info: ObjectInfo) -> AbstractContextManager[tuple[Entry, Readable, ObjectInfo]]:
        """Open a file or a link of a listing.

        Returns:
            The entry to write, its content or target, and its properties now; an ETag of "" there means that it is the
            MD5 of what is read.

        Raises:
            NotFound: it was deleted since the listing.
            NoLink: it is no valid link.
        """

    def put(self, entry: Entry, body: Readable, etag: str) -> str:
        """Store an entry and return its ETag.

        Args:
            entry: with the MD5 of its content.
            body: the content of a file, or the target of a link.
            etag: of the object that is replaced; "" if there is none. A directory replaces nothing.

        Raises:
            Changed: another one is there.
            Torn: the body has another MD5.
        """

    def delete(self, entry: Entry, etag: str) -> None:
        """Delete an entry. Raises `Changed` if another one is there."""
