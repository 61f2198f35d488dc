"""Property tests try the same examples in each run, in any order of the tests."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.transcript.script import Script

settings.register_profile("same", derandomize=True, deadline=None, database=None, max_examples=60)
settings.load_profile("same")


@pytest.fixture
def s() -> Script:
    return Script()
