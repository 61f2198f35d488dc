"""What this machine can do, and what to do about what it cannot."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from session_widgets.errors import SessionWidgetsError
from session_widgets.store import store

KEYS = {
    "ANTHROPIC_API_KEY": "models of Anthropic",
    "OPENAI_API_KEY": "models of OpenAI",
    "GEMINI_API_KEY": "models of Google",
    "E2B_API_KEY": "E2B sandboxes",
    "DAYTONA_API_KEY": "Daytona sandboxes",
    "MODAL_TOKEN_ID": "Modal sandboxes",
}
LEAST_FREE_GB = 1.0
NOT_NEEDED = "nothing in this release needs it yet"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `remedy` is empty when all is well."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


def checks() -> Iterator[Check]:
    """Look at one thing after the other; nothing is sent anywhere, and no key is read further than its name."""
    yield _python()
    yield Check("session-widgets", True, importlib.metadata.version("session-widgets"))
    yield _store()
    yield _disk()
    yield _lab()
    yield _docker()
    yield _fuse()
    yield _program("Node.js", ("node",), "only to rebuild the front end: install Node.js 20 or newer, with npm")
    yield _program(
        "browser",
        ("chromium", "chromium-browser", "google-chrome", "firefox"),
        "to see notebooks on this machine: install Chromium or Firefox",
    )
    for key, use in KEYS.items():
        yield _key(key, use)


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()} ({sys.executable})"
    if sys.platform == "win32":
        return Check("Python", False, found, "the local sandbox needs Linux or macOS: use WSL")
    return Check("Python", sys.version_info >= (3, 11), found, "" if sys.version_info >= (3, 11) else "3.11 or newer")


def _store() -> Check:
    version = importlib.metadata.version("duckdb")
    try:
        book = store()
        (count,) = book.sql("select count(*) from v_sessions").fetchall()[0]
    except SessionWidgetsError as error:
        return Check("DuckDB store", False, f"DuckDB {version}", str(error))
    return Check("DuckDB store", True, f"{count} sessions in {book.path} (DuckDB {version})")


def _disk() -> Check:
    place = next(folder for folder in (store().path, *store().path.parents) if folder.exists())
    free = shutil.disk_usage(place).free / 1e9
    enough = free >= LEAST_FREE_GB
    remedy = "" if enough else "make room, or point SESSION_WIDGETS_HOME to another disk"
    return Check("disk", enough, f"{free:.1f} GB free at {place}", remedy)


def _lab() -> Check:
    try:
        lab = importlib.metadata.version("jupyterlab")
    except importlib.metadata.PackageNotFoundError:
        return Check("JupyterLab", False, "not installed here", "pip install 'session-widgets[lab]'")
    return Check("JupyterLab", True, f"{lab}, ipykernel {importlib.metadata.version('ipykernel')}")


def _docker() -> Check:
    if not shutil.which("docker"):
        return Check("Docker", False, "no docker on PATH", f"install Docker Engine; {NOT_NEEDED}")
    version = _output(["docker", "version", "--format", "{{.Server.Version}}"])
    if version is None:
        return Check("Docker", False, "installed, but no daemon answers", f"systemctl start docker; {NOT_NEEDED}")
    return Check("Docker", True, version)


def _fuse() -> Check:
    mounter = shutil.which("fusermount3") or shutil.which("fusermount")
    if Path("/dev/fuse").exists() and mounter:
        return Check("FUSE", True, mounter)
    missing = "no fusermount3" if Path("/dev/fuse").exists() else "no /dev/fuse"
    return Check("FUSE", False, missing, f"install fuse3; {NOT_NEEDED}")


def _program(name: str, commands: tuple[str, ...], remedy: str) -> Check:
    path = next(filter(None, map(shutil.which, commands)), None)
    if path is None:
        return Check(name, False, "not found", remedy)
    return Check(name, True, f"{_output([path, '--version']) or 'does not say its version'} ({path})")


def _key(key: str, use: str) -> Check:
    present = bool(os.environ.get(key))
    return Check(
        key, present, "present" if present else "absent", "" if present else f"export {key}=... for {use}; {NOT_NEEDED}"
    )


def _output(command: list[str]) -> str | None:
    """Return the first line that a program prints, or None if it fails or takes longer than 5 s."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.split("\n")
    return lines[0].strip() if done.returncode == 0 and lines[0].strip() else None
