"""The files of a snapshot, for reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import Literal

from session_widgets._store.redaction import redactor
from session_widgets.errors import BadPath, FilesNotKept, WorkspaceError
from session_widgets.printing import html_table, one_line, plural, text_table
from session_widgets.workspaces import Contents, KeptEntry, Snapshot

HIDDEN = ".harness"
"""The agent's own memory belongs to the transcript: it is kept for a fork, not shown, compared or restored."""
SHOWN = 50
_COLUMNS = ("path", "kind", "bytes")


def is_hidden(path: str) -> bool:
    """Whether a path is the agent's own memory."""
    return path == HIDDEN or path.startswith(f"{HIDDEN}/")


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A kept file, link, or empty directory.

    Attributes:
        path: in the workspace.
        size: in bytes; of a link the length of its target.
        mode: permission bits.
        name: of the content: its MD5 and size; "" of a directory.
    """

    path: str
    kind: Literal["file", "link", "directory"]
    size: int
    mode: int
    name: str
    _contents: Contents = field(compare=False)

    def read_bytes(self) -> bytes:
        """Return the content; of a link its target.

        Raises:
            BadPath: it is a directory.
            FilesNotKept: the content was deleted meanwhile.
        """
        if self.kind == "directory":
            raise BadPath(f"{self.path!r} is a directory.")
        return self._contents.read(self.name)

    def read_text(self) -> str:
        """Return the content as UTF-8 text; raises `BadPath` if it is not."""
        data = self.read_bytes()
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise BadPath(f"{self.path!r} is not UTF-8 text (byte {error.start}). Use read_bytes().") from None

    def __repr__(self) -> str:
        return f"KeptFile({one_line(self.path)!r}, {self.kind}, {self.size:,} bytes)"


class KeptFiles(Mapping[str, KeptFile]):
    """The files of a workspace at one time, by path. Reading a content blocks; it may come from a bucket.

    Attributes:
        name: of the snapshot, as in the note `files_kept`.
        when: the time, in words.
    """

    def __init__(self, contents: Contents, name: str, when: str) -> None:
        self.contents = contents
        self.name = name
        self.when = when

    @cached_property
    def snapshot(self) -> Snapshot:
        """The list of all files, read at first use."""
        return Snapshot.decode(self.contents.read(self.name))

    @property
    def left_out(self) -> Mapping[str, str]:
        """Paths that were not kept, with the reason.

        "large", "room" (of the session's limit), "name" (it cannot be saved), "changed" (while it was copied),
        "unreadable", or "late" (the next prompt came first).
        """
        return self.snapshot.left_out

    @cached_property
    def _shown(self) -> dict[str, KeptEntry]:
        return {path: entry for path, entry in self.snapshot.entries.items() if not is_hidden(path)}

    def __getitem__(self, path: str) -> KeptFile:
        entry = self._shown[path]
        return KeptFile(entry.path, entry.kind, entry.size, entry.mode, entry.name, self.contents)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shown)

    def __len__(self) -> int:
        return len(self._shown)

    def _rows(self) -> list[tuple[str, ...]]:
        hide = redactor().plain
        first = list(self._shown.values())[:SHOWN]
        return [(hide(one_line(entry.path)), entry.kind, f"{entry.size:,}") for entry in first]

    @property
    def _head(self) -> str:
        left = f"; {plural(len(self.left_out), 'file')} left out" if self.left_out else ""
        more = f"; the first {SHOWN}" if len(self) > SHOWN else ""
        files = sum(entry.kind != "directory" for entry in self._shown.values())
        return f"{plural(files, 'file')} at {self.when}{left}{more}"

    def __repr__(self) -> str:
        try:
            return "\n".join([self._head, *([text_table(_COLUMNS, self._rows())] if self._shown else [])])
        except (FilesNotKept, WorkspaceError) as error:
            return f"the files at {self.when}, which cannot be read: {error}"

    def _repr_html_(self) -> str:
        try:
            return f"<p>{self._head}</p>{html_table(_COLUMNS, self._rows()) if self._shown else ''}"
        except (FilesNotKept, WorkspaceError):
            return f"<p>{escape(repr(self))}</p>"
