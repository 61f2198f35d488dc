"""Programs that outlive the process that started them: recorded in a directory, found again, stopped as a group."""

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

_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}  # children of this process, to be reaped here


class Daemon:
    """One program per directory; pid and start time are on disk, so that a reused pid is not mistaken for it.

    The record is written before the start, so that a later process finds the program even if this one dies before
    it knows the pid.

    Args:
        place: an existing directory for this program alone; its arguments contain the path, so no other one matches.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.log = place / "log"

    def start(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None, umask: int = -1
    ) -> subprocess.Popen[bytes]:
        """Start `argv` in its own POSIX session, with output to `log`. The caller holds the lock, and waits for it."""
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
        """Return the program if it runs."""
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
        """Send SIGTERM; after `seconds`, SIGKILL to its process group. Returns when it is gone."""
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
    """Return the name of a data directory, chosen at its first use: it identifies processes and containers as ours."""
    file = home / "installation"
    if not file.exists():
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = home / f"installation.{uuid4().hex}"
        partial.write_text(uuid4().hex)
        with suppress(FileExistsError):
            os.link(partial, file)  # complete, and only the first one counts: several kernels may start at once
        partial.unlink()
    return file.read_text().strip()


def start_of(process: psutil.Process) -> str:
    """Return the process's start in ticks since boot, which a reused pid or a changed clock does not reproduce."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return f"{_BOOT.read_text().strip()} {fields[19]}"
    except FileNotFoundError:  # not Linux, or it has exited
        return str(process.create_time())


def is_running(process: psutil.Process) -> bool:
    """Whether a process runs; a zombie does not count."""
    if child := _CHILDREN.get(process.pid):
        child.poll()
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """Let one process at a time start or stop the program of `place`; raises `FileNotFoundError` if it was removed."""
    handle = os.open(place / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def is_locked(place: Path) -> bool:
    """Whether a process holds the lock of `place`."""
    with (place / "lock").open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


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
    """Return the oldest process with these arguments: younger ones are its forks."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cmdline()[1 - len(argv) :] == list(argv[1:]) and is_running(process):
                found.append(process)
    return min(found, key=lambda process: (process.create_time(), process.pid), default=None)


def _reap() -> None:
    """Reap programs that exited by themselves, or that another process stopped."""
    for pid, process in list(_CHILDREN.items()):
        if process.poll() is not None:
            del _CHILDREN[pid]


atexit.register(_reap)
