"""The test's side of Modal's stand-in: starts its process, asks for faults, reads its books."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT

TOKEN = ("ak-stand-in", "as-stand-in")


class ModalAccount:
    """A stand-in that runs between entry and exit.

    Args:
        place: a new directory for its boxes and images.
    """

    name = "modal"
    own: dict[str, str] | None = None
    """Environment of its process; None: ours."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def __enter__(self) -> ModalAccount:
        command = [sys.executable, "-m", "tests.standins.modal", str(self._place)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, env=self.own)
        self.url: str = self._read()["url"]
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)
        assert self._process.stdout is not None
        self._process.stdout.close()

    @classmethod
    @contextmanager
    def entered(cls, place: Path) -> Iterator[ModalAccount]:
        """Start a stand-in, and lead the SDK of this process to it."""
        with cls(place) as account, pytest.MonkeyPatch.context() as patch:
            for name, value in account.environment.items():
                patch.setenv(name, value)
            yield account

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that lead the SDK here."""
        return {"MODAL_SERVER_URL": self.url, "MODAL_TOKEN_ID": TOKEN[0], "MODAL_TOKEN_SECRET": TOKEN[1]}

    def fault(self, call: str, **fault: Any) -> None:
        """Ask for a fault: `status="RESOURCE_EXHAUSTED"` of a call, "late creation" with `seconds`, or "cut".

        With `http=500` a proxy before Modal answers the call, with a page of HTML.
        """
        self._order("fault", call=call, **fault)

    def forget_faults(self) -> None:
        """Fail no further call."""
        self._order("forget faults")

    def set_clock(self, ahead: float) -> None:
        """Let Modal's clock show so many seconds more than ours."""
        self._order("clock", ahead=ahead)

    def end(self, id: str) -> None:
        """Let the time of a box be over."""
        self._order("end", id=id)

    def behind_our_back(self, id: str, what: str) -> None:
        """Let the `Line` of a box "stall", "repeat", and so on, or "cut" its connections."""
        self._order("cut", id=id) if what == "cut" else self._order("line", id=id, what=what)

    def forget_image(self, id: str) -> None:
        """Let a snapshot expire."""
        self._order("forget image", id=id)

    def end_all(self) -> None:
        """End every box."""
        self._order("end all")

    @property
    def running(self) -> list[str]:
        """Return the ids of the running boxes."""
        return [box["id"] for box in self.books()["boxes"]]

    def books(self) -> dict[str, Any]:
        """Return running boxes, kept images, counts of calls, and requests."""
        return self._order("books")

    def take_unexpected(self) -> list[str]:
        """Return the calls that the stand-in did not know or that broke it, and forget them."""
        return list(self._order("unexpected")["unexpected"])

    def _order(self, order: str, **more: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"order": order, **more}).encode() + b"\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the stand-in ended with {self._process.wait(5)}"
        return dict(json.loads(line))
