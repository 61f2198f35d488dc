"""An account at E2B's stand-in: a process, with the way to its books and faults."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.support.paths import ROOT

KEY = "e2b_a-key-of-the-stand-in"


class E2BAccount:
    """Started on entry; on exit it ends with all its boxes."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._unknown = 0

    def __enter__(self) -> E2BAccount:
        command = [sys.executable, "-m", "tests.standins.e2b", str(self._home)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        self._http = httpx.Client(base_url=self.url, trust_env=False)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._http.close()
        self._process.stdin.close()
        code = self._process.wait(30)
        self._process.stdout.close()
        assert code == 0

    @property
    def environment(self) -> Mapping[str, str]:
        """Where the SDK, or the adapter, finds it."""
        return {"E2B_API_KEY": KEY, "E2B_API_URL": self.url, "E2B_SANDBOX_URL": self.url}

    def books(self) -> dict[str, Any]:
        """What there is: `boxes` with states and `ends`; what was asked: `calls` by route, bodies of `created`."""
        books: dict[str, Any] = self._http.get("/standin/books").json()
        return books

    @property
    def boxes(self) -> dict[str, str]:
        """The states of the boxes that exist, by id."""
        boxes: dict[str, str] = self.books()["boxes"]
        return boxes

    def take_unknown(self) -> list[str]:
        """Return the requests that the stand-in did not know, each once."""
        unknown = self.books()["unknown"][self._unknown :]
        self._unknown += len(unknown)
        return list(unknown)

    def fault(self, kind: str, route: str, **more: object) -> None:
        """Have the next request of a route (or `times`) fail: "429" (`after`), "html", ..., or be "late" (`seconds`).

        The route is a method and a path such as "POST /v2/sandboxes", "envd /files", "port", or "rename".
        """
        self._http.post("/standin/faults", json={"kind": kind, "route": route, **more}).raise_for_status()

    def forget_faults(self) -> None:
        """Fail no further request."""
        self._http.delete("/standin/faults").raise_for_status()

    def behind_our_back(self, box: str, what: str) -> None:
        """Let a box be "gone", "expire" as its time ends, or "cut" its connections."""
        self._http.post(f"/standin/boxes/{box}/{what}").raise_for_status()
