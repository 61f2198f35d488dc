"""Where a vendor's sandboxes are, past the vendor: for tests that also know another machine, `tests.support.boxes`."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.standins.machine import REACHED

CLOUDS = {"e2b": "E2BAccount", "daytona": "DaytonaAccount", "modal": "ModalAccount"}
"""The class of each vendor's account, in `tests.standins.NAME_account`: the SDKs take seconds to import."""


class Rented:
    """An account at a stand-in, whose sandboxes a test opens by the name of the vendor."""

    token = None

    def __init__(self, name: str, account: Any, home: Path) -> None:
        self.name = name
        self._account = account
        self._home = home

    @property
    def environment(self) -> Mapping[str, str]:
        """Where the SDK finds it."""
        environment: Mapping[str, str] = self._account.environment
        return environment

    @property
    def boxes(self) -> list[str]:
        """Their ids."""
        return list(self._account.books()["lines"])

    @property
    def place(self) -> Path:
        """The workspace of the only box."""
        (box,) = self.boxes
        return next(root for root in (self._home / box, self._home / "boxes" / box) if root.exists()) / "workspace"

    def copy(self, _: Path) -> Path:
        """Return the workspace; nothing has to be copied."""
        return self.place

    def has(self, name: str) -> bool:
        """Whether a file is in the workspace."""
        return (self.place / name).exists()

    def kill(self) -> None:
        """Let all boxes be gone, with everything in them."""
        for box in self.boxes:
            self._account.end(box) if self.name == "modal" else self._account.behind_our_back(box, "gone")

    def start(self) -> None:
        """A box that is gone does not come back."""

    def check(self) -> None:
        """Fail unless all boxes have been removed and every request was known."""
        books = self._account.books()
        assert (len(books["boxes"]), books.get("images", [])) == (0, []), "something is left at the vendor"
        assert (self._account.take_unexpected if self.name == "modal" else self._account.take_unknown)() == []


@contextmanager
def rented(name: str, home: Path, *, reaching: int = 0) -> Iterator[Rented]:
    """Start a stand-in; it ends with its boxes.

    Args:
        name: of the vendor.
        home: a new directory for its boxes.
        reaching: port of 127.0.0.1 that programs in boxes reach under the same address; 0: none.
    """
    account = getattr(importlib.import_module(f"tests.standins.{name}_account"), CLOUDS[name])(home)
    account.own = {**os.environ, REACHED: str(reaching)}
    with account:
        yield Rented(name, account, home)
