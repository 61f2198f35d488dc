"""JSON-RPC envelopes of ACP: building and classifying them. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from session_widgets.transcript.envelopes import as_text, update_of
from session_widgets.transcript.records import Json

METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
AGENT_GONE = -32603
"""The runner's error code for requests that were open when the agent exited: JSON-RPC's internal error."""
AGENT_EXITED = "_adapter/agent_exited"
INVALID_STDOUT = "_adapter/invalid_stdout"
ANSWERED = "_adapter/answered"
"""Notice of the runner that an answer to a request of the agent was delivered, from any client."""
CHANGES = "_adapter/changes"
"""Notice of the runner before a response: the files changed since the request was sent with a snapshot's name."""

_LONGEST_KIND = 64


def request(request_id: str, method: str, params: Json) -> dict[str, Any]:
    """A message that expects an answer."""
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


def notification(method: str, params: Json) -> dict[str, Any]:
    """A message that expects no answer."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def result(asked: Json, value: Json | None) -> dict[str, Any]:
    """The answer to the agent's request `asked`."""
    return {"jsonrpc": "2.0", "id": asked["id"], "result": value}


def error(asked: Json, code: int, message: str) -> dict[str, Any]:
    """The error response to the agent's request `asked`."""
    return {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": code, "message": message}}


def method_of(message: Json) -> str | None:
    """Method of a request or notification; None for a response and for a message that is not JSON-RPC."""
    return as_text(message.get("method"))


def is_request(message: Json) -> bool:
    """Whether the message is a request. Only a method tells, because both sides may use one id."""
    return "id" in message and method_of(message) is not None


def classify(message: Json, methods: Mapping[str | int, str]) -> tuple[str | None, str]:
    """Return `method` and `kind` of an envelope's event.

    Args:
        message: the envelope, of either direction.
        methods: method of each request that `message` may answer, by its id.

    Returns:
        `(method, kind)` of `session_widgets.Event`.
    """
    method = method_of(message)
    if method is None:
        id_ = message.get("id")
        asked = methods.get(id_) if isinstance(id_, str | int) else None
        if "error" in message:
            return asked, "error"
        return asked, "response" if "result" in message else "notification"
    if "id" in message:
        return method, "request"
    if method == "session/update":
        return method, _update_kind(message) or "notification"
    return method, "notification"


def _update_kind(message: Json) -> str | None:
    kind = as_text(update_of(message).get("sessionUpdate"))
    return kind if kind is not None and len(kind) <= _LONGEST_KIND and kind.isidentifier() else None
