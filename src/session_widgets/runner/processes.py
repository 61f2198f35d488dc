"""Commands: run to the end, or started and followed."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from signal import SIGKILL, SIGTERM
from typing import Any, Literal

from session_widgets.runner.children import STDERR, STDOUT, Child, Children, happens
from session_widgets.runner.config import Config
from session_widgets.runner.output import Output
from session_widgets.runner.problems import Problem, conflict, invalid, over_limit
from session_widgets.runner.terminal import Terminal

LAST_OUTPUT_SECONDS = 0.2
RUN_GRACE_SECONDS = 1.0
MAX_UNREAD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Command:
    """A command without a shell. `cwd` is relative to the workspace."""

    argv: tuple[str, ...]
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Outcome:
    """Result of a `run`; `code` is minus the signal that killed it."""

    code: int
    timed_out: bool
    out: bytes
    err: bytes
    out_truncated: bool
    err_truncated: bool
    seconds: float


class Process:
    """A started command; its output can be followed."""

    def __init__(
        self, id_: str, command: Command, child: Child, output: Output, terminal: Terminal | None, *, interactive: bool
    ) -> None:
        self.id = id_
        self.command = command
        self.output = output
        self.interactive = interactive
        self.terminal = terminal
        self.child = child
        self.created_ms = _now_ms()
        self.exited_ms: int | None = None

    def write(self, data: bytes) -> None:
        """Write to its stdin; raise `Problem` if it accepts none."""
        sink = self.terminal or self.child
        if self.exited_ms or not self.interactive:
            raise conflict("process does not take input")
        if sink.unread + len(data) > MAX_UNREAD_BYTES:
            raise conflict(f"process has not read {sink.unread} bytes of its input yet")
        sink.write(data)

    def resize(self, cols: Any, rows: Any) -> None:
        """Set the size of its terminal; raise `Problem` without a terminal."""
        if not all(isinstance(size, int) and 0 < size <= 0xFFFF for size in (cols, rows)):
            raise invalid("cols and rows must be whole numbers from 1 to 65535")
        if self.terminal is None or self.exited_ms:
            raise conflict("process has no terminal")
        self.terminal.resize(cols, rows)

    def json(self) -> dict[str, Any]:
        """Return sandbox-agent's record, without unknown fields."""
        code = self.child.code if self.exited_ms else None
        record = {
            "id": self.id,
            "command": self.command.argv[0],
            "args": list(self.command.argv[1:]),
            "cwd": self.command.cwd,
            "tty": self.terminal is not None,
            "interactive": self.interactive,
            "owner": "user",
            "status": "exited" if self.exited_ms else "running",
            "pid": None if self.exited_ms else self.child.pid,
            "exitCode": code if code is not None and code >= 0 else None,
            "signal": -code if code is not None and code < 0 else None,
            "createdAtMs": self.created_ms,
            "exitedAtMs": self.exited_ms,
        }
        return {key: value for key, value in record.items() if value is not None}


