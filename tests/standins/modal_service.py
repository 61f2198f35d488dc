"""A gRPC service of Modal's stand-in: faults on request, and a book of the calls that it does not know."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from grpclib import GRPCError, Status
from grpclib.const import Handler
from modal_proto import api_pb2

if TYPE_CHECKING:
    from tests.standins.modal_books import Books


def answers(method: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[None]]:
    """Turn a function from request to answer into a unary method."""

    @wraps(method)
    async def unary(self: Any, stream: Any) -> None:
        request = await stream.recv_message()
        await stream.send_message(await method(self, request, **_wanted(method, stream)))

    return unary


def _wanted(method: Callable[..., Any], stream: Any) -> dict[str, Any]:
    names = method.__code__.co_varnames[: method.__code__.co_argcount + method.__code__.co_kwonlyargcount]
    return {"metadata": stream.metadata} if "metadata" in names else {}


class Service:
    """Base of both services: every method that a subclass leaves abstract is refused, and fails the test."""

    def __init__(self, books: Books) -> None:
        self.books = books

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for name in dir(cls):
            if getattr(getattr(cls, name, None), "__isabstractmethod__", False):
                setattr(cls, name, _unknown(name))

    def check(self, name: str, metadata: Any) -> None:
        """Raise an error if the caller may not make this call."""

    def __mapping__(self) -> dict[str, Handler]:
        """Return grpclib's table of methods, each behind the checks and faults."""
        table: Mapping[str, Handler] = super().__mapping__()  # type: ignore[misc]
        return {path: handler._replace(func=partial(self._call, path, handler.func)) for path, handler in table.items()}

    def _fail(self, call: str) -> None:
        if fault := self.books.take_fault(call):
            if "http" in fault:
                raise _Page(fault["http"])
            details = [api_pb2.RPCRetryPolicy(retry_after_secs=fault["retry"])] if "retry" in fault else None
            raise GRPCError(Status[fault["status"]], fault.get("message", "a fault was asked for"), details)

    async def _call(self, path: str, func: Callable[[Any], Awaitable[None]], stream: Any) -> None:
        name = path.rpartition("/")[2]
        self.books.calls.append(name)
        try:
            self.check(name, stream.metadata)
            self._fail(name)
            await func(_Held(stream, partial(self._fail, f"after {name}")))
        except GRPCError:
            raise
        except _Page as page:
            await page.send(stream)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.books.unexpected.append(f"{name}: {type(error).__name__}: {error}")
            raise


class _Page(Exception):
    """What answers is not Modal, but a proxy before it: with a status of HTTP, and a page of HTML."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self._headers = [(":status", str(status)), ("content-type", "text/html")]

    async def send(self, stream: Any) -> None:
        """Send it in the place of an answer of gRPC."""
        stream._send_initial_metadata_done = stream._send_trailing_metadata_done = True
        await stream._stream.send_headers(self._headers)
        await stream._stream.send_data(b"<html><h1>Internal Server Error</h1></html>", end_stream=True)


class _Held:
    """A stream whose answer may be lost: then the call has happened, and the caller does not know it."""

    def __init__(self, stream: Any, before_answer: Callable[[], None]) -> None:
        self._stream = stream
        self._before_answer = before_answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __aiter__(self) -> Any:
        return self._stream.__aiter__()

    async def send_message(self, message: Any) -> None:
        """Send an answer, unless it is to be lost."""
        self._before_answer()
        await self._stream.send_message(message)


def _unknown(name: str) -> Callable[[Any, Any], Awaitable[None]]:
    async def unknown(self: Service, stream: Any) -> None:
        self.books.unexpected.append(f"{name} is not implemented")
        raise GRPCError(Status.UNIMPLEMENTED, f"{name} is not implemented in the stand-in")

    return unknown
