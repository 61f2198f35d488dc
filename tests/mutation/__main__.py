"""`.ci/mutation MODULE`: put small faults into a module, and name those nobody notices.

mutmut makes each fault in a copy of the project, `.cache/mutation/MODULE`. It is noticed if one of the tests
of `modules.py` that start no process fails, or takes many times as long.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.mutation.changes import Change
from tests.mutation.faults import Fault, make, reset, results, try_all
from tests.mutation.modules import MODULES
from tests.mutation.survivors import Accepted, accepted

ROOT = Path.cwd()
WANTED = 0.95
"""Of the faults that change what the module does."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("module", choices=MODULES)
    parser.add_argument("--survivors", action="store_true", help="try those again that survived the run before")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="how many are tried at once")
    asked = parser.parse_args()
    began = time.monotonic()
    faults = _run(asked.module, asked.workers, again=asked.survivors)
    if faults is None:
        return 1
    return _tell(asked.module, faults, time.monotonic() - began)


def _run(name: str, workers: int, *, again: bool) -> list[Fault] | None:
    """Return the faults with their outcomes, None if mutmut could not."""
    place, log = ROOT / ".cache/mutation" / name, ROOT / ".cache/mutation" / f"{name}.log"
    if not again:
        shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True, exist_ok=True)
    Path("mutants").unlink(missing_ok=True)
    Path("mutants").symlink_to(place)  # where mutmut works
    try:
        with _output_to(log):
            make(MODULES[name], workers)
            if again:
                reset()

            try_all(workers)
    except SystemExit:
        print(f"{name}: mutmut gave up; do the tests of modules.py pass?", *_end_of(log), sep="\n")
        return None
    return results()


def _end_of(log: Path) -> list[str]:
    return log.read_text("utf-8", "replace").splitlines()[-40:]


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    sys.stdout.flush()
    kept = os.dup(1), os.dup(2)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in enumerate(kept, 1):
            os.dup2(copy, number)
            os.close(copy)


def _tell(name: str, faults: list[Fault], seconds: float) -> int:
    known = accepted(name)
    counted = [fault for fault in faults if not fault.change.left_out]
    missed = [fault for fault in counted if not fault.noticed]
    unnamed = [fault for fault in missed if fault.change.name not in known.get(fault.change.file, {})]
    for fault in unnamed:
        print(f"\n{fault.name} ({fault.outcome}), {fault.change.file}, {fault.change.function}")
        print(f"  - {fault.change.before}\n  + {fault.change.after}\n  {json.dumps(fault.change.name)},  # its name")
    equal = [fault for fault in missed if _entry(known, fault.change) and _entry(known, fault.change).same]
    for file, entries in known.items():
        there = {fault.change.name for fault in counted if fault.change.file == file}
        open_ = {fault.change.name for fault in missed if fault.change.file == file}
        for entry in sorted(entries.keys() - open_):
            print(f"survivors.toml, {file}: {'is noticed now' if entry in there else 'is no fault any more'}: {entry}")
    whole = len(counted) - len(equal)
    noticed = len(counted) - len(missed)
    slow = sum(fault.outcome == "timeout" for fault in counted)
    share = noticed / whole if whole else 1.0
    print(
        f"{name}: {len(counted)} mutants ({len(faults) - len(counted)} more left out), {noticed} noticed "
        f"({slow} by a test that took too long), "
        f"{len(missed) - len(unnamed)} accepted ({len(equal)} of them change nothing), {len(unnamed)} not named: "
        f"{share:.1%} of those that change something; {seconds:.0f} s",
        flush=True,
    )
    return int(share < WANTED)


def _entry(known: dict[str, dict[str, Accepted]], change: Change) -> Accepted | None:
    return known.get(change.file, {}).get(change.name)


if __name__ == "__main__":
    sys.exit(main())
