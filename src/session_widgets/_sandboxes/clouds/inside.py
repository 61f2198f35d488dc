"""Prepares a box: this program runs inside of it, with whatever Python it has, and imports nothing of ours.

    python inside.py '{"config": {...}, "name": NAME, "target": [3, 11, "x86_64", "glibc"], "node": false,
                       "archive": {"path": "/tmp/...", "sha256": "..."}}'

It starts the runner of the archive NAME, which is at `path` unless it is installed, if the box has what `target` and
`node` ask for. Its last line of output is a JSON object with what the box has. The configuration has no secret: of the
runner's token it has the hash. Agents run as a user of their own, without rights, who cannot enter PRIVATE: there are
the runner's state and its log.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

HOME = Path("/opt/session-widgets")
PRIVATE = HOME / "private"
STATE = PRIVATE / "state"
VENV = HOME / "venv"
HARNESSES = HOME / "harnesses"
CONFIG = PRIVATE / "config.json"
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


def main(asked: dict[str, Any]) -> dict[str, Any]:
    """Start the runner if the box has what it needs; report what the box has."""
    libc = "glibc" if platform.libc_ver()[0] == "glibc" else "musl"
    found = {
        "target": [*sys.version_info[:2], platform.machine(), libc],
        "root": os.geteuid() == 0,
        "node": shutil.which("node", path=PATH) is not None,
        "installed": _text(INSTALLED),
    }
    archive = asked["archive"]
    there = archive is not None or found["installed"] == asked["name"]
    if not found["root"] or asked["target"] != found["target"] or (asked["node"] and not found["node"]) or not there:
        _remove(archive)
        return found
    PRIVATE.mkdir(parents=True, exist_ok=True)
    os.chown(PRIVATE, 0, 0)
    PRIVATE.chmod(0o710)
    if found["installed"] != asked["name"]:
        data = Path(archive["path"]).read_bytes()
        if hashlib.sha256(data).hexdigest() != archive["sha256"]:
            return {**found, "failed": "the uploaded archive has another content"}
        _install(asked["name"], data)
    _remove(archive)
    return {**found, **_start(asked["config"])}


def _remove(archive: dict[str, Any] | None) -> None:
    if archive is not None:
        with suppress(OSError):
            Path(archive["path"]).unlink()


def _install(name: str, archive: bytes) -> None:
    """Unpack the archive into an environment of its own, and make the user and the folders of agents."""
    INSTALLED.unlink(missing_ok=True)
    shutil.rmtree(VENV, ignore_errors=True)
    packages = VENV / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    packages.mkdir(parents=True)
    python = Path(sys.executable).resolve()
    (VENV / "bin").mkdir()
    (VENV / "bin/python").symlink_to(python)
    (VENV / "pyvenv.cfg").write_text(f"home = {python.parent}\ninclude-system-site-packages = false\n")
    with tarfile.open(fileobj=io.BytesIO(archive)) as content:
        content.extractall(packages)  # noqa: S202 - our own archive
    uid, gid = _user()
    for folder, mode in ((Path("/home", USER), 0o700), (WORKSPACE, 0o755), (STATE, 0o700)):
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, uid, gid)
        folder.chmod(mode)
    for folder in (HOME, VENV):
        folder.chmod(0o755)
    INSTALLED.write_text(name)


def _start(config: dict[str, Any]) -> dict[str, Any]:
    """Start the runner, and wait until it listens."""
    nonce = secrets.token_hex(16)
    config |= {"root": str(WORKSPACE), "state": str(STATE), "harnesses": str(HARNESSES), "user": _user()}
    CONFIG.touch(0o600)
    CONFIG.write_text(json.dumps({**config, "nonce": nonce}))
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
        if _json(ready).get("nonce") == nonce:
            return {"nonce": nonce}
        time.sleep(0.005)  # the file has no event to wait for
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
    print(json.dumps(main(json.loads(sys.argv[1]))))  # noqa: T201 - the answer
