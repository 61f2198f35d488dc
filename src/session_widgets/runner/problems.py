"""Errors as `application/problem+json`, with sandbox-agent's types."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from session_widgets.runner.limits import camel


class Problem(Exception):
    """An error for the client; `code` is the last part of `urn:sandbox-agent:error:<code>`."""

    def __init__(self, status: int, code: str, message: str = "", **extra: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.extra = extra

    def response(self) -> Response:
        """Return the error response."""
        title = self.code.replace("_", " ").title()
        message = str(self)
        body = {
            "type": f"urn:sandbox-agent:error:{self.code}",
            "title": title,
            "status": self.status,
            "detail": f"{title.lower()}: {message}" if message else title.lower(),
            **self.extra,
        }
        return Response(orjson.dumps(body), self.status, media_type="application/problem+json")


def invalid(message: str) -> Problem:
    """The request is malformed."""
    return Problem(400, "invalid_request", message)


def unprocessable(message: str) -> Problem:
    """The request is JSON with an invalid value."""
    return Problem(422, "invalid_request", message)


def conflict(message: str) -> Problem:
    """The request conflicts with the current state."""
    return Problem(409, "conflict", message, details={"message": message})


def gone() -> Problem:
    """The session that the client works for no longer holds this runner."""
    return Problem(410, "sandbox_gone", "another session holds this runner, or none does")


def stopping() -> Problem:
    """The runner has begun to end: it has not done what the request asks for."""
    return Problem(503, "stopping", "this runner is ending", accepted=False)


def over_limit(status: int, name: str, value: int, what: str) -> Problem:
    """A limit was reached; `name` is the field of `Limits` to raise."""
    return Problem(status, "limit_exceeded", f"{what}; raise the limit {camel(name)} ({value})", limit=camel(name))


_BY_ERRNO = {
    errno.ENOENT: (404, "not_found", "path not found"),
    errno.ENOTDIR: (400, "invalid_request", "path is not a directory"),
    errno.EISDIR: (400, "invalid_request", "path is a directory"),
    errno.EINVAL: (400, "invalid_request", "not possible for this path"),
    errno.EBUSY: (409, "conflict", "path is busy"),
    errno.EXDEV: (400, "invalid_request", "source and destination are on different file systems"),
    errno.ENAMETOOLONG: (400, "invalid_request", "name is too long"),
    errno.ELOOP: (400, "invalid_request", "too many symbolic links"),
    errno.EEXIST: (409, "conflict", "path exists"),
    errno.ENOTEMPTY: (409, "conflict", "directory is not empty; delete it with recursive=true"),
    errno.EACCES: (403, "permission_denied", "the operating system refuses"),
    errno.EPERM: (403, "permission_denied", "the operating system refuses"),
    errno.EROFS: (403, "permission_denied", "the file system is read-only"),
    errno.ENOSPC: (507, "no_space", "the disk is full"),
    errno.EDQUOT: (507, "no_space", "the disk quota is used up"),
    errno.EMFILE: (503, "stream_error", "too many open files"),
    errno.ENFILE: (503, "stream_error", "too many open files"),
}


def from_os_error(error: OSError, path: str) -> Problem:
    """Return the text of an operating system error about `path`."""
    code = error.errno or 0
    status, kind, words = _BY_ERRNO.get(code, (500, "stream_error", os.strerror(code)))
    return Problem(status, kind, f"{words}: {path}")


@contextmanager
def telling(path: str) -> Iterator[None]:
    """Turn an operating system error about `path` into a `Problem`."""
    try:
        yield
    except OSError as error:
        raise from_os_error(error, path) from error


async def answer_unknown_route(_: Request, error: Exception) -> Response:
    """Exception handler for errors of Starlette's router."""
    status = getattr(error, "status_code", 500)
    words = {404: "endpoint not found", 405: "method not allowed"}.get(status, "request refused")
    return Problem(status, "invalid_request", words).response()


async def answer_nobody(_: Request, __: Exception) -> Response:
    """Exception handler for clients that disconnect during their request."""
    return Response(status_code=400)


async def answer_bug(_: Request, error: Exception) -> Response:
    """Exception handler for everything else; the traceback goes to the log, not to the client."""
    return Problem(500, "stream_error", f"internal error ({type(error).__name__})").response()
