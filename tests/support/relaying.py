"""A directory of the user, and a machine elsewhere, whose directory is another one here."""

from __future__ import annotations

import shutil
from pathlib import Path

from session_widgets.host.host_tree import HostTree
from session_widgets.workspaces import forget_tree
from session_widgets.workspaces.local import LocalWorkspace


class World:
    """A directory of the user, and the machine elsewhere."""

    def __init__(self, home: Path, kind: type[HostTree]) -> None:
        self.home, self.kind = home, kind
        self.place = home / "sync"
        self.durable = home / "project"
        self.durable.mkdir()
        self.box = home / "box"
        self.space = self.another_box()

    def another_box(self):
        """A new sandbox: its directory is empty."""
        shutil.rmtree(self.box, ignore_errors=True)
        self.box.mkdir()
        forget_tree(self.place)
        return self.another_kernel()

    def another_kernel(self):
        self.space = LocalWorkspace(self.durable, managed=False).relayed(self.kind(self.box), self.place)
        return self.space

    def attach(self) -> None:
        self.space.attach(lambda _: None)

    def persist(self) -> None:
        self.space.persist(self.space.scan, ())


def files(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): p.read_text() for p in sorted(root.rglob("*")) if p.is_file()}


def put(root: Path, path: str, text: str = "x") -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file
