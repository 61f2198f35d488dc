"""JSON-RPC messages as bytes: checked to be one object on one line, forwarded as received."""

from __future__ import annotations

import json
import re
import signal
from typing import Any

import orjson

RAW_CHARS = 4096
MAX_DEPTH = 250
"""Levels of nesting that are forwarded. orjson writes 254, and recursion in Python has 1,000 frames."""
TOO_DEEP = f'"[nested deeper than {MAX_DEPTH} levels]"'.encode()
RUNNER = "_adapter/"
"""Prefix of the runner's own notifications."""
INTERNAL_ERROR = -32603
_MARKS = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)
_SURROGATES = re.compile("[\ud800-\udfff]")

Message = dict[str, Any]


def read_line(line: bytes) -> tuple[Message, bytes]:
    """Return an agent's line as an object and as the bytes to forward.

    The bytes are unchanged, unless they contain a carriage return (which would end a line of an event stream),
    half a surrogate pair (agents cut emoji in two; strict JSON readers refuse the rest), or values nested deeper
    than `MAX_DEPTH` (each becomes the text `TOO_DEEP`).

    Raises:
        ValueError: the line is not a JSON object, or its method is one of the runner's own.
    """
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError:
        line = _mend(_shallow(line))
        message = orjson.loads(line)
    if not isinstance(message, dict):
        raise ValueError("expected a JSON object")
    if is_runners_own(message):
        raise ValueError(f"methods that begin with {RUNNER} are the runner's own")
    if line.count(b"[") + line.count(b"{") > MAX_DEPTH and not _can_be_written(message):
        line = _shallow(line)
        message = orjson.loads(line)
    return message, orjson.dumps(message) if b"\r" in line else line


def is_runners_own(message: Message) -> bool:
    """Whether a message is a notification of the runner itself."""
    method = message.get("method")
    return isinstance(method, str) and method.startswith(RUNNER)


def one_line(message: Message, body: bytes) -> bytes:
    """Return a client's message as one line; raise `ValueError` if it is nested too deep."""
    if b"\n" not in body and b"\r" not in body:
        return body.strip()
    try:
        return orjson.dumps(message)
    except TypeError as error:
        raise ValueError(f"the message is nested deeper than {MAX_DEPTH} levels") from error


def key_of(request_id: object) -> bytes:
    """Return a name for a JSON-RPC id that tells 1 from "1"."""
    return orjson.dumps(request_id)


def notification(method: str, params: Message) -> bytes:
    """Return a notification of the runner itself."""
    return orjson.dumps({"jsonrpc": "2.0", "method": method, "params": params})


def invalid_stdout(error: str, raw: bytes) -> bytes:
    """Report a line of the agent that is not JSON-RPC."""
    return notification("_adapter/invalid_stdout", {"error": error, "raw": raw[:RAW_CHARS].decode(errors="replace")})


def agent_exited(code: int | None, signal_: int | None, stderr: str) -> bytes:
    """Report the exit of the agent process; the last line of its journal."""
    params = {"success": code == 0, "code": code, "signal": signal_, "stderr": stderr}
    return notification("_adapter/agent_exited", params)


def answered(message: Message) -> bytes:
    """Announce that a client's answer to a request of the agent is about to be delivered.

    It contains the outcome of a permission's answer; other answers may contain secrets.
    """
    result = message.get("result")
    outcome = result.get("outcome") if isinstance(result, dict) else None
    chosen = {name: outcome.get(name) for name in ("outcome", "optionId")} if isinstance(outcome, dict) else None
    return notification("_adapter/answered", {"id": message["id"], "outcome": chosen})


def tells_of_exit(line: bytes) -> bool:
    """Whether a line of a journal is from `agent_exited`; only the runner can have written it."""
    return bool(orjson.loads(line).get("method") == "_adapter/agent_exited")


def exit_error(key: bytes, code: int | None, signal_: int | None, stderr: str) -> bytes:
    """Return the response to a request whose agent has exited: JSON-RPC's internal error.

    `-32000` would be wrong: in ACP it means that the user has to log in.
    """
    how = f"with code {code}" if code is not None else "before this request"
    message = f"agent was killed by {_signal_name(signal_)}" if signal_ else f"agent exited {how}"
    error = {"code": INTERNAL_ERROR, "message": message, "data": {"code": code, "signal": signal_, "stderr": stderr}}
    return orjson.dumps({"jsonrpc": "2.0", "id": orjson.Fragment(key), "error": error})


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _can_be_written(message: Message) -> bool:
    try:
        orjson.dumps(message)
    except TypeError:
        return False
    return True


def _shallow(line: bytes) -> bytes:
    """Return JSON whose arrays and objects below `MAX_DEPTH` are replaced by a text that says so."""
    kept: list[bytes] = []
    depth = start = 0
    quoted = False
    for found in _MARKS.finditer(line):
        mark = found.group()
        if mark == b'"':
            quoted = not quoted
        elif quoted or mark.startswith(b"\\"):
            continue
        elif mark in (b"[", b"{"):
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept += [line[start : found.start()], TOO_DEEP]
        else:
            if depth == MAX_DEPTH + 1:
                start = found.end()
            depth -= 1
    if depth > MAX_DEPTH:
        raise ValueError("unexpected end of data")
    return b"".join([*kept, line[start:]])


def _mend(line: bytes) -> bytes:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    value = json.loads(line, parse_constant=refuse)
    return _SURROGATES.sub("\ufffd", json.dumps(value, ensure_ascii=False)).encode()
