"""Two users in one sandbox: the runner, and the account that agents, commands and files belong to.

Where the configuration names a `user`, the runner is root with SETUID, SETGID, KILL and DAC_OVERRIDE and no other
capability. Every process that it starts is that user's, in no group of the runner, without a capability; every file is
opened and made with that user's rights. The runner's own group, which that user is not in, opens the way to `state`.
Without a `user` all of it belongs to one account, and only the runner's memory is closed.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

PR_SET_DUMPABLE = 4

User = tuple[int, int]
"""User id and group id."""


def close_memory() -> None:
    """Let nobody of this account read or trace this process: `/proc/PID/mem`, `environ`, `fd`, ptrace (Linux).

    Children have it only until they execute something; a fork that goes on as the runner keeps it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def open_files_as(user: User) -> None:
    """Open and make files as `user` from now on, in this thread and those that it starts (Linux).

    DAC_OVERRIDE is in effect no longer then: no file opens for a client that `user` could not open.

    Raises:
        ValueError: this process may not.
    """
    uid, gid = user
    try:
        os.setgroups([os.getegid()])
    except PermissionError as error:
        raise ValueError(f"only root with SETUID and SETGID can run agents as user {uid}: {error.strerror}") from error
    libc = ctypes.CDLL(None)
    libc.setfsgid(gid)
    libc.setfsuid(uid)
    if (libc.setfsuid(-1), libc.setfsgid(-1)) != (uid, gid):  # they return what holds, and never an error
        raise ValueError(f"files cannot be opened as user {uid}:{gid}: the capabilities SETUID and SETGID are missing")


def process_options(user: User | None) -> dict[str, Any]:
    """Return what `subprocess.Popen` needs to start a process of `user`'s."""
    return {} if user is None else {"user": user[0], "group": user[1], "extra_groups": []}
