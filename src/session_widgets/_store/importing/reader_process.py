"""A process that reads the files of a large import, so that reading and writing use a core each.

It is started like a program, not forked and not by `multiprocessing`, which would run a notebook's `__main__` again.
"""

from __future__ import annotations

import gc
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection, Pipe
from multiprocessing.reduction import ForkingPickler
from typing import Any

from session_widgets._store.importing.pieces import Piece
from session_widgets._store.importing.reading import Finished, Plan, read
from session_widgets.errors import StoreError

WORTH_IT = 16 * 2**20
"""Bytes to read from which the process, which starts in 0.3 s, is worth it."""
AHEAD = 8
"""Pieces that it reads while the store is written."""
READY, DONE = "ready", "done"


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def messages(plan: Plan) -> Iterator[Piece | Finished]:
    """Read the files of a plan, in a process of its own if that is faster.

    Raises:
        StoreError: the process was killed.
    """
    if sum(each.size for each in plan.files) < WORTH_IT or cores() < 2:
        yield from read(plan)
        return
    ours, its = Pipe()
    path = os.pathsep.join(entry for entry in sys.path if entry)
    with its:
        command = [sys.executable, "-P", "-c", _PROGRAM, str(its.fileno())]
        process = subprocess.Popen(
            command, pass_fds=[its.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": path}, start_new_session=True,
        )  # fmt: skip
    try:
        with ours:
            if _started(ours, plan):
                yield from _received(ours, process)
                return
    finally:
        process.kill()
        process.wait()
    yield from read(plan)  # no program can be started here


_PROGRAM = "import sys; from session_widgets._store.importing.reader_process import main; main(int(sys.argv[1]))"


def _started(connection: Connection, plan: Plan) -> bool:
    try:
        connection.send(plan)
        return bool(connection.recv() == READY)
    except (EOFError, OSError):
        return False


def _received(connection: Connection, process: subprocess.Popen[bytes]) -> Iterator[Piece | Finished]:
    while True:
        try:
            message = connection.recv()
        except (EOFError, OSError):
            raise StoreError(
                f"the process that reads the files ended with status {process.wait()}; what was written stays. "
                "Import again to continue."
            ) from None
        if message == DONE:
            return
        yield message


def main(descriptor: int) -> None:
    """Read what the plan says, and send it; ends with the process that asked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.set_threshold(100_000, 50, 50)
    connection = Connection(descriptor)
    plan = connection.recv()
    ahead: queue.Queue[Any] = queue.Queue(AHEAD)
    sender = threading.Thread(target=_send, args=(connection, ahead))
    sender.start()
    ahead.put(ForkingPickler.dumps(READY))
    for message in read(plan):
        ahead.put(ForkingPickler.dumps(message, 5))
    ahead.put(ForkingPickler.dumps(DONE))
    ahead.put(None)
    sender.join()


def _send(connection: Connection, ahead: queue.Queue[Any]) -> None:
    try:
        while (data := ahead.get()) is not None:
            connection.send_bytes(data)
    except OSError:
        os._exit(1)  # nobody reads it
