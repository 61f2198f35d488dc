"""The annotations of a replayed session: a page reads, adds and removes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from session_widgets.errors import BadValue
from session_widgets.widgets._parts import step_key
from session_widgets.widgets._rpc import Answer, Buffers, Operation
from session_widgets.widgets._text import safe

if TYPE_CHECKING:
    from session_widgets._store import Store
    from session_widgets.transcript.sources import EventSource

MOST = 2_000
"""Annotations of a session that a page receives; the newest ones."""
_OWN = f"""select annotation_id, turn, step, until_turn, until_step, label, note, author from v_annotations
           where session_id = ? and turn is not null order by created_at desc, annotation_id limit {MOST}"""  # noqa: S608
_LABELS = "select label from v_annotations group by all order by count(*) desc, label limit 50"
_UID = "select step_uid from v_steps where session_id = ? and turn = ? and step = ?"


class AnnotationView(TypedDict):
    """An annotation: of step `step` of turn `turn`, up to `until` of a span."""

    id: str
    turn: int
    step: int
    until: str | None
    label: str
    note: str | None
    author: str


class AnnotationsView(TypedDict):
    """What a page knows: annotations of the session, newest first, and labels of the whole store to choose from."""

    annotations: list[AnnotationView]
    labels: list[str]


class Annotations:
    """Answers a page; a session that is in no store, such as a saved file, has none.

    Args:
        source: of the session's events.
    """

    def __init__(self, source: EventSource) -> None:
        self._store: Store | None = getattr(source, "store", None)
        self._session_id = source.record.id

    def operations(self) -> dict[str, Operation]:
        """Return the operations of a page, by name."""
        return {"annotations": self._read, "annotate": self._annotate, "unannotate": self._remove}

    def _read(self, _: Mapping[str, Any] = {}, __: Buffers = ()) -> Answer:
        if self._store is None:
            return Answer(None)
        rows = self._store.sql(_OWN, [self._session_id]).fetchall()
        labels = [safe(label) for (label,) in self._store.sql(_LABELS).fetchall()]
        return Answer(AnnotationsView(annotations=[_view(*row) for row in rows], labels=labels))

    def _annotate(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        store = self._need()
        until = str(args.get("until") or "").strip()
        last = None
        if until:
            key = step_key(until)
            if key is None:
                raise BadValue(f"the last step of a span is named by turn/index, such as 2/14; got {until!r:.60}.")
            last = self._uid(*key)
        store.annotate(
            self._uid(int(args["turn"]), int(args["step"])),
            str(args.get("label") or ""),
            until=last,
            note=str(args.get("note") or "").strip() or None,
            session=self._session_id,
        )
        return self._read()

    def _remove(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        self._need().remove_annotations([str(args["id"])])
        return self._read()

    def _need(self) -> Store:
        if self._store is None:
            raise BadValue("this session is in no store: import its file, then replay it by its id.")
        return self._store

    def _uid(self, turn: int, step: int) -> str:
        rows = self._need().sql(_UID, [self._session_id, turn, step]).fetchall()
        if not rows:
            raise BadValue(f"the store has no step {turn}/{step} of this session yet.")
        return str(rows[0][0])


def _view(
    id: str,
    turn: int,
    step: int,
    until_turn: int | None,
    until_step: int | None,
    label: str,
    note: str | None,
    author: str,
) -> AnnotationView:
    return {
        "id": id,
        "turn": turn,
        "step": step,
        "until": None if until_turn is None else f"{until_turn}/{until_step}",
        "label": safe(label),
        "note": safe(note)[:2000] if note else None,
        "author": safe(author),
    }
