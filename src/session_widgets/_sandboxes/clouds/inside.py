"""Starts the runner in a box: this program runs inside of it, with whatever Python it has, and imports nothing of ours.

    python -I -S inside.py NAME "3 11 x86_64 glibc" NODE PATH SHA256 CONFIG

It starts the runner of the archive NAME if it is root, has this Python, and finds Node.js, unless NODE is "".
PATH is the archive, "" if it may be installed already, SHA256 its hash, CONFIG the runner's configuration, which has no
secret: of the runner's token it has the hash. The last line of output is a JSON object: `{"nonce": "..."}` of a runner
that listens, else what the box has.

Agents run as a user of their own, without rights, who cannot enter PRIVATE: there are the runner's state and its log.
A new box waits for this program, so that it imports little: `json`, `pathlib` and `subprocess` take longer than it.
"""

# ruff: noqa: PTH101, PTH103, PTH108, PTH110, PTH120, PTH123, PTH211, S103, S606
from __future__ import annotations

import os
import pwd
import signal
import sys
import time
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

HOME = "/opt/session-widgets"
PRIVATE = f"{HOME}/private"
STATE = f"{PRIVATE}/state"
VENV = f"{HOME}/venv"
HARNESSES = f"{HOME}/harnesses"
CONFIG = f"{PRIVATE}/config.json"
READY = f"{STATE}/ready.json"
INSTALLED = f"{PRIVATE}/installed"
SETUP_DONE = f"{PRIVATE}/setup"
LOG = f"{PRIVATE}/runner.log"
WORKSPACE = "/workspace"
USER = "agent"
FIRST_ID = 2468
OWN_PATH = "/opt/venv/bin:/opt/node/bin"
"""What the image of this package has beside the usual folders."""
PATH = f"{OWN_PATH}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
START_SECONDS = 30
_BLOCK = 512


def main(name: str, target: str, node: str, path: str, sha256: str, config: str) -> dict[str, object]:
    """Start the runner if the box has what it needs; else report what it has."""
    found = {
        "python": list(sys.version_info[:2]),
        "processor": os.uname().machine,
        "libc": _libc(),
        "root": os.geteuid() == 0,
        "node": any(os.access(f"{folder}/node", os.X_OK) for folder in PATH.split(":")),
        "installed": _text(INSTALLED),
    }
    here = " ".join([*map(str, sys.version_info[:2]), os.uname().machine, _libc()])
    fits = found["root"] and here == target and (found["node"] or not node) and (path or found["installed"] == name)
    try:
        if not fits:
            return found
        os.makedirs(PRIVATE, exist_ok=True)
        os.chown(PRIVATE, 0, 0)
        os.chmod(PRIVATE, 0o710)
        if found["installed"] != name:
            with open(path, "rb") as file:
                archive = file.read()
            if _sha256(archive) != sha256:
                return {"failed": "the uploaded archive has another content"}
            _install(name, archive)
    finally:
        if path:
            _remove(path)
    return _start(config)


def _install(name: str, archive: bytes) -> None:
    """Unpack the archive into an environment of its own, and make the user and the folders of agents."""
    _remove(INSTALLED)
    if os.path.exists(VENV):
        import shutil

        shutil.rmtree(VENV, ignore_errors=True)
    before = os.umask(0o022)
    python = os.path.realpath(sys.executable)
    os.makedirs(f"{VENV}/bin")
    os.symlink(python, f"{VENV}/bin/python")
    _write(f"{VENV}/pyvenv.cfg", f"home = {os.path.dirname(python)}\ninclude-system-site-packages = false\n".encode())
    _unpack(zlib.decompress(archive, 31), f"{VENV}/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages")
    uid, gid = _user()
    for folder, mode in ((f"/home/{USER}", 0o700), (WORKSPACE, 0o755), (STATE, 0o700)):
        os.makedirs(folder, exist_ok=True)
        os.chown(folder, uid, gid)
        os.chmod(folder, mode)
    for folder in (HOME, VENV):
        os.chmod(folder, 0o755)
    os.umask(before)
    _write(INSTALLED, name.encode())


