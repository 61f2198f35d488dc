"""Measurements: each figure beside its aim, and beside a peer or a floor that was measured in the same run.

Run them as `python -m benchmarks [SECTION ...] [--runs N] [--json]` from the root of the repository.
"""
