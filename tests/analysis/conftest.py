"""Property tests try the same examples in each run, in any order of the tests."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None, database=None, max_examples=60)
settings.load_profile("same")
