"""The numbered messages of one connection, read as server-sent events: each once, none missing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, NamedTuple

import httpx
import orjson

from session_widgets.acp.backoff import LONGEST_PAUSE, Backoff
from session_widgets.acp.messages import AGENT_EXITED, INVALID_STDOUT
from session_widgets.acp.problems import error_of
from session_widgets.acp.sse import ServerSentEvent, SseParser
from session_widgets.answers import pieces, whole
from session_widgets.errors import ProtocolError, TransportError

MAX_BATCH = 500  # events
MAX_BATCH_BYTES = 1_000_000
MOST_REFUSAL = 1_000_000
READ_AHEAD_BYTES = 8_000_000
SETTLE = 0.005  # seconds that an update waits for the next messages; a response waits for none
SILENCE = 30.0  # seconds; heartbeats come every 15
MAX_EARLY = 2_000  # events
STRAGGLERS = 0.3  # seconds; sandbox-agent reports an exit before, or even between, the agent's last messages

_RAW_IN_NOTICE = 2000
_log = logging.getLogger(__name__)


class Received(NamedTuple):
    """A message of the agent: its number on this connection (from 1), its JSON as received, and parsed."""

    id: int
    raw: bytes
    message: dict[str, Any]


class _NotThereYet(Exception):
    """The agent process is still being started."""


class _Gap(Exception):
    """The messages `first` to `last` are missing in the stream."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__(first, last)
        self.first = first
        self.last = last


class EventStream:
    """Reads ahead in its own task, and yields batches of the messages since the last batch.

    Attributes:
        is_open: whether an HTTP response is being read now.
        heard_at: when the last bytes came, heartbeats too, on the monotonic clock.

    Args:
        client: of the runner.
        path: of the connection.
        last_id: number of the last message that the caller has already.
        give_up: seconds of failing in a row after which the connection counts as broken.
        may_appear: whether a missing connection may still be created.
    """

    def __init__(
        self, client: httpx.AsyncClient, path: str, last_id: int, *, give_up: float, may_appear: Callable[[], bool]
    ) -> None:
        self.last_id = last_id
        self.is_open = False
        self.heard_at = time.monotonic()
        self._opened = self._was_open = False
        self._client = client
        self._path = path
        self._give_up = give_up
        self._may_appear = may_appear
        self._reader: asyncio.Task[None] | None = None
        self._closed = False
        self._over = False

    async def batches(self) -> AsyncGenerator[list[Received], None]:
        """Yield messages after `last_id`; see `AcpConnection.batches`."""
        if self._reader is not None:
            raise RuntimeError("this connection is already being read")
        if self._closed or self._over:
            return
        ahead = _ReadAhead(self.last_id)
        reader = self._reader = asyncio.create_task(self._read(ahead))
        reader.add_done_callback(lambda _: ahead.end())
        try:
            while True:
                while not ahead.ready and not reader.done():
                    ahead.arrived.clear()
                    ahead.urgent.clear()
                    await ahead.arrived.wait()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(SETTLE):
                            await ahead.urgent.wait()
                if not ahead.ready:
                    break
                batch = ahead.take()
                self.last_id = batch[-1].id
                yield batch
            if not reader.cancelled():
                reader.result()
                self._over = True
        except _Gap as gap:
            self.last_id = gap.last
            raise ProtocolError(f"the runner lost messages {gap.first} to {gap.last} of this connection") from gap
        finally:
            self._reader = None
            reader.cancel()
            await asyncio.wait([reader])

    async def close(self) -> None:
        """End the iteration, in any task."""
        self._closed = True
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])

    async def _read(self, ahead: _ReadAhead) -> None:
        """Fill `ahead` until the agent exits, over as many HTTP responses as necessary."""
        patience = Backoff(self._give_up)
        asked_again_at: int | None = None
        while True:
            began, position = time.monotonic(), ahead.last_id
            cause: Exception | None = None
            self._was_open = False
            try:
                await self._read_response(ahead)
            except _NotThereYet:
                patience.restore()
            except (httpx.TransportError, TransportError) as error:
                cause = error
            except _Gap as gap:
                if asked_again_at == ahead.last_id:
                    raise
                asked_again_at = ahead.last_id
                _log.info("messages %d to %d of %s are missing, asking again", gap.first, gap.last, self._path)
                continue
            if ahead.agent_exited:
                return
            silent = not self._was_open or isinstance(cause, httpx.TimeoutException)
            if ahead.last_id > position or (not silent and time.monotonic() - began > LONGEST_PAUSE):
                patience.restore()
            elif patience.is_over():
                reason = f": {str(cause) or repr(cause):.200}" if cause else ": it ends the stream at once"
                raise TransportError(f"the runner has not answered for {self._give_up:g} s{reason}") from cause
            _log.debug("the stream of %s was cut (%r), reading on after %d", self._path, cause, ahead.last_id)
            await patience.pause()

    async def _read_response(self, ahead: _ReadAhead) -> None:
        """Read one HTTP response to its end, or until nothing more arrives after the agent's exit."""
        headers = {"accept": "text/event-stream"}
        if ahead.last_id:
            headers["last-event-id"] = str(ahead.last_id)
        timeout = httpx.Timeout(self._give_up, read=SILENCE)
        async with self._client.stream("GET", self._path, headers=headers, timeout=timeout) as response:
            if response.status_code != 200:
                if response.status_code == 404 and not self._opened and self._may_appear():
                    raise _NotThereYet
                raise error_of(await whole(response, MOST_REFUSAL))
            self._opened = self._was_open = self.is_open = True
            try:
                await self._read_events(response, ahead)
            finally:
                self.is_open = False
            ahead.check_complete()

    async def _read_events(self, response: httpx.Response, ahead: _ReadAhead) -> None:
        parser = SseParser()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as limit:
                async for chunk in pieces(response):
                    limit.reschedule(None)
                    self.heard_at = time.monotonic()
                    ahead.add(parser.feed(chunk))
                    await ahead.room()
                    limit.reschedule(ahead.complete_by())


