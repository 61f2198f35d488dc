"""Starts a confined command with ports of its loopback that lead out: `python -I -S inside.py DIRECTORY PORTS COMMAND`.

Its namespace has no other interface. A process beside the command passes each connection on to a Unix socket of the
runner; it ends with the command. It stands alone and loads little, because each command waits for it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
BACKLOG = 256
PIECE = 1 << 16
NOT_FOUND = 127


def main() -> None:
    """Become the command."""
    directory, ports, *command = sys.argv[1:]
    listeners = {port: socket.create_server(("127.0.0.1", int(port)), backlog=BACKLOG) for port in ports.split(",")}
    parent = os.getpid()
    if os.fork() == 0:
        _pass_on(listeners, directory, parent)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and the command would, too
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 - the whole purpose
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201 - the command's own stderr
        os._exit(NOT_FOUND)


def _pass_on(listeners: dict[str, socket.socket], directory: str, parent: int) -> None:
    """Serve until the command ends."""
    try:
        import ctypes
        from threading import Thread

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            return
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        serving = [
            Thread(target=_serve, args=(listener, f"{directory}/{port}.sock")) for port, listener in listeners.items()
        ]
        for thread in serving:
            thread.start()
        for thread in serving:
            thread.join()
    finally:
        os._exit(0)


def _serve(listener: socket.socket, door: str) -> None:
    from threading import Thread

    while True:
        here, _ = listener.accept()
        there = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            there.connect(door)
        except OSError:  # the runner has ended
            here.close()
            there.close()
            continue
        for one, other in ((here, there), (there, here)):
            Thread(target=_carry, args=(one, other), daemon=True).start()


def _carry(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes to their end, which the other side then sees, too; the last of both directions closes."""
    try:
        while piece := one.recv(PIECE):
            other.sendall(piece)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        for broken in (one, other):
            _close(broken)


def _close(connection: socket.socket) -> None:
    from contextlib import suppress

    with suppress(OSError):  # it is closed
        connection.shutdown(socket.SHUT_RDWR)


def words(directory: str, ports: Sequence[int]) -> list[str]:
    """Return the arguments of Python that start this program before a command."""
    return ["-I", "-S", __file__, directory, ",".join(map(str, ports))]


if __name__ == "__main__":
    main()
