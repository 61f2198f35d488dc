"""Child processes: each leads its own session and carries the runner's mark."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import psutil

from session_widgets.runner.account import process_options
from session_widgets.runner.config import Config
from session_widgets.runner.guard import MARK, Guard

PR_SET_CHILD_SUBREAPER = 36
STDOUT, STDERR = 1, 2
KILL_SECONDS = 5.0
STRAYS_SECONDS = 2.0
GROUP_POLL_SECONDS = 0.01


class Child(asyncio.SubprocessProtocol):
    """One process. `on_data(stream, bytes)` is called on the loop as output arrives; stream 1 is stdout, 2 stderr.

    Attributes:
        exited: set when the process has exited; `code` is then known.
        silent: set when stdout and stderr are closed.
        code: exit code, or minus the signal that killed it; None while it runs.
    """

    def __init__(self, on_data: Callable[[int, bytes], None]) -> None:
        self._on_data = on_data
        self._open = 0
        self._drained = asyncio.Event()
        self._drained.set()
        self._transport: asyncio.SubprocessTransport | None = None
        self.exited = asyncio.Event()
        self.silent = asyncio.Event()
        self.code: int | None = None
        self.pid = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The process was started."""
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self.pid = self._transport.get_pid()
        self._open = sum(self._transport.get_pipe_transport(fd) is not None for fd in (STDOUT, STDERR))
        if not self._open:
            self.silent.set()
        if stdin := self._stdin():
            stdin.set_write_buffer_limits(high=0)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """The process wrote output."""
        self._on_data(fd, data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """The process closed a stream."""
        if fd == 0:
            self._drained.set()
            return
        self._open -= 1
        if not self._open:
            self.silent.set()

    def pause_writing(self) -> None:
        """The input buffer is full."""
        self._drained.clear()

    def resume_writing(self) -> None:
        """The process has read all of its input."""
        self._drained.set()

    def process_exited(self) -> None:
        """The process exited."""
        assert self._transport is not None
        self.code = self._transport.get_returncode()
        self.exited.set()

    def _stdin(self) -> asyncio.WriteTransport | None:
        assert self._transport is not None
        return cast("asyncio.WriteTransport | None", self._transport.get_pipe_transport(0))

    @property
    def writable(self) -> bool:
        """Whether stdin is open and the process runs."""
        stdin = self._stdin()
        return stdin is not None and not stdin.is_closing() and not self.exited.is_set()

    @property
    def unread(self) -> int:
        """Bytes of stdin that the process has not read yet."""
        stdin = self._stdin()
        return stdin.get_write_buffer_size() if stdin else 0

    def write(self, data: bytes) -> None:
        """Queue `data` for stdin."""
        stdin = self._stdin()
        assert stdin is not None
        stdin.write(data)

    async def drain(self) -> None:
        """Wait until everything queued is in the pipe, or the pipe is broken."""
        await self._drained.wait()

    def close_stdin(self) -> None:
        """Send end of file to the process."""
        if stdin := self._stdin():
            stdin.close()

    def signal(self, number: int) -> None:
        """Send a signal to the whole process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    @property
    def _has_group(self) -> bool:
        """Whether the process group still has a process."""
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # a process of another user remains
        return True

    async def stop(self, grace: float) -> None:
        """Send SIGTERM to the group and SIGKILL after `grace` seconds; wait for the exit.

        If the leader exits first, its children still have the grace period to save their data.
        """
        self.signal(signal.SIGTERM)
        for _ in range(round(grace / GROUP_POLL_SECONDS)):
            if not self._has_group:
                break
            await asyncio.sleep(GROUP_POLL_SECONDS)
        self.signal(signal.SIGKILL)
        await happens(self.exited, KILL_SECONDS)

    async def ended(self, grace: float) -> int:
        """Wait for the exit, then up to `grace` seconds for output that a grandchild may hold open."""
        await self.exited.wait()
        await happens(self.silent, grace)
        assert self.code is not None
        return self.code

    def release(self) -> None:
        """Close the pipes; call it after the process has exited."""
        assert self._transport is not None
        self._transport.close()


class Children:
    """Starts processes and tracks the running ones."""

    def __init__(self, config: Config, guard: Guard) -> None:
        self._env = {**config.env, MARK: config.nonce}
        self._options = process_options(config.user)
        self._confinement = config.confinement
        self._guard = guard
        self.alive: set[Child] = set()
        self._starting = 0
        self._watchers: set[asyncio.Task[None]] = set()

    async def spawn(
        self,
        argv: Sequence[str],
        on_data: Callable[[int, bytes], None],
        *,
        cwd: str,
        env: Mapping[str, str],
        stdin: int = asyncio.subprocess.DEVNULL,
        output: int = asyncio.subprocess.PIPE,
        terminal: Sequence[str] = (),
    ) -> Child:
        """Start `argv` in its own session; raise `OSError` or `ValueError` if that is not possible.

        Args:
            argv: the command.
            on_data: receives its output.
            cwd: its working directory.
            env: its variables, in addition to those of all.
            stdin: its input.
            output: its stdout and stderr.
            terminal: precedes it on this machine, even if it is confined: opens its terminal.
        """
        variables = {**os.environ, **self._env, **env, MARK: self._env[MARK]}
        if self._confinement is not None:
            argv = self._confinement.around(argv, cwd, variables.get("PATH"))
        self._starting += 1
        try:
            _, child = await asyncio.get_running_loop().subprocess_exec(
                lambda: Child(on_data),
                *terminal,
                *argv,
                stdin=stdin,
                stdout=output,
                stderr=output,
                cwd=cwd,
                env=variables,
                start_new_session=True,
                **self._options,
            )
            self._guard.watch(child.pid)
            self.alive.add(child)
        finally:
            self._starting -= 1
        watcher = asyncio.create_task(self._forget(child))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        return child

    async def _forget(self, child: Child) -> None:
        await child.exited.wait()
        self.alive.discard(child)
        self._guard.forget(child.pid)

    async def end_strays(self) -> None:
        """Kill all remaining descendants of the runner, in any session and without any mark (at most STRAYS_SECONDS).

        The runner is the parent of every orphan below it (`adopt_orphans`), so none can escape.
        """
        deadline = time.monotonic() + STRAYS_SECONDS
        while (left := self._family()) and time.monotonic() < deadline:
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            await asyncio.sleep(GROUP_POLL_SECONDS)
            self.reap_orphans()

    def _family(self) -> list[psutil.Process]:
        below = psutil.Process().children(recursive=True)
        return [process for process in below if process.pid != self._guard.pid and not _is_zombie(process)]

    def reap_orphans(self) -> None:
        """Reap exited grandchildren that the runner inherited; its own children are reaped elsewhere."""
        if self._starting:
            return
        ours = {child.pid for child in self.alive} | {self._guard.pid}
        for pid in _zombies():
            if pid not in ours:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)


def adopt_orphans() -> None:
    """Become the parent of every orphan below us, so that none is left as a zombie (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


async def happens(event: asyncio.Event, seconds: float) -> bool:
    """Wait for `event`; False if it did not happen in time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _zombies() -> list[int]:
    return [process.pid for process in psutil.Process().children() if _is_zombie(process)]


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
