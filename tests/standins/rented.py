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

CREATION = {"e2b": "POST /v2/sandboxes", "daytona": "POST /api/sandbox"}
"""The routes that make a box."""


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

    def stop(self) -> None:
        """Let the time of all boxes be over: E2B pauses them, Daytona stops them, Modal ends them."""
        for box in self.boxes:
            if self.name == "modal":
                self._account.end(box)
            else:
                self._account.behind_our_back(box, {"e2b": "expire", "daytona": "pass-30"}[self.name])

    def set_clock(self, ahead: int) -> None:
        """Let the vendor's clock show so many seconds more than ours."""
        if self.name == "modal":
            self._account.set_clock(ahead)
            return
        for box in self.boxes:
            self._account.behind_our_back(box, f"clock{ahead}")

    @contextmanager
    def answering_creations(self, status: int) -> Iterator[None]:
        """Let a proxy before the vendor answer all requests for a box, with a page of HTML."""
        if self.name == "modal":
            self._account.fault("SandboxCreateV2", http=status, times=99)
        else:
            self._account.fault("html", CREATION[self.name], status=status, times=99)
        yield
        self._account.forget_faults()

    def delay_creation(self, seconds: float) -> None:
        """Let the next box be there some seconds before anybody knows its id."""
        if self.name == "modal":
            self._account.fault("late creation", seconds=seconds)
        else:
            self._account.fault("late", CREATION[self.name], seconds=seconds)

    def rename_when_resumed(self) -> None:
        """Let the next box that is resumed have another id, where that is no rule and can be: at E2B."""
        if self.name == "e2b":
            self._account.fault("rename", "rename")

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
