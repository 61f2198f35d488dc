"""Start a runner: `python -m session_widgets.runner --config FILE`."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import gc
import os
import signal
import socket
import stat
import sys
from pathlib import Path
from types import FrameType
from typing import IO, Any, cast

from session_widgets.runner.account import close_memory, open_files_as
from session_widgets.runner.config import Config
from session_widgets.runner.confinement import forbid_abstract_sockets, leave_keyring
from session_widgets.runner.doors import Doors
from session_widgets.runner.guard import Guard
from session_widgets.runner.seccomp import close_ways_past_the_network

TICK_SECONDS = 1.0
ACCEPTED_AT_ONCE = 16
"""Connections that asyncio accepts before it reports the first: each is an open file above their bound."""
QUEUE = 2048
KEEP_ALIVE_SECONDS = 60
"""Longer than clients keep an idle connection (httpx: 5 s), so that no request meets a closing server."""


def main() -> int:
    """Run until a signal or until idle; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m session_widgets.runner", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="JSON file, mode 0600; removed after reading")
    file = parser.parse_args().config
    close_memory()
    try:
        config = Config.load(file)
        file.unlink()
        doors = None
        if config.doors:
            close_ways_past_the_network()
            doors = Doors(config.doors)
        if config.user:
            open_files_as(config.user)
        lock = _lock(config.state)
        listeners = [_listen(config)]
        if config.confinement is not None:
            if config.confinement.closed:
                close_ways_past_the_network()
            forbid_abstract_sockets()
            leave_keyring()
            listeners.append(config.confinement.listen())
    except (OSError, ValueError) as error:
        print(f"runner: {error}", file=sys.stderr)  # noqa: T201 - there is no one else to tell
        return 2
    guard = Guard(config.nonce)
    gc.disable()  # the imports make no garbage, and a search for it takes a sixth of the start
    try:
        with lock:
            asyncio.run(_run(config, guard, listeners, doors))
    finally:
        guard.close()
    return 0


def _lock(state: Path) -> IO[bytes]:
    """Lock the state directory for this process, as long as the file is open."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(state.stat().st_mode) & 0o077:
        state.chmod(0o700)  # journals contain every message, unredacted
    file = (state / "lock").open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(f"another runner uses {state}") from None
    return file


async def _run(config: Config, guard: Guard, listeners: list[socket.socket], doors: Doors | None) -> None:
    import uvicorn

    from session_widgets.runner.app import Runner, refusing_at_the_end
    from session_widgets.runner.children import Children, adopt_orphans, happens
    from session_widgets.runner.claimed import ClaimedRunner
    from session_widgets.runner.newcomers import bounded

    loop = asyncio.get_running_loop()
    stopping, ended = asyncio.Event(), asyncio.Event()

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(stopping.set)

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            gc.freeze()
            gc.enable()
            for listener in listeners:
                listener.listen(QUEUE)
            _write_ready(config, listeners[0].getsockname()[1])

        async def main_loop(self) -> None:
            while not await self.on_tick(0):
                await happens(ended, TICK_SECONDS)

    adopt_orphans()
    if doors is not None:
        await doors.open()
    if config.confinement is not None:
        await config.confinement.open()
    runner = ClaimedRunner(config, guard) if config.claims else Runner(config, Children(config, guard))
    server = Server(
        uvicorn.Config(
            refusing_at_the_end(runner.gate, stopping),
            http=bounded(config.limits.max_connections),
            backlog=ACCEPTED_AT_ONCE,
            ws=cast("type[asyncio.Protocol]", _websocket),
            lifespan="off",
            log_level="warning",
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=2,
        )
    )
    serving = asyncio.create_task(server.serve(listeners))
    while not stopping.is_set() and not serving.done():
        await asyncio.wait(
            {serving, asyncio.create_task(stopping.wait())}, timeout=TICK_SECONDS, return_when="FIRST_COMPLETED"
        )
        await runner.look_after()
        if config.idle_seconds and runner.idle_seconds > config.idle_seconds:
            stopping.set()
    (config.state / "ready.json").unlink(missing_ok=True)
    await runner.stop()
    server.should_exit = True
    ended.set()
    await serving


def _websocket(**options: Any) -> asyncio.Protocol:
    """Return uvicorn's protocol for a WebSocket; its library loads with the first terminal."""
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    return WebSocketsSansIOProtocol(**options)


def _listen(config: Config) -> socket.socket:
    """Bind; asyncio turns Nagle's algorithm off (40 ms an answer) only for sockets that are TCP by name."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except OSError as error:
        raise ValueError(f"cannot listen on {config.host} port {config.port}: {error.strerror}") from error
    return listener


def _write_ready(config: Config, port: int) -> None:
    import orjson

    path = config.state / "ready.json"
    partial = path.with_suffix(".tmp")
    partial.write_bytes(orjson.dumps({"port": port, "pid": os.getpid(), "nonce": config.nonce}))
    partial.replace(path)


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    code = main()
    sys.stderr.flush()
    os._exit(code)  # all is closed; to take the interpreter apart as well costs a quarter of a start
