"""Attacks on the runner of this sandbox, made from inside it as an agent could. Prints the outcome of each.

It runs in a container alone: elsewhere the runners that it finds are those of others.
"""

import ctypes
import errno
import json
import os
import resource
import sys
from pathlib import Path

ATTACH, DETACH = 16, 17
PIDFD_GETFD = 438
SECRETS = ("environ", "mem", "maps", "auxv", "fd/0", "fd", "map_files", "syscall", "stack", "io", "cwd", "root", "exe")
PRIVATE = Path("/run/session-widgets")
libc = ctypes.CDLL(None, use_errno=True)


def runners():
    """Process ids of all that runs the runner: the first process of the sandbox, the runner, its guard."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and b"session_widgets.runner" in (entry / "cmdline").read_bytes().split(b"\0"):
            yield int(entry.name)


def read(path):
    """Read a file, a link or a directory."""
    if path.name in {"cwd", "root", "exe"} or path.parent.name == "fd":
        return path.readlink()
    return list(path.iterdir()) if path.is_dir() else path.open("rb").read(1)


def call(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), "")


def trace(pid):
    call(libc.ptrace(ATTACH, pid, None, None))
    libc.ptrace(DETACH, pid, None, None)


def take_a_file(pid):
    call(libc.syscall(PIDFD_GETFD, os.pidfd_open(pid), 0, 0))


def attempts():
    for pid in runners():
        for name in SECRETS:
            yield f"read {name} of {pid}", lambda path=Path(f"/proc/{pid}/{name}"): read(path)
        yield f"write mem of {pid}", lambda path=Path(f"/proc/{pid}/mem"): path.open("r+b").close()
        yield f"trace {pid}", lambda pid=pid: trace(pid)
        yield f"take a file of {pid}", lambda pid=pid: take_a_file(pid)
        if "kill" in sys.argv:
            yield f"limit {pid}", lambda pid=pid: resource.prlimit(pid, resource.RLIMIT_NOFILE, (9, 9))
            yield f"kill {pid}", lambda pid=pid: os.kill(pid, 9)
    if "files" in sys.argv:
        yield "list the private directory", lambda: read(PRIVATE)
        yield "read the journals", lambda: read(PRIVATE / "state" / "acp")
        yield "read the configuration", lambda: read(PRIVATE / "state" / "config.json")
        yield "write beside the journals", lambda: (PRIVATE / "state" / "new").write_text("")
        yield "write into the private directory", lambda: (PRIVATE / "new").write_text("")
        yield "become root", lambda: os.setuid(0)
        yield "join the runner's group", lambda: os.setgroups([os.getgid() + 1])
        yield "give a file away", lambda: os.chown("/tmp", 0, 0)
        yield "change the runner's program", lambda: Path("/opt/session-widgets/lib/new").write_text("")


def main():
    became = {}
    for name, attempt in attempts():
        try:
            attempt()
        except OSError as error:
            became[name] = errno.errorcode[error.errno]
        else:
            became[name] = "done"
    print(json.dumps(became))


if __name__ == "__main__" and Path("/opt/session-widgets").is_dir():
    main()
