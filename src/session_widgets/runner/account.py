"""Two users in one sandbox: the runner's, and the user of agents, commands and files.

If the configuration names a `user`, the runner is root with SETUID, SETGID, KILL and DAC_OVERRIDE and no other
capability. Every process that it starts runs as that user, in no group of the runner, without a capability; every
file is opened and created with that user's rights. Only the runner's own group, which does not contain that user, can
access `state`. Without a `user` one account owns everything, and only the runner's memory is protected.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PR_SET_DUMPABLE = 4

User = tuple[int, int]
"""User id and group id."""


def close_memory() -> None:
    """Prevent this account's other processes from reading or tracing this process: `/proc/PID/mem`, ptrace (Linux).

    The setting applies to children until they exec; a fork without exec keeps it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def open_files_as(user: User) -> None:
    """Open and create files as `user` from now on, in this thread and its later threads (Linux).

    DAC_OVERRIDE then has no effect: no file opens for a client that `user` could not open.

    Raises:
        ValueError: this process lacks the rights.
    """
    uid, gid = user
    try:
        os.setgroups([os.getegid()])
    except PermissionError as error:
        raise ValueError(f"only root with SETUID and SETGID can run agents as user {uid}: {error.strerror}") from error
    libc = ctypes.CDLL(None)
    libc.setfsgid(gid)
    libc.setfsuid(uid)
    if (libc.setfsuid(-1), libc.setfsgid(-1)) != (uid, gid):  # they return the current ids, and never an error
        raise ValueError(f"files cannot be opened as user {uid}:{gid}: the capabilities SETUID and SETGID are missing")


@contextmanager
def opening_files_as_runner(user: User | None) -> Iterator[None]:
    """Open and create files in this thread as the runner itself: `user` can read, but not change, what it makes."""
    if user is None:
        yield
        return
    libc = ctypes.CDLL(None)
    libc.setfsgid(os.getegid())
    libc.setfsuid(os.geteuid())
    try:
        yield
    finally:
        libc.setfsgid(user[1])
        libc.setfsuid(user[0])


def process_options(user: User | None) -> dict[str, Any]:
    """Return the arguments with which `subprocess.Popen` starts a process as `user`."""
    return {} if user is None else {"user": user[0], "group": user[1], "extra_groups": []}
