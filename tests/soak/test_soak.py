"""Thirty kills at random moments in the middle of a turn; `make nightly` has three hundred, and dockerd among them."""

from __future__ import annotations

import random

import pytest

from tests.soak.rounds import soak
from tests.support.mid_turn import left_of

SEED = random.SystemRandom().randrange(1 << 32)
"""Printed where it fails."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("setting", "kills"),
    [
        ("local", 12),
        pytest.param("sync", 8, marks=pytest.mark.needs("seaweedfs")),
        pytest.param("mounted", 4, marks=pytest.mark.needs("seaweedfs", "fuse", "s3fs")),
        pytest.param("docker", 6, marks=pytest.mark.needs("docker")),
    ],
)
def test_killed_at_random(setting, kills, forked, tmp_path, monkeypatch):
    soak(forked, setting, kills, SEED, tmp_path)
    assert left_of(tmp_path, monkeypatch) == []
