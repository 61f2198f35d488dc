"""The first process of a box (`machine.py`): builds its root, waits for the end of its input, collects orphans.

It runs alone, without the project: `python -IS box_init.py ROOT PYTHON HOSTNAME` in new namespaces.
"""

import ctypes
import fcntl
import os
import select
import signal
import socket
import struct
import sys

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
OWN = ("etc", "home", "opt", "root", "run", "srv", "tmp", "var", "var/tmp", "proc", "dev", "usr")
DEVICES = ("null", "zero", "full", "random", "urandom")
libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind=None, flags=0, data=None):
    texts = [text if text is None else text.encode() for text in (source, target, kind, data)]
    if libc.mount(texts[0], texts[1], texts[2], flags, texts[3]):
        raise OSError(ctypes.get_errno(), f"mount {source} at {target}")


def read_only(source, target):
    os.makedirs(target, exist_ok=True)
    mount(source, target, None, MS_BIND | MS_REC)
    mount(None, target, None, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NODEV)


def build(root, python):
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    for name in OWN:
        os.makedirs(f"{root}/{name}", exist_ok=True)
    for name in ("tmp", "var/tmp"):
        os.chmod(f"{root}/{name}", 0o1777)
    for name in LINKS:
        if os.path.islink(f"/{name}") and not os.path.lexists(f"{root}/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"{root}/{name}")
        elif os.path.isdir(f"/{name}") and not os.path.islink(f"/{name}"):
            read_only(f"/{name}", f"{root}/{name}")
    read_only("/usr", f"{root}/usr")
    os.makedirs(f"{root}/.local", exist_ok=True)
    mount(f"{root}/.local", f"{root}/usr/local", None, MS_BIND)
    if python:
        read_only(python, f"{root}/opt/python")
    read_only("/etc/ssl", f"{root}/etc/ssl")
    mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV)
    mount("dev", f"{root}/dev", "tmpfs", MS_NOSUID, "mode=755,size=1m")
    for name in DEVICES:
        open(f"{root}/dev/{name}", "w").close()
        mount(f"/dev/{name}", f"{root}/dev/{name}", None, MS_BIND)
    os.mkdir(f"{root}/dev/pts")
    os.mkdir(f"{root}/dev/shm", 0o1777)
    mount("devpts", f"{root}/dev/pts", "devpts", MS_NOSUID, "newinstance,ptmxmode=0666,mode=620")
    os.symlink("pts/ptmx", f"{root}/dev/ptmx")
    os.symlink("/proc/self/fd", f"{root}/dev/fd")


def main():
    root, python, hostname = sys.argv[1:]
    build(root, python)
    socket.sethostname(hostname)
    with socket.socket() as link:  # the loopback device up
        fcntl.ioctl(link, 0x8914, struct.pack("16sH14x", b"lo", 1 | 64))
    os.chroot(root)
    os.chdir("/")
    signal.signal(signal.SIGCHLD, lambda *_: None)
    waking, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([0, waking], [], [])
        if 0 in ready:
            os._exit(0)  # and with the first process ends every other
        os.read(waking, 4096)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


main()
