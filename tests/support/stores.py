"""Opening and closing of stores in the process of the tests."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import ClassVar

from session_widgets._store import database
from session_widgets._store.connection import StoreFile

_making = threading.Lock()


class CopiedFile(StoreFile):
    """The file of a store; a missing one is copied: to make the tables and views takes a tenth of a second."""

    empty: ClassVar[Path]

    def _make_ready(self, deadline: float) -> None:
        if self._known is None and not self.path.exists():
            shutil.copy(made_empty(self.empty), self.path)
            self._known = self._identity()
        super()._make_ready(deadline)


def made_empty(path: Path) -> Path:
    """Return the path of a store's file with its tables and nothing in them; made at the first call."""
    with _making:
        if not path.exists():
            file = StoreFile(path)
            with file.looking():
                pass
            file.close()
    return path


def close_below(folder: Path) -> None:
    """Close the stores of this process in a folder: each that stays open keeps some 15 MB and a thread."""
    for store in [store for store in database._open.values() if store.path.is_relative_to(folder)]:
        store.close()