class _ReadAhead:
    """Messages that were read and not yet yielded."""

    def __init__(self, last_id: int) -> None:
        self.last_id = last_id
        self.ready: deque[Received] = deque()
        self.arrived = asyncio.Event()
        self.urgent = asyncio.Event()  # a response, or the end
        self.agent_exited = False
        self._early: dict[int, bytes] = {}
        self._complete_by: float | None = None
        self._bytes = 0
        self._taken = asyncio.Event()

    def add(self, events: list[ServerSentEvent]) -> None:
        """Add new messages; a message ahead of its turn waits for the missing ones."""
        for event in events:
            if event.event != b"message":
                continue
            id_ = _number(event.id)
            if id_ > self.last_id + 1:
                self._early[id_] = event.data
                if len(self._early) > MAX_EARLY:
                    self.check_complete()
            elif id_ == self.last_id + 1:
                self._append(id_, event.data)
                while self._early and (data := self._early.pop(self.last_id + 1, None)) is not None:
                    self._append(self.last_id + 1, data)

    def _append(self, id_: int, data: bytes) -> None:
        received = _received(id_, data)
        self.ready.append(received)
        self.arrived.set()
        if "method" not in received.message:
            self.urgent.set()
        self.last_id = id_
        self._bytes += len(received.raw)
        if received.message.get("method") == AGENT_EXITED:
            self.agent_exited = True

    def end(self) -> None:
        """Wake the reader: nothing more arrives."""
        self.arrived.set()
        self.urgent.set()

    def complete_by(self) -> float | None:
        """Deadline, on the loop's clock, of missing messages; None if none are known to be missing."""
        if not self._early and not self.agent_exited:
            self._complete_by = None
        elif self._complete_by is None or not self._early:
            self._complete_by = asyncio.get_running_loop().time() + STRAGGLERS
        return self._complete_by

    def check_complete(self) -> None:
        """Raise `_Gap` if messages are missing, and drop the ones after them."""
        if self._early:
            gap = _Gap(self.last_id + 1, min(self._early) - 1)
            self._early.clear()
            self._complete_by = None
            raise gap

    async def room(self) -> None:
        """Wait until less than READ_AHEAD_BYTES are buffered."""
        while self._bytes > READ_AHEAD_BYTES:
            self._taken.clear()
            await self._taken.wait()

    def take(self) -> list[Received]:
        """Yield the oldest messages, up to one batch."""
        batch: list[Received] = []
        size = 0
        while self.ready and len(batch) < MAX_BATCH and size < MAX_BATCH_BYTES:
            received = self.ready.popleft()
            size += len(received.raw)
            batch.append(received)
        self._bytes -= size
        self._taken.set()
        return batch


def _number(id_: bytes | None) -> int:
    if id_ is None or not id_.isdigit():
        raise ProtocolError(f"the runner sent a message without a number: {id_!r:.80}")
    return int(id_)


def _received(id_: int, data: bytes) -> Received:
    """Parse one message. A value that is no JSON object becomes the runner's notice for invalid output."""
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        reason = str(error)
    else:
        if isinstance(message, dict):
            return Received(id_, data, message)
        reason = "not a JSON object"
    raw = data[:_RAW_IN_NOTICE].decode(errors="replace")
    notice = {"jsonrpc": "2.0", "method": INVALID_STDOUT, "params": {"error": reason, "raw": raw}}
    return Received(id_, orjson.dumps(notice), notice)
