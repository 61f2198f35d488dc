"""The files of this machine that a confined sandbox sees, as bubblewrap's arguments.

Programs of a sandbox write into its workspace, `/tmp` and their home. A mount point below such a directory must not be
replaceable: bubblewrap would follow a link there, with the rights of the runner's user. So each directory above it is a
mount of its own, which no process inside can move.
"""

from __future__ import annotations

import os
import shutil
import site
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from session_widgets.errors import SandboxError

TMP = Path("/tmp")  # noqa: S108 - the path inside, where it is the sandbox's own
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
PACKAGE = Path(__file__).parents[1]


class View:
    """The visible files: bubblewrap's arguments by paths inside."""

    def __init__(self, root: Path, place: Path) -> None:
        self.tree: dict[Path, list[str]] = {}
        self._root = root
        self._place = place

    def arguments(self) -> Iterator[str]:
        """Yield them, directories before what is in them."""
        for path in sorted(self.tree, key=lambda path: len(path.parts)):
            yield from self.tree[path]

    def mount_all(self, mounts: Mapping[str, str], hidden: Sequence[Path]) -> None:
        """Show directories of the user's choice, without the hidden ones in them."""
        for here, inside in mounts.items():
            place = Path(inside)
            if place.is_relative_to(self._root):
                raise SandboxError(f"mounts: {inside!r} is inside of the workspace, which the agent can change.")
            self._bind(here, place)
            for path in hidden:
                if path.resolve().is_relative_to(Path(here).resolve()):
                    self._hide(place / path.resolve().relative_to(Path(here).resolve()))

    def show(self, path: Path) -> None:
        """Show a file or a directory read-only, at its own path."""
        shown = [*map(Path, SYSTEM), self._root, *filter(self._is_same, self.tree)]
        if path != Path("/") and not any(path.is_relative_to(one) for one in shown):
            self._bind(str(path), path)

    def protect(self, path: Path) -> None:
        """Show a file or a directory read-only, in the workspace too: programs outside of the sandbox use it."""
        if not path.is_relative_to(self._root):
            self.show(path)
        elif not any(path.is_relative_to(one) for one in filter(self._is_same, self.tree)):
            if path.is_symlink():
                raise SandboxError(f"confine=True: {path} is a link in the workspace, and Python is behind it.")
            self._pin(path, self._root, self._root)
            self._bind(str(path), path)

    def hide(self, paths: Sequence[Path]) -> None:
        """Hide directories that a shown directory contains."""
        for path in paths:
            if any(path.is_relative_to(one) for one in tuple(self.tree)):
                self._hide(path)

    def use_workspace(self) -> None:
        """Show the workspace, writable; prepare the mount points below /tmp."""
        self.tree[self._root] = ["--bind", str(self._root), str(self._root)]
        for path, (what, source, *_) in tuple(self.tree.items()):
            if path.is_relative_to(TMP) and (path == self._root or not path.is_relative_to(self._root)):
                own = self._place / "tmp"
                self._pin(path, TMP, own)
                _make_plain(own / path.relative_to(TMP), directory=what == "--tmpfs" or Path(source).is_dir())

    def _bind(self, here: str, inside: Path) -> None:
        self.tree[inside] = ["--ro-bind", here, str(inside)]

    def _hide(self, inside: Path) -> None:
        self.tree[inside] = ["--tmpfs", str(inside)]

    def _is_same(self, inside: Path) -> bool:
        return self.tree[inside] == ["--ro-bind", str(inside), str(inside)]

    def _pin(self, path: Path, top: Path, here: Path) -> None:
        """Make each directory between `top` and `path` a mount; `here` is what `top` is inside."""
        for above in reversed([one for one in path.parents if one.is_relative_to(top) and one != top]):
            own = here / above.relative_to(top)
            if here != self._root:
                _make_plain(own, directory=True)
            elif own.is_symlink():
                raise SandboxError(f"confine=True: {own} is a link in the workspace, and Python is behind it.")
            self.tree.setdefault(above, ["--bind", str(own), str(above)])


def _make_plain(path: Path, *, directory: bool) -> None:
    """Make an empty directory or file, in place of what an earlier program of the sandbox left there."""
    if path.is_symlink() or (path.exists() and path.is_dir() != directory):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    if directory:
        path.mkdir(mode=0o700, exist_ok=True)
    else:
        path.touch()


def user_site() -> Path | None:
    """Return the user's directory of Python packages, if this package is there."""
    if site.ENABLE_USER_SITE and PACKAGE.is_relative_to(site.getusersitepackages()):
        return Path(site.getusersitepackages())
    return None


def python_files() -> Iterator[Path]:
    """Yield what Python needs to import this package."""
    for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix):
        yield from dict.fromkeys((Path(prefix), Path(prefix).resolve()))
    if users := user_site():
        yield users
    yield PACKAGE
    yield from _links(Path(sys.executable))


def program_files(agents: Mapping[str, Any]) -> Iterator[Path]:
    """Yield what the harnesses' commands name, and Node.js."""
    for entry in agents.values():
        first, *others = entry["command"]
        if found := shutil.which(first, path=entry.get("env", {}).get("PATH")):
            yield from _installation(Path(found).absolute())
        for word in others:
            if word.startswith("/") and Path(word).is_file():
                yield Path(word)
    if node := shutil.which("node"):
        yield from _installation(Path(node).absolute())


def _installation(program: Path) -> Iterator[Path]:
    """Yield the directories that a program was installed into, if they contain nothing else; else the program."""
    for link in _links(program):
        top = link.parent.parent
        own = ("pyvenv.cfg", "conda-meta", "include/node", "lib/node_modules/npm")
        if top != Path("/") and any((top / name).exists() for name in own):
            yield top
        else:
            yield link


def _links(program: Path) -> Iterator[Path]:
    """Yield a program, and in turn what it is a link to."""
    yield program
    for _ in range(40):
        if not program.is_symlink():
            return
        program = Path(os.path.normpath(program.parent / program.readlink()))
        yield program
