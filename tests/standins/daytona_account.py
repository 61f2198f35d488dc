"""An account at Daytona's stand-in: a process, with the way to its books and faults."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.standins.daytona_boxes import KEY
from tests.support.paths import ROOT


class DaytonaAccount:
    """Started on entry; on exit it ends with all its boxes."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._unknown = 0

    def __enter__(self) -> DaytonaAccount:
        command = [sys.executable, "-m", "tests.standins.daytona", str(self._home)]
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
        return {"DAYTONA_API_KEY": KEY, "DAYTONA_API_URL": f"{self.url}/api", "DAYTONA_TARGET": "us"}

    def books(self) -> dict[str, Any]:
        """What there is: `boxes` by id; what was asked: `calls` by route, bodies of `created`, `unknown` requests."""
        books: dict[str, Any] = self._http.get("/standin/books").json()
        return books

    @property
    def boxes(self) -> dict[str, str]:
        """The states of the boxes that exist, by name."""
        return {box["name"]: box["state"] for box in self.books()["boxes"].values()}

    def take_unknown(self) -> list[str]:
        """Return the requests that the stand-in did not know, each once."""
        unknown = self.books()["unknown"][self._unknown :]
        self._unknown += len(unknown)
        return list(unknown)

    def fault(self, kind: str, route: str, **more: object) -> None:
        """Have the next request of a route fail.

        Args:
            kind: "429" (`after`), "html" (`status`), "502", "refused" (`status`, `message`); of a creation, which does
                make the box: "late" (`seconds`), "lost", "broken".
            route: its method, and how its path begins.
            more: as above.
        """
        self._post("/standin/faults", {"kind": kind, "route": route, **more})

    def behind_our_back(self, box: str, what: str) -> None:
        """Have something happen to a box that nobody asked for.

        Args:
            box: its id.
            what: "gone", "cut" (its connections), "error-recoverable", "error-final", "pass-10" (minutes without use).
        """
        self._post(f"/standin/boxes/{box}/{what}", {})

    def _post(self, path: str, body: object) -> None:
        self._http.post(path, json=body).raise_for_status()
