"""A search through all sessions, in a cell."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Unpack

from session_widgets._store import searching
from session_widgets._store import store as open_store
from session_widgets._store.choices import choices
from session_widgets._store.hits import Hit, Hits
from session_widgets._store.search_filters import Filters, wanted
from session_widgets.errors import BadValue, SessionWidgetsError
from session_widgets.widgets._base import STATIC, PageWidget
from session_widgets.widgets._playback import Place, Playback
from session_widgets.widgets._replay_source import source_of
from session_widgets.widgets._rpc import Answer, Buffers, Operation, Rpc, serve
from session_widgets.widgets._search_html import search_html
from session_widgets.widgets._search_wire import AskedView, SearchView, choices_view, hit_view
from session_widgets.widgets._text import safe

if TYPE_CHECKING:
    from session_widgets._store import Store

log = logging.getLogger(__name__)

_TELL_SECONDS = 0.1
"""Least time between two messages about how far a search is."""
_AT_ONCE = 150
"""Hits of one message."""
_PATIENCE = 1.0
"""Seconds that a cell waits for a search, before it shows what there is."""
_MORE = {"limit": 5, "time": 6, "again": 1}
_NAMES = ("harness", "tool", "kind", "session")
_WORDS = ("model", "file", "since", "until")


class Search(PageWidget):
    """Search all sessions: a field, filters, the hits in their context, and the session of a hit beside them.

    Live sessions, stored ones and imports alike. `session_widgets.search` returns the same hits without a widget.

    Args:
        text: to search for at first.
        store: with the sessions. Default: `session_widgets.store()`.
        limit: of hits; the newest are kept. The page can raise it.
        timeout: seconds after which a search stops with the hits so far.
        filters: as of `Store.search`: `regex`, `case`, `harness`, `model`, `tool`, `kind`, `error`, `file`, `since`,
            `until`, `session`.

    Raises:
        BadValue: an argument is malformed, or the expression is wrong.

    Example:
        >>> import session_widgets as sw
        >>> sw.Search("connection refused", harness="codex")  # doctest: +SKIP
    """

    _esm = STATIC / "search.js"
    _css = STATIC / "search.css"

    def __init__(
        self,
        text: str = "",
        *,
        store: Store | None = None,
        limit: int = 200,
        timeout: float = 10.0,
        **filters: Unpack[Filters],
    ) -> None:
        if text.strip() or filters:
            wanted(text if text.strip() else "x", filters)
        self._store = open_store() if store is None else store
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._limit, self._timeout = limit, timeout
        self._run = _Run(0, text, filters, limit, timeout)
        self._stopped = False
        self._replay: _Beside | None = None
        self._replays = 0
        self._titles: dict[str, str | None] = {}
        super().__init__()
        if text.strip():
            self._search(text, filters, limit, timeout)
        else:
            self._over.set()

    @property
    def hits(self) -> Hits:
        """The hits that the page shows; waits until the search is over.

        Raises:
            BadValue: the page searches for something that cannot be searched for.
        """
        self._over.wait()
        run = self._run
        if run.error is not None:
            raise BadValue(run.error)
        if run.answer is None:
            return Hits((), reason=None, sessions=0, steps=0, seconds=0.0, store=self._store)
        return run.answer

    def __repr__(self) -> str:
        run = self._run
        return f"Search({run.text!r}, {run.state if run.answer is None else run.answer.coverage})"

    def _operations(self) -> dict[str, Operation]:
        return {
            "search": self._ask,
            "stop": self._stop,
            "more": self._ask_more,
            "choices": lambda _, __: Answer(choices_view(choices(self._store))),
            "open": self._open,
        }

    def _receive(self, _: Any, content: Mapping[str, Any], buffers: Buffers) -> None:
        if content.get("kind") == "part":
            beside = self._replay
            if beside is not None and content.get("part") == beside.name:
                beside.receive(content["message"], buffers)
        else:
            super()._receive(_, content, buffers)

    def _hello(self, view: str) -> None:
        with self._lock:
            self._tell()
            self._send_hits(self._run, 0)

    def _begin(self) -> None:
        self._over.wait(_PATIENCE)

    def _end(self) -> None:
        with self._lock:
            self._stopped = True
            beside, self._replay = self._replay, None
        if beside is not None:
            beside.playback.close()

    def _ask(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        filters: Filters = {"regex": bool(args.get("regex")), "case": bool(args.get("case"))}
        given: dict[str, Any] = {name: _strings(args[name]) for name in _NAMES if args.get(name)}
        given |= {name: str(args[name]) for name in _WORDS if args.get(name)}
        if isinstance(args.get("error"), bool):
            given["error"] = args["error"]
        filters |= given  # type: ignore[typeddict-item]  # its values were just checked
        return Answer({"n": self._search(str(args.get("text", "")), filters, self._limit, self._timeout)})

    def _ask_more(self, _: Mapping[str, Any], __: Buffers) -> Answer:
        with self._lock:
            run = self._run
            more = run.more
            limit = run.limit * (_MORE["limit"] if more == "limit" else 1)
            timeout = run.timeout * (_MORE["time"] if more == "time" else 1)
            return Answer({"n": self._search(run.text, run.filters, limit, timeout)})

    def _stop(self, _: Mapping[str, Any], __: Buffers) -> Answer:
        self._stopped = True
        return Answer()

    def _search(self, text: str, filters: Filters, limit: int, timeout: float) -> int:
        """Begin a search, which ends an earlier one; return its number."""
        with self._lock:
            run = self._run = _Run(self._run.n + 1, text, filters, limit, timeout)
            self._stopped = False
            if text.strip():
                run.state = "running"
                self._over.clear()
                threading.Thread(target=self._work, args=(run,), name=f"search-{run.n}", daemon=True).start()
            else:
                self._over.set()
            self._tell()
            return run.n

    def _work(self, run: _Run) -> None:
        sent = 0
        told_at = 0.0

        def progress(found: Sequence[Hit], done: float) -> bool:
            nonlocal sent, told_at
            self._name(found)
            with self._lock:
                if run is not self._run:
                    return False
                run.found = list(found[: run.limit])
                run.done = done
                sent = self._send_hits(run, sent)
                if time.monotonic() - told_at > _TELL_SECONDS:
                    told_at = time.monotonic()
                    self._tell()
                return not self._stopped

        error = answer = None
        try:
            what = wanted(run.text, run.filters)
            answer = searching.Search(self._store, what, run.limit, run.timeout, progress).run()
            self._name(answer)
        except SessionWidgetsError as failure:  # such as a wrong expression, or a store that another process holds
            error = str(failure)
        except Exception as failure:
            log.exception("a search failed")
            error = f"The search failed: {type(failure).__name__}: {failure}"
        with self._lock:
            if run is not self._run:
                return
            run.answer, run.error, run.state = answer, error, "over"
            run.found = [] if answer is None else list(answer)
            self._send_hits(run, sent)
            self._tell()
            self._over.set()
        self._renew_static()

    def _send_hits(self, run: _Run, first: int) -> int:
        """Send every page the hits from `first` on; return how many have been sent in all."""
        while first < len(run.found):
            some = run.found[first : first + _AT_ONCE]
            titles = {hit.session_id: self._titles.get(hit.session_id) for hit in some}
            hits = [hit_view(hit) for hit in some]
            self.send({"kind": "hits", "n": run.n, "first": first, "hits": hits, "titles": titles})
            first += len(some)
        return first

    def _name(self, hits: Sequence[Hit]) -> None:
        """Read the titles of the sessions of hits."""
        ids = {hit.session_id for hit in hits} - set(self._titles)
        if ids:
            found = dict(self._store.sql(_TITLES, {"ids": list(ids)}).fetchall())
            self._titles.update({each: safe(found[each])[:300] if each in found else None for each in ids})

    def _tell(self) -> None:
        self.send({"kind": "search", "search": self._run.view()})

    def _open(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        """Read the session of a hit, and say at which event its step is complete."""
        with self._lock:
            run = self._run
            if int(args["n"]) != run.n or not 0 <= int(args["hit"]) < len(run.found):
                raise BadValue("these hits are of an earlier search")
            hit = run.found[int(args["hit"])]
            beside = self._replay
        if beside is None or beside.playback.session_id != hit.session_id:
            source = source_of(self._store.transcript(hit.session_id), self._store)
            with self._lock:
                before, self._replays = self._replay, self._replays + 1
                beside = self._replay = _Beside(self, source, str(self._replays))
            if before is not None:
                before.playback.close()
        beside.place = beside.playback.place_of(f"{hit.turn}/{hit.step}")
        return Answer({"part": beside.name, "seq": beside.place.seq, "step": beside.place.step})

    def _static(self) -> dict[str, str]:
        run = self._run
        coverage = run.error or ("" if run.answer is None else run.answer.coverage)
        html = search_html(run.text, coverage, run.found, self.snapshot_id)
        return {"text/html": html, "text/plain": repr(self)}


class _Run:
    """A search and what it has found."""

    def __init__(self, n: int, text: str, filters: Filters, limit: int, timeout: float) -> None:
        self.n, self.text, self.filters, self.limit, self.timeout = n, text, filters, limit, timeout
        self.state: Literal["idle", "running", "over"] = "idle"
        self.done = 0.0
        self.found: list[Hit] = []
        self.answer: Hits | None = None
        self.error: str | None = None

    @property
    def more(self) -> Literal["limit", "time", "again"] | None:
        """What would find more."""
        if self.answer is None or self.answer.complete:
            return None
        if len(self.answer) >= self.limit:
            return "limit"
        return "time" if self.answer.seconds >= self.timeout else "again"

    def view(self) -> SearchView:
        answer = self.answer
        return {
            "n": self.n,
            "asked": _asked_view(self.text, self.filters),
            "state": self.state,
            "done": self.done,
            "found": len(self.found),
            "sessions": 0 if answer is None else answer.sessions,
            "steps": 0 if answer is None else answer.steps,
            "seconds": 0.0 if answer is None else answer.seconds,
            "reason": None if answer is None else answer.reason,
            "more": self.more,
            "error": None if self.error is None else safe(self.error)[:2000],
        }


class _Beside:
    """The replay of a hit's session, whose messages are a part of those of the search."""

    def __init__(self, search: Search, source: Any, name: str) -> None:
        self.name = name
        self.place: Place | None = None
        self._search = search
        self.playback = Playback(source, self._send, lambda: self.place)
        self._rpc = Rpc(self.playback.operations(), self._send)

    def _send(self, message: Any, buffers: Any = None) -> None:
        self._search.send({"kind": "part", "part": self.name, "message": message}, buffers)

    def receive(self, content: Mapping[str, Any], buffers: Buffers) -> None:
        """Handle a message of the page's part."""
        serve(content, buffers, self._rpc, self._hello, self.playback.look)

    def _hello(self, view: str) -> None:
        self.playback.hello()


def _asked_view(text: str, filters: Filters) -> AskedView:
    def names(value: Any) -> list[str] | None:
        return [value] if isinstance(value, str) else None if value is None else [str(one) for one in value]

    def word(value: Any) -> str | None:
        return None if value is None else str(value)

    return {
        "text": safe(text),
        "regex": bool(filters.get("regex")),
        "case": bool(filters.get("case")),
        "harness": names(filters.get("harness")),
        "model": word(filters.get("model")),
        "tool": names(filters.get("tool")),
        "kind": names(filters.get("kind")),
        "error": filters.get("error"),
        "file": word(filters.get("file")),
        "since": word(filters.get("since")),
        "until": word(filters.get("until")),
        "session": names(filters.get("session")),
    }


def _strings(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


_TITLES = "select session_id, title from sessions where session_id in (select unnest($ids)) and title is not null"