def _unpack(tar: bytes, into: str) -> None:
    """Unpack our own archive, which has plain files with short names (USTAR)."""
    at, made = 0, set()
    while tar[at]:
        name, prefix = tar[at : at + 100].rstrip(b"\0"), tar[at + 345 : at + 500].rstrip(b"\0")
        size = int(tar[at + 124 : at + 135], 8)
        path = f"{into}/{(prefix + b'/' + name if prefix else name).decode()}"
        folder = path.rpartition("/")[0]
        if folder not in made:
            os.makedirs(folder, exist_ok=True)
            made.add(folder)
        at += _BLOCK
        _write(path, tar[at : at + size])
        at += size + -size % _BLOCK


def _start(config: str) -> dict[str, object]:
    """Start the runner, and wait until it listens."""
    nonce, (uid, gid) = os.urandom(16).hex(), _user()
    _end_earlier()
    _remove(CONFIG)
    places = f'"root": "{WORKSPACE}", "state": "{STATE}", "harnesses": "{HARNESSES}", "user": [{uid}, {gid}]'
    _write(CONFIG, f'{config.rstrip()[:-1]}, {places}, "nonce": "{nonce}"}}'.encode(), 0o600)
    runner = os.fork()
    if not runner:
        _become_runner()
    deadline, running = time.monotonic() + START_SECONDS, True
    while running and time.monotonic() < deadline:
        if nonce in (_text(READY) or ""):
            return {"nonce": nonce}
        time.sleep(0.005)  # the file has no event to wait for
        running = not os.waitpid(runner, os.WNOHANG)[0]
    if running:
        os.kill(runner, signal.SIGKILL)
    return {"failed": (_text(LOG) or "")[-2000:] or "nothing"}


def _become_runner() -> NoReturn:
    try:
        os.setsid()
        os.chdir("/")
        log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for ours, its in ((os.open(os.devnull, os.O_RDONLY), 0), (log, 1), (log, 2)):
            os.dup2(ours, its)
        os.closerange(3, 1024)
        python, home = f"{VENV}/bin/python", f"/home/{USER}"
        environment = {"PATH": PATH, "HOME": home, "USER": USER, "LANG": "C.UTF-8"}
        os.execve(python, [python, "-I", "-m", "session_widgets.runner", "--config", CONFIG], environment)
    finally:
        os._exit(127)


def _end_earlier() -> None:
    """End a runner that does not answer any more."""
    if (ready := _text(READY)) is None:
        return
    import json

    try:
        pid = int(json.loads(ready).get("pid", 0))
    except ValueError:
        pid = 0
    command = f"/proc/{pid}/cmdline"
    if "session_widgets.runner" in (_text(command) or ""):
        os.kill(pid, signal.SIGKILL)
        while _text(command):
            time.sleep(0.01)  # it is no child of this program
    _remove(READY)


def _user() -> tuple[int, int]:
    """Return the ids of the agents' user, who is made if there is none."""
    try:
        found = pwd.getpwnam(USER)
    except KeyError:
        taken = {id for one in pwd.getpwall() for id in (one.pw_uid, one.pw_gid)}
        number = next(number for number in range(FIRST_ID, 60_000) if number not in taken)
        shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
        with open("/etc/passwd", "a", encoding="utf-8") as file:
            file.write(f"{USER}:x:{number}:{number}::/home/{USER}:{shell}\n")
        with open("/etc/group", "a", encoding="utf-8") as file:
            file.write(f"{USER}:x:{number}:\n")
        return number, number
    return found.pw_uid, found.pw_gid


def _libc() -> str:
    try:
        return "glibc" if os.confstr("CS_GNU_LIBC_VERSION") else "musl"
    except (ValueError, OSError):
        return "musl"


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def _write(path: str, data: bytes, mode: int = 0o644) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(handle, "wb", 0) as file:
        file.write(data)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return


if __name__ == "__main__":
    told = main(*sys.argv[1:])
    if "nonce" in told:
        print(f'{{"nonce": "{told["nonce"]}"}}')  # noqa: T201 - the answer
    else:
        import json

        print(json.dumps(told))  # noqa: T201 - the answer
