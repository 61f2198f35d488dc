"""Fixtures of this folder."""

from __future__ import annotations

import pytest

from tests.transcript.script import Script


@pytest.fixture
def s() -> Script:
    return Script()
