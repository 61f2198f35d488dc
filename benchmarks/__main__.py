"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial

from rich.console import Console

from benchmarks import (
    analysis,
    clouds,
    events,
    harnesses,
    importing,
    long,
    paint,
    peers,
    prompt,
    reading,
    replay,
    sandboxes,
    start,
    store,
    using,
    workspaces,
)
from benchmarks.figures import Figure, table

SECTIONS: dict[str, Callable[[int], list[Figure]]] = {
    "events": events.measure,
    "prompt": prompt.measure,
    "paint": paint.measure,
    "start": start.measure,
    "store": store.measure,
    "workspaces": workspaces.measure,
    "sandboxes": sandboxes.measure,
    "clouds": clouds.measure,
    "harnesses": harnesses.measure,
    "analysis": analysis.measure,
    "replay": replay.measure,
    "long": long.measure,
    "reading": reading.measure,
    "import": importing.measure,
    "peers": peers.measure,
    "using": using.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)}; all by default")
    parser.add_argument("--runs", type=int, default=3, help="how often each figure is measured (default: 3)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--full", action="store_true", help="clouds: 20,000 files and 1 GB, not 1,000 and 64 MB")
    given = parser.parse_args()
    if unknown := set(given.sections) - set(SECTIONS):
        parser.error(f"there is no section {', '.join(sorted(unknown))}; choose from {', '.join(SECTIONS)}")
    if given.runs < 1:
        parser.error("--runs must be at least 1")
    console, results = Console(), {}
    for name in given.sections or SECTIONS:
        with Console(stderr=True).status(f"measuring {name}"):
            measure = partial(clouds.measure, full=True) if name == "clouds" and given.full else SECTIONS[name]
            figures = measure(given.runs)
        results[name] = [figure.as_json() for figure in figures]
        if not given.json:
            console.print(table(name, figures))
    if given.json:
        print(json.dumps(results, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
