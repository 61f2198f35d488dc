"""Writes to the store, and publishes events after their commit."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import count
from typing import ParamSpec, TypeVar
from uuid import uuid4

import orjson

from session_widgets._store import Store
from session_widgets._store.stamp import Stamp
from session_widgets.errors import StoreBusy
from session_widgets.transcript.notes import Note
from session_widgets.transcript.records import Direction, Draft, Event, Json

Subscriber = Callable[[list[Event]], None]
Patience = Callable[[StoreBusy | None], bool]
P = ParamSpec("P")
T = TypeVar("T")

LOG = logging.getLogger("session_widgets")
TAIL_SECONDS = 1.0
PAGE = 5_000
_ENDING = "after interpreter shutdown"
"""In the error of a pool of threads in a program that ends (`concurrent.futures.thread`)."""
_numbers = count(1)


class Journal:
    """One session's events. Lives on the private loop.

    Several processes may write one session: events are published in the store's order, so each
    subscriber receives every event once and in order, from any writer.

    Args:
        patience: called each time that another process has held the file for too long; returns whether to keep waiting.
            Called with None when the file was free again.
    """

    def __init__(
        self,
        store: Store,
        session_id: str,
        cursor: int,
        owner: Subscriber,
        patience: Patience = lambda _: False,
    ) -> None:
        self.store = store
        self.session_id = session_id
        self.cursor = cursor
        self._lock = asyncio.Lock()
        self._owner = owner
        self._patience = patience
        self._subscribers: list[Subscriber] = []
        self._tail: asyncio.Task[None] | None = None

    async def commit(self, drafts: Sequence[Draft]) -> list[Event]:
        """Store `drafts` in one transaction, publish them, and return the new ones."""
        return await asyncio.shield(self._commit(drafts))

    async def ask(self, work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Call a method of the store in a thread; while a turn is running, wait for the file without a limit."""
        waited = False
        while True:
            try:
                result = await asyncio.to_thread(work, *args, **options)
            except StoreBusy as busy:
                if not self._patience(busy):
                    raise
                waited = True
            else:
                if waited:
                    self._patience(None)
                return result

    async def publish(self, written: list[Event]) -> None:
        """Publish events that were stored without `commit`."""
        async with self._lock:
            await self._publish_written(written)

    async def catch_up(self) -> None:
        """Publish the events that other processes stored meanwhile."""
        async with self._lock:
            await self._publish_stored()

    async def watch(self, subscriber: Subscriber, after: int) -> None:
        """Call `subscriber` with every event after `after`, then with every new one."""
        async with self._lock:
            while after < self.cursor:
                limit = min(PAGE, self.cursor - after)
                page = await self.ask(self.store.events, self.session_id, after, limit)
                if not page:
                    break
                _deliver(subscriber, page)
                after = page[-1].seq
            self._subscribers.append(subscriber)
        if self._tail is None or self._tail.done():
            self._tail = asyncio.create_task(self._follow())

    def unwatch(self, subscriber: Subscriber) -> None:
        """Stop calling `subscriber`."""
        if subscriber in self._subscribers:
            self._subscribers.remove(subscriber)

    def close(self) -> None:
        """Stop publishing: there will be no events."""
        self._subscribers.clear()

    async def _commit(self, drafts: Sequence[Draft]) -> list[Event]:
        async with self._lock:
            written = await self.ask(self.store.append, self.session_id, drafts)
            await self._publish_written(written)
            return written

    async def _publish_written(self, written: list[Event]) -> None:
        """Publish the stored events; read them from the store if others have written in between."""
        if written and written[0].seq == self.cursor + 1:
            self._publish(written)
        else:
            await self._publish_stored()

    async def _publish_stored(self) -> None:
        full = True
        while full:
            page = await self.ask(self.store.events, self.session_id, self.cursor, PAGE)
            full = len(page) == PAGE
            if page:
                self._publish(page)

    def _publish(self, events: list[Event]) -> None:
        self.cursor = events[-1].seq
        self._owner(events)
        for subscriber in tuple(self._subscribers):
            _deliver(subscriber, events)

    async def _follow(self) -> None:
        """Detect events of other processes while this one writes nothing."""
        stamp = Stamp(self.store.path)
        while self._subscribers:
            await asyncio.sleep(TAIL_SECONDS)
            if self.store.closed:
                return
            try:
                if await asyncio.to_thread(stamp.has_moved):
                    await self.catch_up()
            except Exception as error:
                if isinstance(error, RuntimeError) and _ENDING in str(error):
                    return
                stamp.forget()
                LOG.exception("could not read new events of session %s; trying again", self.session_id)


def kernel() -> str:
    """Return the `source` of this process's events; a forked process has another."""
    return _kernel(os.getpid())


@cache
def _kernel(_: int) -> str:
    return f"kernel:{uuid4().hex}"


def next_number() -> int:
    """Return the next `source_seq` of this process."""
    return next(_numbers)


def _deliver(subscriber: Subscriber, events: list[Event]) -> None:
    try:
        subscriber(events)
    except Exception:  # one broken subscriber must not stop the session
        LOG.exception("a subscriber of session %s failed", events[0].session_id)


def note(said: Note, *, turn: int | None = None, source: str = "") -> Draft:
    """Return a draft of a note. A `source` names a note that can exist only once, from any process."""
    return draft("note", said.kind, said.encode(), turn, source=source)


def draft(
    direction: Direction,
    kind: str,
    payload: Json,
    turn: int | None,
    *,
    method: str | None = None,
    source: str = "",
    source_seq: int = 1,
) -> Draft:
    """Return a draft of an event of this process."""
    return Draft(
        direction=direction,
        kind=kind,
        payload=orjson.dumps(payload).decode(),
        source=source or kernel(),
        source_seq=source_seq if source else next_number(),
        turn=turn,
        ts=datetime.now(UTC),
        method=method,
    )
