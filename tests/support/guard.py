"""Holds the test run to this machine, and to leaving no process behind."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from session_widgets._sandboxes.docker_engine import engine
from session_widgets.errors import SandboxError

_LOCAL_NAMES = {None, "", "localhost", b"localhost", socket.gethostname()}


class NetworkRefused(AssertionError):
    """A test tried to reach something else than this machine."""


def refuse_network() -> None:
    """From now on no socket of this process connects to, or asks for the address of, another machine."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            sock, address = args
            if sock.family in (socket.AF_INET, socket.AF_INET6) and address is not None:
                _check(address[0], event)
        elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
            _check(args[0], event)

    sys.addaudithook(hook)


def _check(host: str | bytes | None, event: str) -> None:
    if host in _LOCAL_NAMES:
        return
    text = host.decode() if isinstance(host, bytes) else str(host)
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        address = None
    if address is None or not (address.is_loopback or address.is_unspecified):
        raise NetworkRefused(f"{event} to {text!r}: tests stay on this machine")


class Census:
    """Finds what this run started: by a mark in its environment, or by where it runs.

    A runner gets a clean environment, but its arguments and its directory lie in the run's temporary directory.
    """

    VARIABLE = "SESSION_WIDGETS_TEST_RUN"

    def __init__(self, temporary: Path) -> None:
        self.mark = f"{os.getpid()}-{time.time_ns()}"
        self.temporary = f"{temporary}/"
        os.environ[self.VARIABLE] = self.mark

    def left(self, seconds: float = 10) -> list[str]:
        """Lines for the processes, mounts and containers that are still there after `seconds` of grace."""
        deadline = time.monotonic() + seconds
        while (found := list(self._found())) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def _found(self) -> Iterator[str]:
        yield from self._containers()
        for line in Path("/proc/self/mountinfo").read_text().splitlines() if sys.platform == "linux" else ():
            if line.split()[4].startswith(self.temporary):
                yield f"mounted: {line}"
        for process in psutil.process_iter():
            try:
                if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                command = " ".join(process.cmdline())
                where = f"{command} {process.cwd()}/"
                if self.temporary in where or process.environ().get(self.VARIABLE) == self.mark:
                    yield f"pid {process.pid} (parent {process.ppid()}): {command[:300]}"
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue

    def _containers(self) -> Iterator[str]:
        """Containers that a directory of this run is bound into."""
        with suppress(SandboxError), engine() as docker:
            for found in docker.api.containers(all=True):
                if any(mount.get("Source", "").startswith(self.temporary) for mount in found["Mounts"]):
                    yield f"container {found['Names'][0]}: {found['Status']}"
