"""Confined agents and commands: each starts in namespaces of its own, by the command that the configuration names.

The runner itself is outside. Its port may be out of their reach, so it also listens on a socket that they see. If they
have no network but their own loopback, further sockets lead to what they may reach.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from session_widgets.runner.doors import BACKLOG, serve
from session_widgets.runner.egress import Egress
from session_widgets.runner.egress_proxy import HEAD_BYTES, Proxy

SOCKET = "runner.sock"
LANDLOCK_CREATE_RULESET, LANDLOCK_RESTRICT_SELF = 444, 446
VERSION_FLAG = 1
SCOPES_SINCE = 6
ABSTRACT_SOCKETS = 1
PR_SET_NO_NEW_PRIVS = 38
KEYCTL = {"x86_64": 250, "aarch64": 219}
JOIN_SESSION_KEYRING = 1


@dataclass(frozen=True, slots=True)
class Confinement:
    """How agents and commands are confined.

    Attributes:
        command: of bubblewrap, without a command for it.
        then: precedes each of their commands inside.
        door: directory for the runner's sockets.
        inside: its path for them.
        closed: whether they have no network but their own loopback.
        proxy: port of their loopback that leads to a proxy with the rules `egress`.
        egress: what they may reach (`egress.py`); None: nothing.
        ports: of their loopback, each of which leads to the same port of the runner's.
    """

    command: tuple[str, ...]
    then: tuple[str, ...]
    door: Path
    inside: str
    closed: bool = False
    proxy: int = 0
    egress: Egress | None = None
    ports: tuple[int, ...] = ()

    @property
    def address(self) -> str:
        """The runner's address for them, as a URL without a path."""
        return f"http+unix://{quote(f'{self.inside}/{SOCKET}', safe='')}"

    def around(self, argv: Sequence[str], cwd: str, path: str | None) -> list[str]:
        """Return a command that runs `argv` confined; raise `FileNotFoundError` if its program does not exist.

        Args:
            argv: the command.
            cwd: its working directory; bubblewrap itself would take another one if that is not accessible.
            path: its PATH.
        """
        if ("/" not in argv[0] or argv[0].startswith("/")) and shutil.which(argv[0], path=path) is None:
            raise FileNotFoundError(2, os.strerror(2))
        return [*self.command, "--chdir", cwd, "--", *self.then, *argv]

    def listen(self) -> socket.socket:
        """Bind the runner's own socket."""
        return self._bound(SOCKET)

    async def open(self) -> None:
        """Serve the ways out until this process ends."""
        if self.egress is not None:
            proxy = self._bound(f"{self.proxy}.sock")
            await asyncio.start_unix_server(Proxy(self.egress), sock=proxy, backlog=BACKLOG, limit=HEAD_BYTES)
        for port in self.ports:
            door = self._bound(f"{port}.sock")
            await serve(door, lambda port=port: asyncio.open_connection("127.0.0.1", port))  # type: ignore[misc]  # mypy infers no lambda with a default

    def _bound(self, name: str) -> socket.socket:
        """Bind a socket in `door`, whose path may be longer than a socket's may be."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        folder = os.open(self.door, os.O_PATH | os.O_DIRECTORY)
        try:
            (self.door / name).unlink(missing_ok=True)
            listener.bind(f"/proc/self/fd/{folder}/{name}")
        finally:
            os.close(folder)
        return listener


def forbid_abstract_sockets() -> bool:
    """Keep this process and its children from abstract sockets of others, such as X11's (Linux 6.12, Landlock).

    They have no path that could be hidden, and belong to the network, which may be this machine's.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), VERSION_FLAG) < SCOPES_SINCE:
        return False
    rules = (ctypes.c_uint64 * 3)(0, 0, ABSTRACT_SOCKETS)  # files, network, scopes
    ruleset = libc.syscall(LANDLOCK_CREATE_RULESET, rules, ctypes.c_size_t(ctypes.sizeof(rules)), 0)
    if ruleset < 0:
        return False
    try:
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return bool(libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def leave_keyring() -> None:
    """Give this process and its children an empty session keyring: a login's may have tickets of Kerberos."""
    if number := KEYCTL.get(os.uname().machine):
        ctypes.CDLL(None).syscall(number, JOIN_SESSION_KEYRING, None)


def confinement_of(value: Mapping[str, Any] | None) -> Confinement | None:
    """Read the setting; raise `ValueError` for anything else."""
    match value:
        case None:
            return None
        case {
            "command": [str(), *_] as command,
            "then": [*then],
            "door": str(door),
            "inside": str(inside),
            "closed": bool(closed),
            "proxy": int(proxy),
            "egress": dict() | None as rules,
            "ports": [*ports],
        }:
            egress = None if rules is None else Egress.from_json(rules)
            return Confinement(tuple(command), tuple(then), Path(door), inside, closed, proxy, egress, tuple(ports))
    raise ValueError("confinement must have command, then, door, inside, closed, proxy, egress and ports")