class Processes:
    """Every command of one runner."""

    def __init__(self, config: Config, children: Children) -> None:
        self.limits = config.limits
        self._root = config.root
        self._children = children
        self._running = 0
        self._number = 0
        self._by_id: dict[str, Process] = {}
        self._lives: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether any command runs."""
        return self._running > 0

    def configure(self, limits: Mapping[str, int]) -> None:
        """Change limits, with the names in `Limits`."""
        self.limits = replace(self.limits, **limits)

    def list(self) -> list[Process]:
        """Return the processes, oldest first."""
        return list(self._by_id.values())

    def get(self, id_: str) -> Process:
        """Return a process; raise `Problem` if it does not exist."""
        if process := self._by_id.get(id_):
            return process
        raise Problem(404, "not_found", f"process {id_}", details={"id": id_, "resource": "process"})

    async def run(self, command: Command, *, stdin: bytes, timeout: float | None, max_bytes: int) -> Outcome:
        """Run to the end; cancelling kills the process group.

        Args:
            command: what to run.
            stdin: the whole input.
            timeout: in seconds, None = no limit.
            max_bytes: limit of each of stdout and stderr; the rest is read and dropped.
        """
        kept = {STDOUT: bytearray(), STDERR: bytearray()}
        seen = {STDOUT: 0, STDERR: 0}

        def on_data(stream: int, data: bytes) -> None:
            seen[stream] += len(data)
            kept[stream] += data[: max_bytes - len(kept[stream])]

        started = time.monotonic()
        self._take_slot()
        try:
            child = await self._spawn(command, on_data, stdin=bool(stdin))
            timed_out = await _finish(child, stdin, timeout)
        finally:
            self._running -= 1
        assert child.code is not None
        return Outcome(
            code=child.code,
            timed_out=timed_out,
            out=bytes(kept[STDOUT]),
            err=bytes(kept[STDERR]),
            out_truncated=seen[STDOUT] > max_bytes,
            err_truncated=seen[STDERR] > max_bytes,
            seconds=time.monotonic() - started,
        )

    async def start(self, command: Command, *, interactive: bool, tty: bool) -> Process:
        """Start a command and return at once."""
        output = Output(self.limits.max_log_bytes_per_process)
        names = {STDOUT: "stdout", STDERR: "stderr"}
        self._take_slot()
        try:
            terminal = Terminal(lambda data: output.add("pty", data)) if tty else None
            if terminal:
                child = await self._spawn_on(terminal, command)
            else:
                child = await self._spawn(
                    command, lambda stream, data: output.add(names[stream], data), stdin=interactive
                )
        except BaseException:
            self._running -= 1
            raise
        self._number += 1
        process = Process(f"proc_{self._number}", command, child, output, terminal, interactive=interactive or tty)
        self._by_id[process.id] = process
        life = asyncio.create_task(self._live(process))
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)
        return process

    async def signal(self, process: Process, how: Literal["stop", "kill"], wait: float) -> None:
        """Send TERM or KILL to the process group and wait up to `wait` seconds for the exit."""
        if not process.exited_ms:
            process.child.signal(SIGTERM if how == "stop" else SIGKILL)
            event = process.output.subscribe()
            deadline = time.monotonic() + wait
            while not process.exited_ms and await happens(event, deadline - time.monotonic()):
                event.clear()
            process.output.unsubscribe(event)

    def delete(self, process: Process) -> None:
        """Remove an exited process."""
        if not process.exited_ms:
            raise conflict("process is still running; stop or kill it before delete")
        self._by_id.pop(process.id, None)

    async def stop(self) -> None:
        """Kill every started process."""
        running = [process.child for process in self.list() if not process.exited_ms]
        await asyncio.gather(*(child.stop(RUN_GRACE_SECONDS) for child in running))
        await asyncio.gather(*self._lives)

    def _take_slot(self) -> None:
        limit = self.limits.max_concurrent_processes
        if self._running >= limit:
            raise over_limit(409, "max_concurrent_processes", limit, f"{limit} commands are running")
        self._running += 1

    async def _live(self, process: Process) -> None:
        child = process.child
        if terminal := process.terminal:
            await child.exited.wait()
            terminal.hang_up()
            await happens(terminal.silent, LAST_OUTPUT_SECONDS)
            terminal.close()
        else:
            await child.ended(LAST_OUTPUT_SECONDS)
        child.release()
        process.exited_ms = _now_ms()
        process.output.end()
        self._running -= 1
        exited = [one for one in self.list() if one.exited_ms]
        for old in exited[: -self.limits.max_exited_processes]:
            self._by_id.pop(old.id, None)

    async def _spawn(self, command: Command, on_data: Any, *, stdin: bool) -> Child:
        cwd = self._cwd(command)
        try:
            return await self._children.spawn(
                command.argv,
                on_data,
                cwd=cwd,
                env=command.env,
                stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            )
        except (OSError, ValueError) as error:
            raise _spawn_problem(error) from error

    async def _spawn_on(self, terminal: Terminal, command: Command) -> Child:
        cwd = self._cwd(command)
        try:
            if not shutil.which(command.argv[0], path=command.env.get("PATH")) and "/" not in command.argv[0]:
                raise FileNotFoundError(2, os.strerror(2))
            return await terminal.spawn(self._children, command.argv, cwd=cwd, env=command.env)
        except (OSError, ValueError) as error:
            terminal.close()
            raise _spawn_problem(error) from error

    def _cwd(self, command: Command) -> str:
        path = self._root / (command.cwd or "")
        try:
            is_directory = path.is_dir()
        except (OSError, ValueError) as error:
            raise invalid(f"cwd cannot exist: {error}") from error
        if not is_directory:
            raise invalid(f"cwd is not a directory: {path}")
        return str(path)


async def _finish(child: Child, stdin: bytes, timeout: float | None) -> bool:
    """Write the input and wait for the exit, killing the process at the timeout; return whether it timed out."""
    timed_out = False
    try:
        if stdin:
            child.write(stdin)
            child.close_stdin()
        async with asyncio.timeout(timeout) as clock:
            await child.ended(LAST_OUTPUT_SECONDS)
    except TimeoutError:
        timed_out = clock.expired()
    finally:
        if child.code is None:
            await asyncio.shield(child.stop(RUN_GRACE_SECONDS))
            await child.ended(LAST_OUTPUT_SECONDS)
        child.release()
    return timed_out


def _spawn_problem(error: OSError | ValueError) -> Problem:
    words = f"{error.strerror} (os error {error.errno})" if isinstance(error, OSError) else str(error)
    message = f"failed to spawn process: {words}"
    return Problem(502, "stream_error", message, details={"message": message})


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
