"""Reads a line from a person at the cell or terminal, until it is typed or no longer needed."""

from __future__ import annotations

import getpass
import select
import sys
import time
from collections.abc import Callable
from typing import Any

POLL_SECONDS = 0.05
END_OF_FILE = "\x04"


def read_line(
    kernel: Any, prompt: str, is_wanted: Callable[[], bool], closing: float, *, secret: bool = False
) -> str | None:
    """Ask for a line, in the cell of `kernel` or, without one, in the terminal.

    Args:
        kernel: the ipykernel that runs this code, or None.
        prompt: text before the field.
        is_wanted: polled; once it returns False, the line is no longer needed.
        closing: seconds that the field of a cell may take to close when the line is no longer needed: its
            input must not be taken for the answer to the next `input()`.
        secret: whether the input is hidden. A terminal then waits for it in any case.

    Returns:
        The line without its end; None if it is no longer needed.

    Raises:
        EOFError: there is no more input.
    """
    if kernel is not None:
        return _cell(kernel, prompt, is_wanted, closing, secret)
    if secret:
        line = getpass.getpass(prompt)
        return line if is_wanted() else None
    return _terminal(prompt, is_wanted)


def _cell(kernel: Any, prompt: str, is_wanted: Callable[[], bool], closing: float, secret: bool) -> str | None:
    """Like `Kernel.raw_input`, which waits only for its own answer."""
    sys.stdout.flush()
    sys.stderr.flush()
    socket, session = kernel.stdin_socket, kernel.session
    while socket.poll(0):  # answers to earlier questions
        socket.recv_multipart()
    content = {"prompt": prompt, "password": secret}
    parent, ident = kernel.get_parent("shell"), kernel._parent_ident["shell"]
    request = session.send(socket, "input_request", content, parent, ident=ident)
    closes_at: float | None = None
    while closes_at is None or time.monotonic() < closes_at:
        if socket.poll(POLL_SECONDS * 1000):
            reply = session.recv(socket)[1] or {}
            answered = (reply.get("parent_header") or request["header"]).get("msg_id")
            if "content" in reply and answered == request["header"]["msg_id"]:
                return _line(str(reply["content"].get("value", ""))) if is_wanted() else None
        if closes_at is None and not is_wanted():
            closes_at = time.monotonic() + closing
    return None


def _line(value: str) -> str:
    if value == END_OF_FILE:
        raise EOFError
    return value


def _terminal(prompt: str, is_wanted: Callable[[], bool]) -> str | None:
    print(prompt, end="", flush=True)  # noqa: T201  # as `input` does
    while not select.select([sys.stdin], [], [], POLL_SECONDS)[0]:
        if not is_wanted():
            print(flush=True)  # noqa: T201  # ends the line of the prompt
            return None
    if not (line := sys.stdin.readline()):
        raise EOFError
    return line.rstrip("\n")
