"""Answers the page's requests by operation name. Handlers run on a small pool: the kernel's threads never wait."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

from session_widgets.errors import BadValue, SessionWidgetsError
from session_widgets.widgets._protocol import Reply

log = logging.getLogger(__name__)

Buffers = Sequence[bytes | memoryview]


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of an operation, with bytes beside it."""

    value: Any = None
    buffers: tuple[bytes, ...] = ()


Operation = Callable[[Mapping[str, Any], Buffers], Answer]


@cache
def pool() -> ThreadPoolExecutor:
    """Return the threads shared by all widgets of this process."""
    return ThreadPoolExecutor(max_workers=8, thread_name_prefix="session-widgets-rpc")


class Rpc:
    """The named operations of one widget.

    Args:
        operations: the only operations of a page.
        send: sends one message with its buffers to every page.
    """

    def __init__(self, operations: Mapping[str, Operation], send: Callable[[Any, list[bytes]], None]) -> None:
        self._operations = operations
        self._send = send
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], Future[None]] = {}

    def call(self, message: Mapping[str, Any], buffers: Buffers) -> None:
        """Start an operation and return at once; a repeated request number starts nothing."""
        view, number = str(message.get("view")), int(message["id"])
        with self._lock:
            if (view, number) not in self._running:
                self._running[view, number] = pool().submit(self._run, view, number, message, buffers)

    def cancel(self, message: Mapping[str, Any]) -> None:
        """Cancel a request: a queued request never runs, a running request gets no answer."""
        with self._lock:
            future = self._running.pop((str(message.get("view")), int(message["id"])), None)
        if future is not None:
            future.cancel()

    def _run(self, view: str, number: int, message: Mapping[str, Any], buffers: Buffers) -> None:
        reply: Reply = {"kind": "reply", "view": view, "id": number, "ok": True, "value": None, "error": None}
        answer = Answer()
        try:
            answer = self._operation(message)(_args(message), buffers)
            reply["value"] = answer.value
        except Exception as error:
            if not isinstance(error, (SessionWidgetsError, OSError, ValueError)):
                log.exception("operation %r of a widget failed", message.get("op"))
            reply["ok"] = False
            reply["error"] = {"type": type(error).__name__, "message": str(error)[:4000] or type(error).__name__}
        with self._lock:
            wanted = self._running.pop((view, number), None) is not None
        if wanted:
            self._send(reply, list(answer.buffers))

    def _operation(self, message: Mapping[str, Any]) -> Operation:
        operation = self._operations.get(str(message.get("op")))
        if operation is None:
            raise BadValue(f"no operation {message.get('op')!r:.40}; there are {', '.join(self._operations)}")
        return operation


def _args(message: Mapping[str, Any]) -> Mapping[str, Any]:
    args = message.get("args", {})
    if not isinstance(args, Mapping):
        raise BadValue(f"args must be an object; got {type(args).__name__}")
    return args


def serve(
    content: Mapping[str, Any],
    buffers: Buffers,
    rpc: Rpc,
    hello: Callable[[str], None],
    look: Callable[[], None],
) -> None:
    """Handle a message of a page, on any thread.

    Args:
        content: of the message.
        buffers: beside it.
        rpc: takes its requests.
        hello: called with the name of a page that has opened.
        look: called on the pool when a page asks for what changes without an event.
    """
    match content.get("kind"):
        case "hello":
            hello(str(content.get("view")))
        case "ping":
            pool().submit(look)
        case "rpc":
            rpc.call(content, buffers)
        case "cancel":
            rpc.cancel(content)
