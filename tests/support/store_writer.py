"""A process that uses a store, `python -m tests.support.store_writer`, for the tests of sharing.

`stream PATH SESSION SOURCE EVENTS BATCH` appends flat out and prints its longest wait in seconds.
`hold PATH` takes the file, says so, and keeps it. `die PATH SESSION` commits one event and is killed at once.
`rows PATH` queries until its standard input closes, and prints the longest wait.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

from session_widgets._store import store as open_store
from tests.support.drafts import chunk, note


def stream(path: str, session: str, source: str, events: str, batch: str) -> None:
    store, longest = open_store(path), 0.0
    drafts = [chunk(number, f"{source} {number}\n", source=source) for number in range(1, int(events) + 1)]
    for start in range(0, len(drafts), int(batch)):
        begin = time.perf_counter()
        store.append(session, drafts[start : start + int(batch)])
        longest = max(longest, time.perf_counter() - begin)
    print(longest)


def rows(path: str) -> None:
    store, longest, seen = open_store(path), 0.0, 0
    while not select.select([sys.stdin], [], [], 0.01)[0]:
        begin = time.perf_counter()
        count = store.sql("select count(*) from v_events").fetchall()[0][0]
        longest = max(longest, time.perf_counter() - begin)
        assert count >= seen, "what was committed went away"
        seen = count
    print(longest)


def hold(path: str) -> None:
    with open_store(path)._file.transaction():
        print("held", flush=True)
        sys.stdin.read()


def die(path: str, session: str) -> None:
    open_store(path).append(session, [note("session_opened", 1, harness="h", sandbox="s", workspace="w"), chunk(1)])
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    {"stream": stream, "rows": rows, "hold": hold, "die": die}[sys.argv[1]](*sys.argv[2:])
