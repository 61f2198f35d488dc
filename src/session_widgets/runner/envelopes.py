"""JSON-RPC messages as bytes: checked to be one object on one line, forwarded as received."""

from __future__ import annotations

import json
import re
import signal
from typing import Any

import orjson

RAW_CHARS = 4096
_SURROGATES = re.compile("[\ud800-\udfff]")

Message = dict[str, Any]


def read_line(line: bytes) -> tuple[Message, bytes]:
    """Return an agent's line as an object and as the bytes to forward.

    The bytes are those received, unless they hold a carriage return (which would end a line of an event stream)
    or half a surrogate pair (agents cut emoji in two; strict JSON readers refuse the rest).

    Raises:
        ValueError: the line is not a JSON object.
    """
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError:
        line = _mend(line)
        message = orjson.loads(line)
    if not isinstance(message, dict):
        raise ValueError("expected a JSON object")
    return message, orjson.dumps(message) if b"\r" in line else line


def key_of(request_id: object) -> bytes:
    """Return a name for a JSON-RPC id that tells 1 from "1"."""
    return orjson.dumps(request_id)


def notification(method: str, params: Message) -> bytes:
    """Return a notification of the runner itself."""
    return orjson.dumps({"jsonrpc": "2.0", "method": method, "params": params})


def invalid_stdout(error: str, raw: bytes) -> bytes:
    """Say that the agent wrote something that is not JSON-RPC."""
    return notification("_adapter/invalid_stdout", {"error": error, "raw": raw[:RAW_CHARS].decode(errors="replace")})


def agent_exited(code: int | None, signal_: int | None, stderr: str) -> bytes:
    """Say that the agent process ended; the last line of its journal."""
    params = {"success": code == 0, "code": code, "signal": signal_, "stderr": stderr}
    return notification("_adapter/agent_exited", params)


def exit_error(key: bytes, code: int | None, signal_: int | None, stderr: str) -> bytes:
    """Return the answer to a request that the agent will not answer any more."""
    message = f"agent was killed by {_signal_name(signal_)}" if signal_ else f"agent exited with code {code}"
    error = {"code": -32000, "message": message, "data": {"code": code, "signal": signal_, "stderr": stderr}}
    return orjson.dumps({"jsonrpc": "2.0", "id": orjson.Fragment(key), "error": error})


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _mend(line: bytes) -> bytes:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    value = json.loads(line, parse_constant=refuse)
    return _SURROGATES.sub("\ufffd", json.dumps(value, ensure_ascii=False)).encode()
