"""JSON-RPC 2.0 on one connection: answers the client's requests and sends it ours."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

Json = dict[str, Any]
Handler = Callable[[Json], Awaitable[Any]]

_log = logging.getLogger(__name__)


class RequestError(Exception):
    """A JSON-RPC error: raised by a handler it is the answer, raised by `Connection.request` it was the answer."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data

    @classmethod
    def parse_error(cls, details: str) -> RequestError:
        """What arrived is not JSON."""
        return cls(-32700, "Parse error", {"details": details})

    @classmethod
    def invalid_request(cls, details: str) -> RequestError:
        """What arrived is not a request, or the request cannot be made now."""
        return cls(-32600, "Invalid request", {"details": details})

    @classmethod
    def method_not_found(cls, method: str) -> RequestError:
        """There is no such method."""
        return cls(-32601, "Method not found", {"method": method})

    @classmethod
    def invalid_params(cls, details: str) -> RequestError:
        """A parameter is missing, of another type, or has a value that cannot be."""
        return cls(-32602, "Invalid params", {"details": details})

    @classmethod
    def internal_error(cls, details: str) -> RequestError:
        """The handler broke."""
        return cls(-32603, "Internal error", {"details": details})

    @classmethod
    def auth_required(cls, details: str) -> RequestError:
        """ACP: the user must log in first."""
        return cls(-32000, "Authentication required", {"details": details})

    @classmethod
    def resource_not_found(cls, uri: str) -> RequestError:
        """ACP: a session or file is not there."""
        return cls(-32002, "Resource not found", {"uri": uri})

    def as_json(self) -> Json:
        """Return the `error` of a response."""
        return {"code": self.code, "message": str(self), "data": self.data}


class Transport(Protocol):
    """What carries the messages; `wire.StdioTransport` in the agent."""

    async def send(self, message: Json) -> None:
        """Write one message; ConnectionError when the other end is gone."""

    async def receive(self) -> Json | None:
        """Return the next message, None at the end."""

    def close(self) -> None:
        """Write nothing more."""


class Connection:
    """Runs each request in a task of its own, so that a cancel is heard while a prompt runs.

    Args:
        transport: what carries the messages.
        requests: by method, what returns the result of a request with these params, or raises `RequestError`.
        notifications: by method, what takes the params of a notification. One without a handler is ignored.
    """

    def __init__(
        self, transport: Transport, requests: Mapping[str, Handler], notifications: Mapping[str, Handler]
    ) -> None:
        self._transport = transport
        self._requests = requests
        self._notifications = notifications
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked: dict[int, asyncio.Future[Any]] = {}  # our requests without an answer
        self._next_id = 0

    async def serve(self) -> None:
        """Handle messages until the end of input; then cancel what runs. Whatever can be answered at once, is."""
        try:
            while (message := await self._transport.receive()) is not None:
                self._take(message)
            await asyncio.sleep(0)  # each task gets as far as it gets without waiting
        finally:
            self._transport.close()
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

    async def request(self, method: str, params: Json) -> Any:
        """Send a request and return its result.

        Raises:
            RequestError: the client answered with an error.
            ConnectionError: the client is gone.
        """
        id_ = self._next_id
        self._next_id += 1
        answer = self._asked[id_] = asyncio.get_running_loop().create_future()
        try:
            await self._transport.send({"jsonrpc": "2.0", "id": id_, "method": method, "params": params})
            return await answer
        finally:
            self._asked.pop(id_, None)

    async def notify(self, method: str, params: Json) -> None:
        """Send a notification.

        Raises:
            ConnectionError: the client is gone.
        """
        await self._transport.send({"jsonrpc": "2.0", "method": method, "params": params})

    def _take(self, message: Json) -> None:
        if "method" not in message:
            self._settle(message)
            return
        task = asyncio.create_task(self._answer(message) if "id" in message else self._hear(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _settle(self, response: Json) -> None:
        """Hand a response to who asked; one that nobody waits for, or that comes twice, is dropped."""
        id_ = response["id"]
        answer = self._asked.pop(id_, None) if type(id_) is int else None
        if answer is None or answer.done():
            return
        if "result" in response or not response.get("error"):
            answer.set_result(response.get("result"))
            return
        error = response["error"]
        answer.set_exception(RequestError(error.get("code", -32603), str(error.get("message")), error.get("data")))

    async def _answer(self, request: Json) -> None:
        response: Json = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            response["result"] = await self._call(self._requests, request)
        except RequestError as error:
            response["error"] = error.as_json()
        except Exception as error:
            _log.exception("the request %s broke", request["method"])
            response["error"] = RequestError.internal_error(str(error)).as_json()
        with contextlib.suppress(ConnectionError):
            await self._transport.send(response)

    async def _hear(self, notification: Json) -> None:
        try:
            await self._call(self._notifications, notification)
        except RequestError:
            pass  # JSON-RPC: a notification is never answered
        except Exception:  # one broken notification must not end the connection
            _log.exception("the notification %s broke", notification["method"])

    async def _call(self, handlers: Mapping[str, Handler], message: Json) -> Any:
        handler = handlers.get(message["method"])
        if handler is None:
            raise RequestError.method_not_found(message["method"])
        params = message.get("params")
        return await handler({} if params is None else params)
