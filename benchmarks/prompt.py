"""The round trip of `say x` over a warm session, all commits included, beside the agent's own over its pipes."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import places
from benchmarks.bare_agent import bare_agent
from benchmarks.figures import Figure, Reference, percentile

PROMPTS = 40
WARM_UP = 5


def measure(runs: int) -> list[Figure]:
    """Measure 40 prompts a run."""
    with places.session() as session:
        ours = [_round_trips(session.send) for _ in range(runs)]
    with tempfile.TemporaryDirectory() as place, bare_agent(Path(place)) as agent:
        bare = [_round_trips(agent.prompt) for _ in range(runs)]
    return [
        Figure(
            f"round trip of a prompt, p{percent}",
            "ms",
            [percentile(times, percent) for times in ours],
            aim=aim,
            beside=Reference("the agent's bare pipe", [percentile(times, percent) for times in bare]),
        )
        for percent, aim in ((50, 20), (95, None))
    ]


def _round_trips(prompt: Callable[[str], object]) -> list[float]:
    """Return milliseconds."""
    times = []
    for _ in range(WARM_UP + PROMPTS):
        began = time.perf_counter()
        prompt("say x")
        times.append((time.perf_counter() - began) * 1000)
    return times[WARM_UP:]
