"""Goes on from an imported session in a new one, which begins with its turns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import orjson

from session_widgets._sessions.journal import note
from session_widgets._store import Store
from session_widgets.errors import BadValue, SessionConflict, SessionGone
from session_widgets.transcript.notes import MemoryRestored, SessionForked, SessionOpened, TurnStarted
from session_widgets.transcript.records import Draft, Event, SessionRecord


def check_continued(
    store: Store, continues: str, new_id: str, known: SessionRecord | None, harnesses: list[str] | None
) -> SessionRecord:
    """Return the import to go on from.

    Args:
        store: of both.
        continues: the import.
        new_id: of the new session.
        known: the session with that id, if it exists.
        harnesses: those that are known, if the import's own is wanted.

    Raises:
        BadValue: it is no import, or its program is no harness.
        SessionConflict: the new session exists, and is no continuation of it.
        SessionGone: the store has no such session.
    """
    record = store.session(continues)
    if record is None:
        raise SessionGone(f"the store has no session {continues!r} to go on from. Its sessions are store().sessions().")
    if record.status != "imported":
        raise BadValue(f"session {continues!r} is no import: open it, and use its fork({new_id!r}).")
    if known is not None and known.forked_from != continues:
        raise SessionConflict(f"session {new_id!r} exists, and does not go on from {continues!r}. Use another id.")
    if harnesses is not None and record.harness not in harnesses:
        own = record.harness or "an unknown program"
        raise BadValue(f"{continues!r} is of {own}, which is no harness here: pass harness=, one of {harnesses}.")
    return record


def offer(store: Store, record: SessionRecord, harnesses: list[str]) -> str:
    """Return what an import is, what can be done with it, and the call that goes on from it."""
    name = record.harness if record.harness in harnesses else "claude"
    turns = f"{record.turns} turn" + ("" if record.turns == 1 else "s")
    return (
        f"session {record.id!r} is an import: {turns} of {record.harness or 'an unknown program'}, from "
        f"{store.import_path(record.id)}. It can be read (store().transcript({record.id!r}), Replay({record.id!r})), "
        f"and not be continued itself. A new session goes on from it: "
        f"open_session({record.id[:100] + '-2'!r}, continues={record.id!r}, harness={name!r})."
    )


def drafts(store: Store, record: SessionRecord, workspace: str, attachment: str) -> list[Draft]:
    """Return the events of the turns of an import, and the note that they are copied."""
    made = [*_copied(record, store.source(record.id).events())]
    last = max((one.turn for one in made if one.turn is not None), default=None)
    forked = SessionForked(session=record.id, turn=last, workspace=workspace, attachment=attachment)
    return [*made, note(forked)]


def _copied(record: SessionRecord, events: list[Event]) -> Iterator[Draft]:
    begun = False
    for event in events:
        if event.kind == SessionOpened.kind and event.direction == "note":
            continue
        payload = orjson.dumps(event.payload).decode()
        copied = Draft(
            event.direction, event.kind, payload, f"import:{record.id}", event.seq, event.turn, event.ts, event.method
        )
        yield copied
        if event.kind == TurnStarted.kind and event.direction == "note":  # a history has the turns with a tier
            restored = MemoryRestored(tier="warm" if begun else "fresh", handed_over=False)
            tier = note(restored, turn=event.turn, source=f"import:{record.id}:tier:{event.turn}")
            yield replace(tier, ts=event.ts)
            begun = True
