"""Matches responses with their requests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

from session_widgets.acp import messages
from session_widgets.errors import AgentExited, AgentFailed
from session_widgets.transcript.envelopes import as_object, as_text, quote, rpc_error_text
from session_widgets.transcript.records import Json

Handled = Literal["request", "response", "repeat", "notification"]

_EXIT_FIELDS = {"code", "signal", "stderr"}


@dataclass(frozen=True, slots=True)
class Call:
    """A request: the envelope to post, and the future of its result."""

    envelope: dict[str, Any]
    result: asyncio.Future[Any] = field(repr=False)

    @property
    def id(self) -> str:
        """Id of the request."""
        return str(self.envelope["id"])


class Peer:
    """Our side of the JSON-RPC conversation with one agent process.

    It does no I/O: post the envelope of a `Call` yourself, and pass every message that arrives to
    `handle` once it is stored. So no result is visible before it is stored.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._methods: dict[str | int, str] = {}

    @property
    def methods(self) -> Mapping[str | int, str]:
        """Method of every request made or expected so far, by id: `classify` needs it for responses."""
        return self._methods

    def request(self, method: str, params: Json) -> Call:
        """Make a request under a new id. Ids are uuids: two clients of one agent must never use the same."""
        request_id = str(uuid4())
        return Call(messages.request(request_id, method, params), self.expect(request_id, method))

    def expect(self, request_id: str, method: str) -> asyncio.Future[Any]:
        """Wait for the response to a request that an earlier process may have sent.

        Returns:
            A future of the response's `result`. It raises AgentFailed for an error response, AgentExited
            if the agent ends first, and whatever `fail` is given.
        """
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(_mark_retrieved)
        self._methods[request_id] = method
        self._waiting[request_id] = future
        return future

    def handle(self, message: Json) -> Handled:
        """Handle one stored message of the agent.

        Returns:
            Its role: a "request" expects an answer from the caller; a "repeat" is a response without an
            open request, such as the second copy of one.
        """
        if messages.is_request(message):
            return "request"
        method = messages.method_of(message)
        if method == messages.AGENT_EXITED:
            self.fail_all(agent_exited(message))
        if method is not None or not ("result" in message or "error" in message):
            return "notification"
        return "response" if self._settle(message) else "repeat"

    def fail(self, request_id: str, error: Exception) -> None:
        """Fail one request with `error`; an answered request is not changed."""
        future = self._waiting.pop(request_id, None)
        if future is not None and not future.done():
            future.set_exception(error)

    def fail_all(self, error: Exception) -> None:
        """Fail every open request with `error`, because no answer can come any more."""
        for request_id in list(self._waiting):
            self.fail(request_id, error)

    def _settle(self, message: Json) -> bool:
        id_ = message.get("id")
        future = self._waiting.pop(id_, None) if isinstance(id_, str) else None
        if future is None:
            return False
        if future.done():  # the waiting task was cancelled
            return True
        if "error" in message:
            future.set_exception(_failure(message["error"]))
        else:
            future.set_result(message["result"])
        return True


def agent_exited(message: Json) -> AgentExited:
    """The error that an `_adapter/agent_exited` notice stands for."""
    return _exited(as_object(message.get("params")))


def _exited(how: Json) -> AgentExited:
    code, signal, stderr = how.get("code"), how.get("signal"), as_text(how.get("stderr")) or ""
    end = f"with code {code!s:.20}" if signal is None else f"by signal {signal!s:.20}"
    return AgentExited(
        f"the agent process ended {end}{quote(stderr)}", code=code if isinstance(code, int) else None, stderr=stderr
    )


def _failure(error: object) -> AgentExited | AgentFailed:
    body = as_object(error)
    code, data = body.get("code"), body.get("data")
    if code == messages.AGENT_GONE and as_object(data).keys() >= _EXIT_FIELDS:
        return _exited(as_object(data))
    return AgentFailed(rpc_error_text(error), code=code if isinstance(code, int) else None, data=data)


def _mark_retrieved(future: asyncio.Future[Any]) -> None:
    """Keep asyncio from warning about an error that was never retrieved."""
    if not future.cancelled():
        future.exception()
