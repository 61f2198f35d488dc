"""The faults that nothing notices and that is accepted: `survivors.toml`."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from tests.mutation.modules import MODULES

FILE = Path(__file__).with_name("survivors.toml")
KINDS = {"same", "text", "time", "process", "defence"}


class Accepted(NamedTuple):
    kind: str
    reason: str

    @property
    def same(self) -> bool:
        """Whether it changes nothing that anybody could see, so that no test could notice it."""
        return self.kind == "same"


def accepted(module: str) -> dict[str, dict[str, Accepted]]:
    """Return those of a module: by file, by name of the change."""
    found: dict[str, dict[str, Accepted]] = {}
    for entry in tomllib.loads(FILE.read_text("utf-8"))["survivor"]:
        if any(fnmatch(entry["file"], pattern) for pattern in MODULES[module].sources):
            for change in entry["changes"]:
                found.setdefault(entry["file"], {})[change] = Accepted(entry["kind"], entry["reason"])
    return found
