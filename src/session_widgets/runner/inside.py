"""Starts a confined command with ports of its loopback that lead out: `... DIRECTORY PORTS COMMAND`.

Its namespace has no other interface. A process beside the command passes each connection on to a Unix socket of the
runner; it ends with the command.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from session_widgets.runner.doors import BACKLOG, serve

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become the command."""
    directory, ports, *command = sys.argv[1:]
    listeners = {port: socket.create_server(("127.0.0.1", int(port)), backlog=BACKLOG) for port in ports.split(",")}
    parent = os.getpid()
    if os.fork() == 0:
        _pass_on(listeners, Path(directory), parent)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and the command would, too
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 - the whole purpose
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201 - the command's own stderr
        sys.exit(127)


def _pass_on(listeners: dict[str, socket.socket], directory: Path, parent: int) -> None:
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            return
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        asyncio.run(_serve(listeners, directory))
    finally:
        os._exit(0)


async def _serve(listeners: dict[str, socket.socket], directory: Path) -> None:
    for port, listener in listeners.items():
        await serve(listener, lambda port=port: asyncio.open_unix_connection(directory / f"{port}.sock"))  # type: ignore[misc]
    await asyncio.Event().wait()


def words(directory: str, ports: Sequence[int]) -> list[str]:
    """Return the arguments of Python that start this program before a command."""
    return ["-P", "-m", __name__, directory, ",".join(map(str, ports))]


if __name__ == "__main__":
    main()
