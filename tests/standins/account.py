"""A stand-in with an address of its own, as its tests have it: started, asked for its books, told to fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import httpx

from tests.support.paths import ROOT


class Account:
    """Started on entry; on exit it ends with all its boxes."""

    program: str
    own: dict[str, str] | None = None
    """Environment of its process; None: ours."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._unknown = 0

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", self.program, str(self._home)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, env=self.own)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        self._http = httpx.Client(base_url=self.url, trust_env=False, timeout=30)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._http.close()
        self._process.stdin.close()
        code = self._process.wait(30)
        self._process.stdout.close()
        assert code == 0

    def books(self) -> dict[str, Any]:
        """What there is: `boxes` by id; what was asked: `calls` by route, bodies of `created`, `unknown` requests."""
        books: dict[str, Any] = self._http.get("/standin/books").json()
        return books

    def take_unknown(self) -> list[str]:
        """Return the requests that the stand-in did not know, each once."""
        unknown = self.books()["unknown"][self._unknown :]
        self._unknown += len(unknown)
        return list(unknown)

    def _post(self, path: str, body: object = None) -> None:
        self._http.post(path, json=body).raise_for_status()
