"""Programs that outlive the process which started them: recorded in a directory, found again, stopped whole."""

from __future__ import annotations

import atexit
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import psutil

RECORD = "process.json"
_BOOT = Path("/proc/sys/kernel/random/boot_id")

_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}  # what this process started: ours to reap


class Daemon:
    """One program per directory; its pid and time of start are on disk, so that a reused pid is not taken for it.

    What is about to start is on disk first, so that it is found even if this process dies before it knows the pid.

    Args:
        place: an existing directory, for this program alone; its arguments name it, so that no other program has them.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.log = place / "log"

    def start(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None, umask: int = -1
    ) -> subprocess.Popen[bytes]:
        """Start `argv` in a session of its own, output to `log`. The caller holds the lock, and waits for it."""
        _reap()
        write_private(self.place / RECORD, {"argv": list(argv)})
        with self.log.open("wb") as output:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd or self.place,
                env=dict(env),
                umask=umask,
                start_new_session=True,
            )
        _CHILDREN[process.pid] = process
        started = start_of(psutil.Process(process.pid))
        write_private(self.place / RECORD, {"pid": process.pid, "started": started})
        return process

    def process(self) -> psutil.Process | None:
        """Return the program if it lives."""
        record = read_json(self.place / RECORD)
        if record is None:
            return None
        if "pid" not in record:
            return _started_as(record["argv"])
        try:
            process = psutil.Process(record["pid"])
            same = start_of(process) == record["started"]
        except psutil.NoSuchProcess:
            return None
        return process if same and is_running(process) else None

    def stop(self, seconds: float = 5) -> None:
        """TERM lets it end in order; after `seconds`, KILL takes its process group. Returns when it is gone."""
        process = self.process()
        if process is None:
            return
        with suppress(psutil.NoSuchProcess):
            process.terminate()
        deadline = time.monotonic() + seconds
        while is_running(process):
            if time.monotonic() > deadline:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                deadline = float("inf")
            time.sleep(0.01)

    def tail(self, characters: int = 2000) -> str:
        """Return the end of its log."""
        try:
            return self.log.read_text(errors="replace")[-characters:].strip()
        except FileNotFoundError:
            return ""


def installation(home: Path) -> str:
    """Return the name of a data directory, chosen when it is first needed: it tells what is ours from what is not."""
    file = home / "installation"
    if not file.exists():
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = home / f"installation.{uuid4().hex}"
        partial.write_text(uuid4().hex)
        with suppress(FileExistsError):
            os.link(partial, file)  # whole, and the first one's: several kernels may begin at once
        partial.unlink()
    return file.read_text().strip()


def start_of(process: psutil.Process) -> str:
    """Return what tells a process from a later one of the same pid, also after the clock was set: ticks since boot."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return f"{_BOOT.read_text().strip()} {fields[19]}"
    except FileNotFoundError:  # not Linux, or it is gone
        return str(process.create_time())


def is_running(process: psutil.Process) -> bool:
    """Whether a process lives; a zombie that its parent has not reaped yet does not."""
    if child := _CHILDREN.get(process.pid):
        child.poll()
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """Let one process at a time start or stop what `place` is for; raises `FileNotFoundError` where it is gone."""
    handle = os.open(place / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def read_json(file: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file; None if there is none."""
    try:
        value: dict[str, Any] = orjson.loads(file.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    return value


def write_private(file: Path, value: object) -> None:
    """Replace a JSON file that only its owner can read, atomically."""
    partial = file.with_suffix(f".{os.getpid()}.partial")
    handle = os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as target:
        target.write(orjson.dumps(value))
    partial.replace(file)


def _started_as(argv: Sequence[str]) -> psutil.Process | None:
    """Return the oldest process with these arguments, whatever runs its program: younger ones are forks of it."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cmdline()[1 - len(argv) :] == list(argv[1:]) and is_running(process):
                found.append(process)
    return min(found, key=lambda process: (process.create_time(), process.pid), default=None)


def _reap() -> None:
    """Forget the programs that have left by themselves, or that another process has stopped."""
    for pid, process in list(_CHILDREN.items()):
        if process.poll() is not None:
            del _CHILDREN[pid]


atexit.register(_reap)
