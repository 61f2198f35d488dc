"""Installs harnesses: npm packages of exact versions, from our lock files; never globally, never as root.

Each has a folder named after its lock, so another version has another folder and a running harness never changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TextIO

import orjson
import psutil

from session_widgets._harnesses.harness import Harness
from session_widgets._harnesses.node import INSTALL_SECONDS, LOOK_SECONDS, npm_ci
from session_widgets.errors import BadValue, HarnessNotReady
from session_widgets.host.daemon import locked
from session_widgets.host.machine import this_platform
from session_widgets.progress import Progress

FOLDER = "SESSION_WIDGETS_HARNESSES"
"""Directory for installed harnesses, instead of `harnesses` in the data directory: several users may share it."""
LOCKS: Traversable = files("session_widgets._harnesses").joinpath("locks")
PARTIAL = ".partial-"


class Installation:
    """A harness in a directory of installed harnesses.

    Args:
        home: the data directory.
    """

    def __init__(self, harness: Harness, home: Path) -> None:
        self.harness = harness
        self._home = home
        self._lock = LOCKS.joinpath(harness.id)
        if not self._lock.joinpath("package-lock.json").is_file():
            raise BadValue(f"session-widgets does not know how to install {harness.id!r}. {harness.install}".rstrip())
        root = Path(os.environ.get(FOLDER) or home / "harnesses").expanduser().absolute()
        self.path = root / f"{harness.id}-{harness.version}-{self._mark()}"

    @property
    def modules(self) -> Path | None:
        """Its `node_modules`; None unless it is completely installed."""
        return self.path / "node_modules" if (self.path / "node_modules").is_dir() else None

    @property
    def size(self) -> int | None:
        """Bytes on disk; None unless it is installed."""
        return None if self.modules is None else _size(self.modules)

    def install(self, progress: Progress) -> None:
        """Install it unless it is installed; npm verifies the checksums of the lock.

        Raises:
            MissingDependency: Node.js is missing or too old.
            HarnessNotReady: the installation failed; the message has the reason. An existing installation stays.
        """
        if self.modules is not None:
            return
        if self.harness.platform_packages and this_platform() not in self.harness.platform_packages:
            known = ", ".join(self.harness.platform_packages)
            raise HarnessNotReady(f"{self.harness.title} exists for {known}; this machine is {this_platform()}.")
        root = self.path.parent
        try:
            self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
            root.mkdir(parents=True, exist_ok=True, mode=0o755)
            with self._alone(progress):
                if self.modules is None:
                    self._make(progress)
        except OSError as error:
            raise HarnessNotReady(
                f"{self.harness.title} could not be installed below {root}: {error.strerror or error}. {FOLDER} names "
                "another directory."
            ) from error

    def remove(self) -> bool:
        """Remove it, including versions of older releases; False if nothing was installed."""
        root = self.path.parent
        mine = re.compile(rf"{re.escape(self.harness.id)}-\d[^/]*-[0-9a-f]{{8}}")
        found = [folder for folder in root.glob(f"{self.harness.id}-*") if mine.fullmatch(folder.name)]
        if not found:
            return False
        with locked(root):
            for folder in found:
                doomed = Path(tempfile.mkdtemp(dir=root, prefix=PARTIAL))
                folder.rename(doomed / folder.name)
                shutil.rmtree(doomed)
        return True

    @contextmanager
    def _alone(self, progress: Progress) -> Iterator[None]:
        """Let one process at a time install; report the process that this one waits for, up to a time limit."""
        deadline = time.monotonic() + INSTALL_SECONDS
        with (self.path.parent / "lock").open("a+") as lock:
            while not _take(lock):
                whom = f"another installation{_holder(lock)}"
                if time.monotonic() > deadline:
                    raise HarnessNotReady(
                        f"{self.harness.title} could not be installed: {whom} was not over after {INSTALL_SECONDS} s."
                    )
                progress(f"waiting for {whom}")
                time.sleep(LOOK_SECONDS)
            _sign(lock, f"{self.harness.id} {os.getpid()}")
            try:
                yield
            finally:
                _sign(lock, "")

    def _make(self, progress: Progress) -> None:
        """Install beside, then move into place: the folder is complete or absent."""
        what = f"{self.harness.title} {self.harness.version}"
        root = self.path.parent
        for left in root.glob(f"{PARTIAL}*"):  # left by a killed process: this process has the lock
            shutil.rmtree(left, ignore_errors=True)
        place = Path(tempfile.mkdtemp(dir=root, prefix=PARTIAL))
        try:
            manifest, lock = self._wanted()
            place.joinpath("package.json").write_bytes(orjson.dumps(manifest))
            place.joinpath("package-lock.json").write_bytes(orjson.dumps(lock))
            progress(f"installing {what}")
            npm_ci(place, self.harness.node, what, lambda: progress(f"installing {what}: {_size(place) / 1e6:.0f} MB"))
            for program in self._programs(place):
                program.chmod(0o755)
            self._check(place, what)
            place.chmod(0o755)
            place.rename(self.path)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _wanted(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return package.json and lock for this platform; its native program is required there, not optional."""
        manifest, lock = (orjson.loads(self._read(name)) for name in ("package.json", "package-lock.json"))
        packages = lock["packages"]
        offered = manifest.get("optionalDependencies", {}).keys() & set(self.harness.platform_packages.values())
        for native in offered:
            version = manifest["optionalDependencies"].pop(native)
            if native == self.harness.platform_packages.get(this_platform()):
                manifest.setdefault("dependencies", {})[native] = version
                packages[f"node_modules/{native}"].pop("optional", None)
            else:
                del packages[f"node_modules/{native}"]
        packages[""] = {name: manifest[name] for name in ("dependencies", "optionalDependencies") if name in manifest}
        return manifest, lock

    def _check(self, place: Path, what: str) -> None:
        native = self.harness.platform_packages.get(this_platform(), "")
        for word in self.harness.command:
            wanted = word.replace("{modules}", str(place / "node_modules")).replace("{native}", native)
            if wanted != word and not Path(wanted).is_file():
                raise HarnessNotReady(f"{what} could not be installed: npm left out {Path(wanted).relative_to(place)}.")

    def _programs(self, place: Path) -> list[Path]:
        """Return the native programs: npm without scripts may leave them without execute permission."""
        return [
            file
            for native in self.harness.platform_packages.values()
            for file in place.glob(f"node_modules/{native}/bin/*")
        ]

    def _read(self, name: str) -> bytes:
        return self._lock.joinpath(name).read_bytes()

    def _mark(self) -> str:
        return hashlib.sha256(self._read("package-lock.json")).hexdigest()[:8]


def _take(file: TextIO) -> bool:
    """Acquire the lock unless another process has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(file: TextIO, who: str) -> None:
    """Record the holder in the lock's file."""
    file.truncate(0)
    file.write(who)
    file.flush()


def _holder(file: TextIO) -> str:
    """Return the holder of the lock, if recorded: " of codex, pid 4711"."""
    file.seek(0)
    harness, _, pid = file.read(200).partition(" ")
    return f" of {harness}, pid {pid}" if pid.isdigit() and psutil.pid_exists(int(pid)) else ""


def _size(folder: Path) -> int:
    """Return the bytes below a folder that may be changing."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_size  # noqa: PTH118 - tens of thousands, each second
            except FileNotFoundError:
                continue
    return total
