"""The gateway of a sandbox without a network: `python -m session_widgets.runner.gateway JSON`.

It runs in a container of its own, which has a network and shares with the sandbox only a directory of Unix sockets
(`doors.py`). It passes connections to its ports on into the sandbox. With rules, `{"egress": {...}}`, it serves the
sandbox's proxy; without, nothing leads out. It ends with the runner.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from session_widgets.runner.doors import ALIVE, BACKLOG, PROXY, bound, serve
from session_widgets.runner.egress import Egress
from session_widgets.runner.egress_proxy import HEAD_BYTES, Proxy
from session_widgets.runner.egress_upstream import Upstream

READY = "ready"
START_SECONDS = 60
POLL_SECONDS = 0.02


async def run(config: dict[str, Any]) -> int:
    """Run until the runner ends, or a signal comes; return the exit code.

    Args:
        config: `directory`, `ports` and, unless nothing leads out, `egress`.
    """
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    directory = Path(config["directory"])
    if rules := config.get("egress"):
        way_out = bound(directory / PROXY)
        (directory / PROXY).chmod(0o666)  # the runner opens files with an agent's rights; agents cannot come here
        proxy = Proxy(Egress.from_json(rules), Upstream.of(os.environ))
        await asyncio.start_unix_server(proxy, sock=way_out, backlog=BACKLOG, limit=HEAD_BYTES)
    for port in config["ports"]:
        door = socket.create_server(("0.0.0.0", port), backlog=BACKLOG)  # noqa: S104 - published on loopback alone
        await serve(door, lambda port=port: asyncio.open_unix_connection(directory / str(port)))  # type: ignore[misc]  # mypy infers no lambda with a default
    print(READY, flush=True)  # noqa: T201 - the kernel waits for it
    waits = asyncio.create_task(stopping.wait())
    lives = asyncio.create_task(_until_the_runner_ends(directory / ALIVE))
    await asyncio.wait({waits, lives}, return_when="FIRST_COMPLETED")
    return 0


async def _until_the_runner_ends(alive: Path) -> None:
    with contextlib.suppress(OSError):
        async with asyncio.timeout(START_SECONDS):
            while True:
                try:
                    reader, writer = await asyncio.open_unix_connection(alive)
                    break
                except OSError:  # it has not started yet
                    await asyncio.sleep(POLL_SECONDS)
        await reader.read()
        writer.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(run(json.loads(sys.argv[1]))))
