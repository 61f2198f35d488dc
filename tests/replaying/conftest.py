from __future__ import annotations

import pytest

from tests.support import examples
from tests.transcript.script import Script

examples.load()


@pytest.fixture
def s() -> Script:
    return Script()
