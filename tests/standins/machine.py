"""A box: namespaces with a root, processes and a network of their own, on this machine (Linux, as root).

Its root is a directory with the box's own files; this machine's programs are mounted into it, read-only. Nothing of the
box is left once it is killed, or once the process that started it has ended.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.standins.files import put_files
from tests.standins.furniture import brought_python, furnish
from tests.standins.line import Line
from tests.standins.network import connect, lead_out

REACHED = "STANDIN_REACHED"
"""Variable with a port of this machine that programs in every box reach, at the same address, as the internet."""
INIT = Path(__file__).with_name("box_init.py")
PATH = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin:/opt/python/bin"
User = tuple[int, int]
ROOT: User = (0, 0)


class BoxGone(Exception):
    """The box was killed."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a command did; `code` is negative for a signal."""

    code: int
    out: bytes
    err: bytes


class Running:
    """A command that runs in a box; `process` has its streams."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @property
    def pid(self) -> int:
        """Its process id on this machine, once it has started; the box has another one for it."""
        found = list(_children(self.process.pid))
        return found[0] if found else self.process.pid

    def signal(self, number: int) -> None:
        """Send a signal to the command and what it started in its process group."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    async def wait(self) -> int:
        """Return the exit code."""
        return await self.process.wait()


class Box:
    """One box. All methods are for the thread of the loop that started it.

    Attributes:
        id: the vendor's name of it.
        root: the directory with its own files.
        state: "running", "paused" or "gone".
        stopped: set while it is not running.
        line: the network between it and everybody else.
    """

    def __init__(self, id: str, root: Path, process: asyncio.subprocess.Process, first: int) -> None:
        self.id = id
        self.root = root
        self.state = "running"
        self.stopped = asyncio.Event()
        self.line = Line()
        self._process = process
        self._first = first
        self._leading: list[asyncio.Server] = []
        self._commands: set[Running] = set()
        self._forwards: dict[int, asyncio.Server] = {}
        self._carried: set[asyncio.Future[list[None]]] = set()

    @classmethod
    async def start(cls, id: str, root: Path, *, copy_of: Path | None = None) -> Box:
        """Start a box on an empty or earlier root.

        Args:
            id: the vendor's name of it.
            root: the directory for its own files.
            copy_of: a snapshot to begin with.
        """
        if copy_of is not None:
            await _tool("cp", "-a", f"{copy_of}/.", str(root / "."), before=root)
        await asyncio.to_thread(furnish, root)
        own = await asyncio.to_thread(brought_python)
        argv = [sys.executable, "-IS", str(INIT), str(root), own, id.lower()[:60]]
        process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", "unshare", "-m", "-p", "-n", "-u", "-i", "-f", "--kill-child"),
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={"PATH": PATH},
            start_new_session=True,
        )
        assert process.stdout is not None
        if await process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"the box {id} did not start: code {await process.wait()}")
        box = cls(id, root, process, next(_children(process.pid)))
        if port := int(os.environ.get(REACHED, "0")):
            await box.lead_out(port)
        return box

    async def exec(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
        user: User = ROOT,
        stdin: bool = False,
    ) -> Running:
        """Start a command; its standard input is empty unless `stdin`."""
        self._check()
        enter = ["nsenter", "-t", str(self._first), "-m", "-p", "-n", "-u", "-i", "-r", "--wdns=/"]
        process = await asyncio.create_subprocess_exec(
            *enter,
            *("-S", str(user[0]), "-G", str(user[1])),
            *("/bin/sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", cwd, *argv),
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": PATH, "HOME": "/root" if user == ROOT else "/home/user", "LANG": "C.UTF-8", **(env or {})},
            start_new_session=True,
        )
        running = Running(process)
        self._commands.add(running)
        return running

    async def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
        user: User = ROOT,
        stdin: bytes = b"",
        timeout: float | None = None,
    ) -> Done:
        """Run a command to its end; after `timeout` seconds it is killed and `TimeoutError` raised."""
        running = await self.exec(argv, env=env, cwd=cwd, user=user, stdin=True)
        try:
            async with asyncio.timeout(timeout):
                out, err = await running.process.communicate(stdin)
        except TimeoutError:
            running.signal(signal.SIGKILL)
            raise
        finally:
            self._commands.discard(running)
        return Done(await running.wait(), out, err)

    async def read(self, path: str, *, user: User = ROOT) -> bytes:
        """Return a file. Raises `FileNotFoundError`, `IsADirectoryError`, `PermissionError`."""
        done = await self.run(["cat", "--", path], user=user)
        if done.code:
            raise _file_error(done.err.decode(errors="replace"), path)
        return done.out

    async def write(self, path: str, data: bytes, *, user: User = ROOT) -> None:
        """Replace a file, creating its parents."""
        script = 'mkdir -p -- "$(dirname -- "$1")" && cat > "$1"'
        done = await self.run(["/bin/sh", "-c", script, "sh", path], user=user, stdin=data)
        if done.code:
            raise _file_error(done.err.decode(errors="replace"), path)

    async def write_many(self, files: Mapping[str, bytes], *, user: User = ROOT) -> None:
        """Replace many files, creating their parents, as a service in the box does: without a process for each."""
        await asyncio.to_thread(put_files, Path(f"/proc/{self._first}/root"), files, user)

    async def read_at_once(self, path: str) -> bytes:
        """Return a file, as a service in the box does: without a process."""
        return await asyncio.to_thread(Path(f"/proc/{self._first}/root{path}").read_bytes)

    async def lead_out(self, port: int) -> None:
        """Let it reach a port of this machine."""
        self._leading.append(await lead_out(self._first, port))

    async def forward(self, port: int) -> int:
        """Return a port of this machine, on 127.0.0.1, that leads to a port of the box."""
        self._check()
        if port not in self._forwards:
            self._forwards[port] = await asyncio.start_server(lambda *ends: self._carry(port, *ends), "127.0.0.1", 0)
        return int(self._forwards[port].sockets[0].getsockname()[1])

    async def pause(self) -> None:
        """Stop every process of the box where it stands, and cut its connections."""
        self._check()
        self.state = "paused"
        self.stopped.set()
        self.cut()
        while running := [pid for pid in self.pids() if _state(pid) not in "TZ"]:
            for pid in running:
                _kill(pid, signal.SIGSTOP)
            if all(_state(pid) in "TZD" for pid in running):  # D: a parent that waits for a stopped child of `vfork`
                break
            await asyncio.sleep(0.001)

    def cut(self) -> None:
        """Cut its connections."""
        for carrying in tuple(self._carried):
            carrying.cancel()

    def resume(self) -> None:
        """Let every process of the box continue."""
        if self.state == "paused":
            self.state = "running"
            self.stopped.clear()
            self._continue()

    async def kill(self, *, keep: bool = False) -> None:
        """End the box and, unless `keep`, remove its files. Idempotent."""
        if self.state == "gone":
            return
        self.state = "gone"
        self.stopped.set()
        for server in (*self._forwards.values(), *self._leading):
            server.close()
        with suppress(ProcessLookupError):
            self._process.kill()
        self._continue()  # an entered command stopped itself when its process in the box was stopped
        await self._process.wait()
        for running in self._commands:
            await running.wait()
        self.cut()
        if not keep:
            await asyncio.to_thread(shutil.rmtree, self.root, ignore_errors=True)

    async def snapshot(self, to: Path) -> Path:
        """Copy the box's own files to an empty directory."""
        await _tool("cp", "-a", f"{self.root}/.", str(to / "."), before=to)
        return to

    def pids(self) -> list[int]:
        """Process ids, on this machine, of all processes of the box."""
        mine = Path(f"/proc/{self._first}/ns/pid").readlink()
        found = []
        for process in Path("/proc").iterdir():
            with suppress(OSError):
                if process.name.isdigit() and (process / "ns/pid").readlink() == mine:
                    found.append(int(process.name))
        return found

    def _check(self) -> None:
        if self.state == "gone" or self._process.returncode is not None:
            raise BoxGone(self.id)

    def _continue(self) -> None:
        with suppress(OSError):
            for pid in self.pids():
                _kill(pid, signal.SIGCONT)
        for running in tuple(self._commands):
            running.signal(signal.SIGCONT)
            if running.process.returncode is not None:
                self._commands.discard(running)

    async def _carry(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes between a connection of this machine and one inside."""
        if self.state != "running":
            writer.transport.abort()
            return
        try:
            inside = await asyncio.to_thread(connect, self._first, port)
            inner_reader, inner_writer = await asyncio.open_connection(sock=inside)
        except OSError:
            writer.transport.abort()
            return
        ways = self.line.inwards(reader, inner_writer), self.line.outwards(inner_reader, writer)
        carrying = asyncio.gather(*ways)
        self._carried.add(carrying)
        try:
            await carrying
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._carried.discard(carrying)
            writer.close()
            inner_writer.close()


class Boxes:
    """The books of one stand-in: every box that lives."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.live: dict[str, Box] = {}
        self.ended: list[str] = []

    async def start(self, id: str, *, copy_of: Path | None = None) -> Box:
        """Start a box and enter it."""
        self.live[id] = box = await Box.start(id, self._home / "boxes" / id, copy_of=copy_of)
        return box

    async def kill(self, id: str) -> bool:
        """End a box; False if there is none."""
        box = self.live.pop(id, None)
        if box is None:
            return False
        await box.kill()
        self.ended.append(id)
        return True

    async def close(self) -> None:
        """End all boxes."""
        for id in tuple(self.live):
            await self.kill(id)


def available() -> bool:
    """Whether this machine can run boxes."""
    return sys.platform == "linux" and os.geteuid() == 0 and all(map(shutil.which, ("unshare", "nsenter", "setpriv")))


async def _tool(*argv: str, before: Path) -> None:
    before.mkdir(parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(*argv)
    if await process.wait():
        raise RuntimeError(f"{argv} failed")


def _children(pid: int) -> Iterator[int]:
    with suppress(OSError):
        yield from map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def _kill(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _file_error(text: str, path: str) -> OSError:
    for words, kind in (
        ("No such file", FileNotFoundError),
        ("directory", IsADirectoryError),
        ("denied", PermissionError),
    ):
        if words in text:
            return kind(path)
    return OSError(text.strip() or path)
