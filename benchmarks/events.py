"""From the harness's standard output to committed rows, and our runner's stream beside sandbox-agent's.

Speeds are compared between complete runs alone: a server that drops events is quicker for each that it drops. Flat out
sandbox-agent drops most of 50,000, so both servers also carry them in prompts that fit into its buffer.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import session_widgets as sw
from benchmarks import places
from benchmarks.bare_agent import BareAgent, bare_agent
from benchmarks.figures import Figure, Reference
from session_widgets._sessions import Session
from tests.support import needs
from tests.support.acp_conversation import conversation
from tests.support.acp_servers import start

CHUNKS = 50_000
AT_ONCE = 500
"""Chunks of a prompt that sandbox-agent's buffer of 512 holds."""
PATIENCE = 120
STORED = """
    select count(*) filter (kind = 'agent_message_chunk'), count(*) = max(seq) - min(seq) + 1
    from v_events where session_id = ? and seq > ?"""


class Streamed(NamedTuple):
    """What one run came to: events per second, and how many of them never came."""

    rate: float
    lost: int


def measure(runs: int) -> list[Figure]:
    """Measure at 50,000 chunks: in one prompt, and in prompts of 500."""
    with places.session() as session:
        committed = [_committed(session) for _ in range(runs)]
    with tempfile.TemporaryDirectory() as place, bare_agent(Path(place)) as agent:
        floor = Reference("the agent's bare pipe", [_piped(agent) for _ in range(runs)])
    peer, lost, peer_lost = None, "", ""
    if why := needs.missing("sandbox-agent"):
        lost = f"no peer, {why}"
    else:
        theirs = _streams("sandbox-agent", runs, AT_ONCE)
        whole = [one.rate for one in theirs if not one.lost]
        peer = Reference("sandbox-agent, complete runs", whole) if whole else None
        peer_lost = f"sandbox-agent {_losses(theirs)}"
        lost = f"sandbox-agent {_losses(_streams('sandbox-agent', runs, CHUNKS))}"
    return [
        Figure(
            "events, from stdout to rows, one prompt",
            "/s",
            committed,
            aim=10_000,
            more=True,
            beside=floor,
            remark=f"{CHUNKS:,} chunks, all stored, dense",
        ),
        _figure("our stream without a store, one prompt", _streams("runner", runs, CHUNKS), floor, lost),
        _figure(f"our stream without a store, {AT_ONCE} a prompt", _streams("runner", runs, AT_ONCE), peer, peer_lost),
    ]


def _figure(what: str, streams: list[Streamed], beside: Reference | None, remark: str) -> Figure:
    """A figure of complete runs alone.

    Raises:
        RuntimeError: one of ours was not complete.
    """
    if any(one.lost for one in streams):
        raise RuntimeError(f"our runner {_losses(streams)}")
    remark = "; ".join(filter(None, (f"ours {_losses(streams)}", remark)))
    return Figure(f"events, {what}", "/s", [one.rate for one in streams], more=True, beside=beside, remark=remark)


def _losses(streams: list[Streamed]) -> str:
    return f"lost {' / '.join(f'{one.lost:,}' for one in streams)} of {CHUNKS:,}"


def _committed(session: Session) -> float:
    """Return events per second until the turn's end is stored."""
    before = session.events()[-1].seq
    began = time.perf_counter()
    session.send(f"stream {CHUNKS}", timeout=PATIENCE)
    took = time.perf_counter() - began
    chunks, dense = sw.store().sql(STORED, [session.id, before]).fetchall()[0]
    if (chunks, dense) != (CHUNKS, True):
        raise RuntimeError(f"{chunks:,} of {CHUNKS:,} chunks were stored, {'dense' if dense else 'with gaps'}")
    return CHUNKS / took


def _streams(kind: str, runs: int, at_once: int) -> list[Streamed]:
    return [_streamed(kind, at_once) for _ in range(runs)]


def _streamed(kind: str, at_once: int) -> Streamed:
    """Read all chunks from a server, `at_once` of them a prompt."""

    async def stream() -> Streamed:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place, start(kind, Path(place)) as server:
            async with conversation(server, server.demo) as talk:
                began = time.perf_counter()
                for _ in range(CHUNKS // at_once):
                    await asyncio.wait_for(await talk.begin(f"stream {at_once}"), PATIENCE)
                took = time.perf_counter() - began
                came = len(talk.updates("agent_message_chunk"))
                return Streamed(came / took, CHUNKS - came)

    return asyncio.run(stream())


def _piped(agent: BareAgent) -> float:
    began = time.perf_counter()
    lines = agent.prompt(f"stream {CHUNKS}")
    return len(lines) / (time.perf_counter() - began)
