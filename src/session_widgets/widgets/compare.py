"""Runs side by side."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from session_widgets._sessions.opening import opened
from session_widgets._store import store as open_store
from session_widgets.analysis.alignment import check_ids
from session_widgets.errors import SessionGone
from session_widgets.transcript.notes import FilesKept, TurnEnded
from session_widgets.transcript.records import Event, Step
from session_widgets.widgets._base import STATIC, PageWidget
from session_widgets.widgets._compare_html import compare_html
from session_widgets.widgets._comparison import Comparison
from session_widgets.widgets._parts import answer_image, answer_text
from session_widgets.widgets._rpc import Answer, Buffers, Operation, pool

if TYPE_CHECKING:
    from session_widgets._store import Store

log = logging.getLogger(__name__)

_PAUSE = 2.0
"""Seconds between two looks at sessions whose turns run."""


class Compare(PageWidget):
    """Set two to eight sessions side by side: aligned steps, where they part, their figures and their files.

    Live sessions, stored ones and imports alike; it follows those that go on.

    Args:
        ids: the sessions; the figures of the others are compared with those of the first one.
        store: with the sessions. Default: `session_widgets.store()`.

    Raises:
        BadValue: there are not two to eight different ids.
        SessionGone: the store has none of them.

    Example:
        >>> import session_widgets as sw
        >>> sw.Compare(["run-a", "run-b"])  # doctest: +SKIP
    """

    _esm = STATIC / "compare.js"
    _css = STATIC / "compare.css"

    def __init__(self, ids: Sequence[str], *, store: Store | None = None) -> None:
        check_ids(ids)
        self._store = open_store() if store is None else store
        self._ids = tuple(ids)
        self._marks = self._latest()
        self._comparison = Comparison(self._store, ids)
        if all(run is None for run in self._comparison.runs):
            raise SessionGone(f"the store has none of {', '.join(ids)}; session_widgets.sessions() lists those it has.")
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        """Held while runs are compared: a page that says hello does not wait for it."""
        self._n = 1
        self._looked = time.monotonic()
        self._unsubscribe: list[Callable[[], None]] = []
        super().__init__()

    def __repr__(self) -> str:
        return f"Compare({list(self._ids)!r})"

    def _end(self) -> None:
        unsubscribe, self._unsubscribe = self._unsubscribe, []
        for each in unsubscribe:
            each()

    def _operations(self) -> dict[str, Operation]:
        return {
            "cells": lambda args, _: Answer(self._comparison.cells(int(args["first"]), int(args["last"]))),
            "endings": lambda _, __: Answer(self._comparison.endings()),
            "steps": lambda args, _: Answer(self._comparison.steps(int(args["column"]))),
            "files": lambda _, __: Answer(self._comparison.files.view()),
            "file": lambda args, _: Answer(self._comparison.files.texts(int(args["file"]))),
            "text": lambda args, _: answer_text(self._step(args), args),
            "image": lambda args, _: answer_image(self._step(args), args),
            "refresh": self._refresh,
        }

    def _step(self, args: Mapping[str, Any]) -> Step:
        return self._comparison.step(int(args["run"]), int(args["turn"]), int(args["index"]))

    def _refresh(self, _: Mapping[str, Any], __: Buffers) -> Answer:
        self._look(whatever=True)
        return Answer()

    def _hello(self, view: str) -> None:
        self._follow()
        self._tell()

    def _follow(self) -> None:
        """Follow the sessions that are open in this process, also while a cell runs."""
        if not self._unsubscribe:
            for session_id, mark in zip(self._ids, self._marks, strict=True):
                session = opened(self._store, session_id)
                if session is not None:
                    self._unsubscribe.append(session.subscribe(self._on_events, after=mark))

    def _on_events(self, events: list[Event]) -> None:
        ended = any(event.kind in {TurnEnded.kind, FilesKept.kind} for event in events)
        if ended or time.monotonic() - self._looked > _PAUSE:
            self._looked = time.monotonic()
            pool().submit(self._look)

    def _latest(self) -> list[int]:
        return [self._store.last_seq(session_id) for session_id in self._ids]

    def _look(self, *, whatever: bool = False) -> None:
        """Compare again, if a session went on."""
        try:
            with self._looking:
                marks = self._latest()
                if marks == self._marks and not whatever:
                    return
                comparison = Comparison(self._store, self._ids, self._comparison)
                with self._lock:
                    self._comparison, self._marks = comparison, marks
                    self._n += 1
            self._tell()
            self._renew_static()
        except Exception:
            log.exception("sessions could not be compared again")

    def _tell(self) -> None:
        with self._lock:
            self.send({"kind": "comparison", "n": self._n, "comparison": self._comparison.view()})

    def _static(self) -> dict[str, str]:
        said = f"{', '.join(self._ids)}\n{self._comparison.alignment or self._comparison.problem}"
        return {"text/html": compare_html(self._comparison, self.snapshot_id), "text/plain": said}
