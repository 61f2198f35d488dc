"""Validation of the fields of process requests."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from session_widgets.runner.problems import invalid
from session_widgets.runner.processes import Command


def decode_input(body: dict[str, Any], default: str) -> bytes:
    """Return the bytes of `data`; `encoding` is "base64" or "utf8"; raise `Problem` for invalid data."""
    data = body.get("data")
    if not isinstance(data, str):
        raise invalid("data must be text")
    encoding = body.get("encoding", default)
    if encoding in ("utf8", "utf-8", "text"):
        return data.encode()
    if encoding != "base64":
        raise invalid("encoding must be 'utf8' or 'base64'")
    return base64_bytes(data)


def base64_bytes(data: Any) -> bytes:
    """Return decoded base64 text; raise `Problem` for invalid text."""
    if not isinstance(data, str):
        raise invalid("base64 input must be text")
    try:
        return b64decode(data, validate=True)
    except ValueError as error:
        raise invalid(f"invalid base64 input: {error}") from error


def command(body: dict[str, Any]) -> Command:
    """Return the command of a request; raise `Problem` if the body has none."""
    name, args, cwd, env = body.get("command"), body.get("args") or [], body.get("cwd"), body.get("env") or {}
    if not isinstance(name, str) or not name:
        raise invalid("command must be the name of a program")
    if not isinstance(args, list) or not all(isinstance(arg, str) for arg in args):
        raise invalid("args must be a list of text")
    if cwd is not None and not isinstance(cwd, str):
        raise invalid("cwd must be text")
    if not isinstance(env, dict) or not all(isinstance(value, str) for value in env.values()):
        raise invalid("env must hold text by name")
    return Command((name, *args), cwd, env)


def switch(body: dict[str, Any], name: str) -> bool:
    """Return a boolean field; absent = false."""
    value = body.get(name) or False
    if not isinstance(value, bool):
        raise invalid(f"{name} must be true or false")
    return value


def number(body: dict[str, Any], name: str, default: int) -> int:
    """Return a field with a whole number from 0."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise invalid(f"{name} must be a whole number from 0")
    return value
