"""Processes that save half a second of imports: they are forked from a process with all modules loaded.

`forked.command("sessions", "--json")` is `session-widgets sessions --json`, `forked.python(code)` is `python -c code`.
Each has its own memory, environment, directory and end; only its modules are loaded already. A test of the start
itself, of a terminal or of an interrupt starts a real process.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

import pytest

PRELOADED = (
    "anyio._backends._asyncio", "boto3", "docker", "h2.connection", "httpcore", "httpx", "psutil", "typer.rich_utils",
    "zoneinfo",
    "session_widgets.cli.doctor", "session_widgets.cli.harness_check", "session_widgets.cli.run",
    "session_widgets._sessions.embedded",
)  # fmt: skip
NUMBER = struct.Struct("<q")
Answer = subprocess.CompletedProcess[str]


class Process:
    """A forked process."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self.pid = _number(line)
        self.code: int | None = None

    def wait(self, timeout: float) -> int:
        """Wait for its end, or kill it after `timeout` seconds; return its exit code, minus a signal that killed it."""
        if self.code is None:
            late = not select.select([self._line], [], [], timeout)[0]
            if late:
                os.kill(self.pid, signal.SIGKILL)
            self.code = _number(self._line)
            self._line.close()
            assert not late, f"process {self.pid} had not ended after {timeout} s"
        return self.code


class Forked:
    """The process that forks."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-P", __file__, str(theirs.fileno())]
            self._server = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])

    def command(self, *arguments: object, **options: Any) -> Answer:
        """Run `session-widgets` with these arguments to its end; the options are those of `start`, and `timeout`."""
        command = Path(sys.executable).with_name("session-widgets")
        return self._run([str(command), *map(str, arguments)], **options)

    def python(self, code: str, *arguments: object, **options: Any) -> Answer:
        """Run a program to its end."""
        return self._run(["-c", *map(str, arguments)], code=code, **options)

    def start(
        self,
        argv: list[str],
        *,
        stdin: IO[Any],
        stdout: IO[Any],
        stderr: IO[Any] | None = None,
        code: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Process:
        """Begin a command, or a program if there is `code`; its errors go where ours go if nowhere else."""
        environment = dict(os.environ if env is None else env)
        data = json.dumps([argv, code, environment, str(cwd or Path.cwd())]).encode()
        ours, theirs = socket.socketpair()
        with theirs:
            files = [stdin.fileno(), stdout.fileno(), stderr.fileno() if stderr else 2, theirs.fileno()]
            socket.send_fds(self._line, [NUMBER.pack(len(data))], files)
            self._line.sendall(data)
        return Process(ours)

    def close(self) -> None:
        """End the process that forks."""
        self._line.close()
        self._server.wait(10)

    def _run(self, argv: list[str], *, input: str = "", timeout: float = 50, **options: Any) -> Answer:
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(input.encode())
            given.seek(0)
            code = self.start(argv, stdin=given, stdout=out, stderr=err, **options).wait(timeout)
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(argv, code, out.read().decode(), err.read().decode())


@pytest.fixture(scope="session")
def forked() -> Iterator[Forked]:
    """Starts processes that need not import; one for all tests of a worker."""
    server = Forked()
    yield server
    server.close()


def _number(line: socket.socket) -> int:
    return int(NUMBER.unpack(line.recv(NUMBER.size, socket.MSG_WAITALL))[0])


def _serve(line: socket.socket) -> str | None:
    """Fork for each request, beside a process that waits for its end; return in the child, with its code."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that wait need nobody who waits for them
    while True:
        length, files, _, _ = socket.recv_fds(line, NUMBER.size, 4)
        if not length:
            sys.exit()
        argv, code, environment, directory = json.loads(line.recv(NUMBER.unpack(length)[0], socket.MSG_WAITALL))
        if os.fork() == 0:
            break
        for file in files:
            os.close(file)
    line.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    teller = socket.socket(fileno=files.pop())
    if pid := os.fork():
        for file in (*files, 0, 1, 2):
            os.close(file)  # the reader of its output must see the end
        teller.sendall(NUMBER.pack(pid))
        teller.sendall(NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
        os._exit(0)
    teller.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    sys.argv = argv
    return code if code is None else str(code)


def _main() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    from session_widgets.cli import app

    gc.freeze()  # a child that collected what it shares with us would copy it
    code = _serve(socket.socket(fileno=int(sys.argv[1])))
    try:
        if code is None:
            app()
        else:
            sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
            sys.modules["__main__"] = program = types.ModuleType("__main__")
            exec(compile(code, "<string>", "exec"), vars(program))
    except SystemExit as end:
        _leave(int(end.code or 0))
    except BaseException:
        traceback.print_exc()
        _leave(1)
    _leave(0)


def _leave(code: int) -> NoReturn:
    """End in order, but for the modules: to take them apart would copy what is shared."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _main()
