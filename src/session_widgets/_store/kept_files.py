"""Which snapshots of a session's files can be used, according to its notes."""

from __future__ import annotations

from collections.abc import Iterable

from session_widgets.transcript.notes import FilesDropped, FilesKept, TurnStarted, read_note
from session_widgets.transcript.records import Json


def kept(events: Iterable[tuple[str, int | None, str, Json]]) -> list[FilesKept]:
    """Return the usable `files_kept` notes.

    Args:
        events: the notes about kept files, and the starts of turns, in order: kind, turn, source, and payload.
    """
    found: list[FilesKept] = []
    started: dict[int | None, str] = {}
    for kind, turn, source, payload in events:
        if kind == TurnStarted.kind:
            started[turn] = source
            continue
        note = read_note(kind, payload)
        if isinstance(note, FilesDropped):
            found = [one for one in found if one.snapshot not in note.snapshots]
        elif isinstance(note, FilesKept):
            following = None if note.turn is None else started.get(note.turn + 1)
            if following in {None, note.process}:
                found.append(note)
    return found
