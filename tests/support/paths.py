"""Where the repository is, and the data beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CAPTURES = ROOT / "tests" / "fixtures" / "captures"
"""Recorded traffic of harnesses, one scenario a file."""


def shared(path: str) -> Path:
    """The file or directory `path` of the data kept beside the repository; skips the test where it is absent."""
    found = ROOT.parent / "shared" / path
    if not found.exists():
        pytest.skip(f"needs shared data: ../shared/{path} is not beside the repository")
    return found
