"""Where a measurement takes place: a data directory of its own, and a session in it that is ended afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import session_widgets as sw
from session_widgets._sessions import Session


@contextmanager
def home() -> Iterator[Path]:
    """Make a temporary directory the SESSION_WIDGETS_HOME of this process and of those it starts."""
    before = os.environ.get("SESSION_WIDGETS_HOME")
    with tempfile.TemporaryDirectory(prefix="benchmark-", ignore_cleanup_errors=True) as place:
        os.environ["SESSION_WIDGETS_HOME"] = place
        try:
            yield Path(place)
        finally:
            sw.store().close()
            if before is None:
                del os.environ["SESSION_WIDGETS_HOME"]
            else:
                os.environ["SESSION_WIDGETS_HOME"] = before


@contextmanager
def session() -> Iterator[Session]:
    """Open a session of the demo harness in a fresh home, with its agent running."""
    with home():
        opened = sw.open_session("benchmark", permissions="allow_all")
        try:
            opened.send("say ready")
            yield opened
        finally:
            opened.delete()


def python(code: str) -> str:
    """Run code in a fresh interpreter; return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout
