"""Property tests try the same examples in each run, in any order of the tests.

By default Hypothesis also tries the constants in our modules: other examples with each set of loaded modules, for a
second of parsing in each worker.
"""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

settings.register_profile("same", derandomize=True, deadline=None, database=None, max_examples=60)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
"""The same as `st.text()`, whose codec takes 200 MB and a second where Hypothesis has no cache yet."""


def load() -> None:
    """Make these settings those of all property tests."""
    pytest.MonkeyPatch().setattr(providers, "_get_local_constants", Constants)
    settings.load_profile("same")
