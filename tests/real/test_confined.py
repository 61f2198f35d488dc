"""No network but loopback, and a read-only home directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT
from tests.support.real_harnesses import NAMES

IN_NAMESPACES = 'mount -t tmpfs -o ro none "$HOME" && ! touch "$HOME/a" 2>&- && exec "$0" -m tests.real.confined "$1"'


@pytest.mark.needs("harnesses", "model", "tmpfs")
@pytest.mark.timeout(180)
def test_each_harness_works_without_a_network_and_with_a_home_that_is_read_only(home, tmp_path):
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    done = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", IN_NAMESPACES, sys.executable, tmp_path],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
        cwd=ROOT,
        env=os.environ | {"HOME": str(nowhere)},
    )
    assert done.returncode == 0, done.stderr
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert outcomes == [[name, "completed", "I write\n\ndone", True, None] for name in NAMES]
