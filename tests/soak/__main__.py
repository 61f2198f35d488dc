"""`python -m tests.soak --kills 300 --seed 7 [local sync ...]`: kill at random moments, and report the findings."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from tests.soak.rounds import VICTIMS, soak
from tests.support.forked import Forked

SHARES = {"local": 0.34, "sync": 0.2, "mounted": 0.16, "docker": 0.22, "dockerd": 0.08}
"""Of the kills; a daemon takes ten times as long to come back as a runner."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("settings", nargs="*", choices=[*VICTIMS, []], help="all by default")
    parser.add_argument("--kills", type=int, default=300, help="in all settings together")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of an earlier run")
    asked = parser.parse_args()
    settings = asked.settings or list(VICTIMS)
    whole = sum(SHARES[name] for name in settings)
    failed = []
    for name in settings:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="sw-soak-") as place, closing(Forked()) as forked:
            kills = max(1, round(asked.kills * SHARES[name] / whole))
            try:
                soak(forked, name, kills, asked.seed, Path(place))
            except AssertionError as error:
                failed.append(name)
                print(f"FAILED: {name}, seed {asked.seed}: {error}")
            print(f"== {name}: {kills} kills, {time.monotonic() - began:.0f} s", flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
