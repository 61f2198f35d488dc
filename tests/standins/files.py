"""Files that are put into a box by this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def put_files(root: Path, files: Mapping[str, bytes], user: tuple[int, int]) -> None:
    """Replace files below a root, creating their parents; they belong to `user`."""
    for path, data in files.items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        os.chown(target, *user)
