"""From the harness's standard output to committed rows, flat out, beside sandbox-agent's own stream without a store."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import needs
import session_widgets as sw
from acp.conversation import conversation
from acp.servers import start
from benchmarks import places
from benchmarks.bare_agent import BareAgent, bare_agent
from benchmarks.figures import Figure, Reference
from session_widgets.sessions import Session

CHUNKS = 50_000
PROMPT = f"stream {CHUNKS}"
PATIENCE = 120
STORED = """
    select count(*) filter (kind = 'agent_message_chunk'), count(*) = max(seq) - min(seq) + 1
    from v_events where session_id = ? and seq > ?"""


def measure(runs: int) -> list[Figure]:
    """Measure at 50,000 chunks."""
    with places.session() as session:
        committed = [_committed(session) for _ in range(runs)]
    stream = [_streamed("runner") for _ in range(runs)]
    peer, remark = None, f"{CHUNKS:,} chunks, all stored, dense"
    if why := needs.missing("sandbox-agent"):
        remark += f"; no peer, {why}"
    else:
        theirs = [_streamed("sandbox-agent") for _ in range(runs)]
        peer = Reference("sandbox-agent without a store", [rate for rate, _ in theirs])
        remark += f"; sandbox-agent lost {' / '.join(f'{lost:,}' for _, lost in theirs)}"
    with tempfile.TemporaryDirectory() as place, bare_agent(Path(place)) as agent:
        floor = Reference("the agent's bare pipe", [_piped(agent) for _ in range(runs)])
    return [
        Figure("events, from stdout to rows", "/s", committed, aim=10_000, more=True, beside=peer, remark=remark),
        Figure(
            "events, our runner without a store",
            "/s",
            [rate for rate, _ in stream],
            more=True,
            beside=floor,
            remark=f"lost {max(lost for _, lost in stream):,}",
        ),
    ]


def _committed(session: Session) -> float:
    """Return events per second until the turn's end is stored."""
    before = session.events()[-1].seq
    began = time.perf_counter()
    session.send(PROMPT, timeout=PATIENCE)
    took = time.perf_counter() - began
    chunks, dense = sw.store().sql(STORED, [session.id, before]).fetchall()[0]
    if (chunks, dense) != (CHUNKS, True):
        raise RuntimeError(f"{chunks:,} of {CHUNKS:,} chunks were stored, {'dense' if dense else 'with gaps'}")
    return CHUNKS / took


def _streamed(kind: str) -> tuple[float, int]:
    """Return events per second read from a server, and how many never came."""

    async def stream() -> tuple[float, int]:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place, start(kind, Path(place)) as server:
            async with conversation(server, server.demo) as talk:
                began = time.perf_counter()
                await asyncio.wait_for(await talk.begin(PROMPT), PATIENCE)
                took = time.perf_counter() - began
                came = len(talk.updates("agent_message_chunk"))
                return came / took, CHUNKS - came

    return asyncio.run(stream())


def _piped(agent: BareAgent) -> float:
    began = time.perf_counter()
    lines = agent.prompt(PROMPT)
    return len(lines) / (time.perf_counter() - began)
