"""The kept files of a session for its replay: lists are read as the session is, contents when they are needed."""

from __future__ import annotations

import logging
from functools import lru_cache

from session_widgets._sessions.kept_files import KeptFile, KeptFiles
from session_widgets._sessions.stored_files import kept_files
from session_widgets._store import Store
from session_widgets.errors import SessionWidgetsError
from session_widgets.replaying import Kept, KeptAll
from session_widgets.transcript.notes import FilesKept
from session_widgets.transcript.records import SessionRecord

log = logging.getLogger(__name__)

_MOST = 5_000
"""Files of a snapshot that are shown; of a larger workspace the transcript alone tells the files."""
_FAILURES = (SessionWidgetsError, OSError)


class KeptInStore:
    """The snapshots of one session. Blocks: it reads the store, and the place of the kept files.

    Args:
        store: of the session.
        record: of the session.
    """

    def __init__(self, store: Store, record: SessionRecord) -> None:
        self._store, self._record = store, record
        self._usable: set[str] = set()
        self._read = lru_cache(maxsize=32)(_content)

    def __call__(self, note: FilesKept) -> KeptAll | None:
        """Return the files of a snapshot; None if it was deleted, is not to be trusted, or cannot be read."""
        try:
            if note.snapshot not in self._usable:
                self._usable = {one.snapshot for one in self._store.kept_files(self._record.id)}
            if note.snapshot not in self._usable or (note.files or 0) > _MOST:
                return None
            files = kept_files(self._store, self._record, note)
            return KeptAll({path: self._kept(one) for path, one in files.items() if one.kind == "file"}, _left(files))
        except _FAILURES as error:
            log.debug("the kept files of session %s cannot be read: %s", self._record.id, error)
            return None

    def _kept(self, file: KeptFile) -> Kept:
        return Kept(file.name, lambda: self._read(file))


def _left(files: KeptFiles) -> frozenset[str]:
    """Paths that exist and have no content here: those left out, links and directories."""
    return frozenset(files.left_out) | {path for path, one in files.items() if one.kind != "file"}


def _content(file: KeptFile) -> bytes | None:
    try:
        return file.read_bytes()
    except _FAILURES:
        return None
