"""The kept files of a session that is not open. Starts and changes nothing."""

from __future__ import annotations

from session_widgets._sessions.kept_files import KeptFiles
from session_widgets._store import Store
from session_widgets.host.data_directory import data_directory
from session_widgets.transcript.notes import FilesKept
from session_widgets.transcript.records import SessionRecord
from session_widgets.workspaces import contents_of, remembered


def latest_files(store: Store, record: SessionRecord) -> KeptFiles | None:
    """Return the files at the end of the latest turn whose files were kept; None without one. Reading them blocks.

    Args:
        store: of the session.
        record: of the session.
    """
    kept = [one for one in store.kept_files(record.id) if one.turn is not None]
    return kept_files(store, record, kept[-1]) if kept else None


def kept_files(store: Store, record: SessionRecord, kept: FilesKept) -> KeptFiles:
    """Return the files of a snapshot. Reading them blocks.

    Args:
        store: of the session.
        record: of the session.
        kept: the note of the snapshot.
    """
    space = remembered(store.home, record.id, record.workspace, record.attachment, data=data_directory())
    return KeptFiles(contents_of(store.home, record.id, space), kept.snapshot, f"the end of turn {kept.turn}")
