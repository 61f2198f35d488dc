from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.analysis.judges import Judges
from tests.support import examples

examples.load()


@pytest.fixture(scope="session")
def judges() -> Iterator[Judges]:
    """SciPy and statsmodels."""
    judges = Judges()
    yield judges
    judges.close()
