"""Read a line from a person at the cell or terminal, until they have answered or nobody wants the answer any more."""

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
        prompt: what stands before the field.
        is_wanted: looked at all the time; once it is False, nobody waits for the line.
        closing: seconds that the field of a cell may take to close when the line is not wanted any more: what it sends
            then is not to be taken for the answer to the next `input()`.
        secret: whether what is typed is not shown. A terminal then waits for it, wanted or not.

    Returns:
        The line without its end; None if it is not wanted any more.

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
    """Do as `Kernel.raw_input`, which waits for its own answer alone."""
    sys.stdout.flush()
    sys.stderr.flush()
    socket, session = kernel.stdin_socket, kernel.session
    while socket.poll(0):  # answers to questions that are over
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
