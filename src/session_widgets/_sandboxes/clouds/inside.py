"""Prepares a box: this program runs inside of it, with whatever Python it has, and imports nothing of ours.

    python inside.py probe
    python inside.py start NAME          UPLOADED has the configuration, and the archive NAME unless it is installed

Its last line of output is a JSON object. Agents run as a user of their own, without rights, who cannot enter PRIVATE:
there are the runner's state, its token until the runner has read it, and its log.
"""

from __future__ import annotations

import json
import os
import platform
import pwd
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOME = Path("/opt/session-widgets")
PRIVATE = HOME / "private"
STATE = PRIVATE / "state"
VENV = HOME / "venv"
HARNESSES = HOME / "harnesses"
ARCHIVE = PRIVATE / "runner.tar.gz"
CONFIG = PRIVATE / "config.json"
UPLOADED = PRIVATE / "uploaded.tar"
INSTALLED = PRIVATE / "installed"
SETUP_DONE = PRIVATE / "setup"
LOG = PRIVATE / "runner.log"
WORKSPACE = Path("/workspace")
USER = "agent"
FIRST_ID = 2468
OWN_PATH = "/opt/venv/bin:/opt/node/bin"
"""What the image of this package has beside the usual folders."""
PATH = f"{OWN_PATH}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
START_SECONDS = 30


def probe() -> dict[str, Any]:
    """Report what the box has, and make PRIVATE."""
    PRIVATE.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(PRIVATE, 0, 0)
        PRIVATE.chmod(0o710)
    return {
        "python": list(sys.version_info[:2]),
        "processor": platform.machine(),
        "libc": "glibc" if platform.libc_ver()[0] == "glibc" else "musl",
        "root": os.geteuid() == 0,
        "node": shutil.which("node", path=PATH),
        "installed": _text(INSTALLED),
    }


def _install(name: str) -> None:
    """Unpack the archive into an environment of its own, and make the user and the folders of agents."""
    INSTALLED.unlink(missing_ok=True)
    shutil.rmtree(VENV, ignore_errors=True)
    packages = VENV / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    packages.mkdir(parents=True)
    python = Path(sys.executable).resolve()
    (VENV / "bin").mkdir()
    (VENV / "bin/python").symlink_to(python)
    (VENV / "pyvenv.cfg").write_text(f"home = {python.parent}\ninclude-system-site-packages = false\n")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(packages)  # noqa: S202 - our own archive
    ARCHIVE.unlink()
    uid, gid = _user()
    for folder, mode in ((Path("/home", USER), 0o700), (WORKSPACE, 0o755), (STATE, 0o700)):
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, uid, gid)
        folder.chmod(mode)
    for folder in (HOME, VENV):
        folder.chmod(0o755)
    INSTALLED.write_text(name)


def start(name: str) -> dict[str, Any]:
    """Install the runner, start it, and wait until it listens."""
    with tarfile.open(UPLOADED) as archive:
        archive.extractall(PRIVATE)  # noqa: S202 - our own archive
    UPLOADED.unlink()
    if ARCHIVE.exists():
        _install(name)
    CONFIG.chmod(0o600)
    config = json.loads(CONFIG.read_text())
    config |= {"root": str(WORKSPACE), "state": str(STATE), "harnesses": str(HARNESSES), "user": _user()}
    CONFIG.write_text(json.dumps(config))
    ready = STATE / "ready.json"
    _end_earlier(ready)
    with LOG.open("wb") as log:
        runner = subprocess.Popen(
            [VENV / "bin/python", "-I", "-m", "session_widgets.runner", "--config", CONFIG],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={"PATH": PATH, "HOME": f"/home/{USER}", "USER": USER, "LANG": "C.UTF-8"},
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and runner.poll() is None:
        if _json(ready).get("nonce") == config["nonce"]:
            return {"pid": runner.pid}
        time.sleep(0.01)  # the file has no event to wait for
    if runner.poll() is None:
        runner.kill()
    return {"failed": (_text(LOG) or "")[-2000:] or "nothing"}


def _end_earlier(ready: Path) -> None:
    """End a runner that does not answer any more."""
    pid = _json(ready).get("pid", 0)
    command = Path(f"/proc/{pid}/cmdline")
    if "session_widgets.runner" in (_text(command) or ""):
        os.kill(int(pid), signal.SIGKILL)
        while _text(command):
            time.sleep(0.01)  # it is no child of this program
    ready.unlink(missing_ok=True)


def _user() -> tuple[int, int]:
    """Return the ids of the agents' user, who is made if there is none."""
    try:
        found = pwd.getpwnam(USER)
    except KeyError:
        taken = {id for one in pwd.getpwall() for id in (one.pw_uid, one.pw_gid)}
        number = next(number for number in range(FIRST_ID, 60_000) if number not in taken)
        shell = "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"
        with Path("/etc/passwd").open("a") as file:
            file.write(f"{USER}:x:{number}:{number}::/home/{USER}:{shell}\n")
        with Path("/etc/group").open("a") as file:
            file.write(f"{USER}:x:{number}:\n")
        return number, number
    return found.pw_uid, found.pw_gid


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None


def _json(path: Path) -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads(_text(path) or "{}")
    except ValueError:
        return {}
    return known


if __name__ == "__main__":
    steps: dict[str, Callable[..., dict[str, Any]]] = {"probe": probe, "start": start}
    print(json.dumps(steps[sys.argv[1]](*sys.argv[2:])))  # noqa: T201 - the answer
