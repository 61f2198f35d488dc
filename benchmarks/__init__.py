"""Measurements: each figure beside its aim, and beside a peer or a floor that was measured in the same run.

Run them as `python -m benchmarks [SECTION ...] [--runs N] [--json]` from the root of the repository.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))  # the servers and pages that tests start
