"""A kernel in a soak: it checks the state, works, and is killed or sees another process killed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import session_widgets as sw
from session_widgets.transcript.records import Event
from tests.support.kernels import exactly_once

CHUNKS = 40
BARE = re.compile(r"[A-Z]\w*(Error|Exception): ")
CHECK = "run echo {0} >> done.txt\nremember"
WORK = f"""say begun
run echo {{0}} >> done.txt
stream {CHUNKS}
wait 0.4
run echo {{0}} over >> done.txt
stream {CHUNKS}"""


def live(home: str, how: dict[str, Any], number: int, early: bool, work: bool) -> None:
    """Open the session, find it whole, and send a prompt that is to be cut off by a kill.

    Args:
        home: the data directory.
        how: `sandbox`, `workspace` and `attachment`.
        number: of this life.
        early: whether to say "begun" before the session is opened, not before the prompt is sent.
        work: whether to send that prompt.
    """
    os.environ["SESSION_WIDGETS_HOME"] = home
    acknowledged = Path(home).with_suffix(".acknowledged")
    if early:
        say(begun=os.getpid())
    session = sw.open_session("s1", permissions="allow_all", **how)
    write_down(session, acknowledged)
    for turn in session.turns:
        turn.wait(150)
    turn = session.send(CHECK.format(f"check {number}"))
    assert turn.status == "completed", f"the session cannot be used: {turn.error}"
    check(session, acknowledged)
    if work:
        if not early:
            say(begun=os.getpid())
        turn = session.send(WORK.format(f"work {number}"), timeout=None)
        say(status=turn.status, error=turn.error or turn.durability_error)


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def write_down(session: sw.Session, file: Path) -> None:
    """Keep, outside of the store, each event that this process was shown."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def shown(events: Sequence[Event]) -> None:
        os.write(handle, "".join(f"{json.dumps(name(event))}\n" for event in events).encode())

    session.subscribe(shown, after=session.events()[-1].seq if session.turns else 0)


def name(event: Event) -> list[Any]:
    return [event.seq, event.kind, event.ts.isoformat(), crc32(json.dumps(event.payload, sort_keys=True).encode())]


def check(session: sw.Session, acknowledged: Path) -> None:
    """No event lost that was shown, none twice, no turn without an end, nothing done twice or by halves."""
    lines = acknowledged.read_text().splitlines()  # first: a note about kept files may come at any moment
    events = session.events()
    exactly_once(events)
    named = [name(event) for event in events]
    for line in lines:
        shown = json.loads(line)
        assert named[shown[0] - 1] == shown, f"{shown} was shown, {named[shown[0] - 1]} is stored"
    ends = [event.turn for event in events if event.kind == "turn_ended"]
    assert ends == [turn.index for turn in session.turns], "a turn has no end, or two"
    done = session.files.read_text("done.txt").splitlines()
    assert len(set(done)) == len(done), f"done twice: {sorted({line for line in done if done.count(line) > 1})}"
    for turn in session.turns:
        what = str(turn.prompt[0]["text"]).split(" >> ")[0].rpartition("echo ")[2]
        told = [int(chunk.split()[0]) for chunk in turn.text.split("chunk ")[1:]]
        whole = [*range(CHUNKS), *range(CHUNKS)] if what.startswith("work") else []
        if turn.status == "completed":
            assert told == whole, f"turn {turn.index} told {told}"
            assert what in done or not turn.durable_at, f"turn {turn.index} is completed, and {what!r} was not done"
        else:
            assert told == whole[: len(told)], f"turn {turn.index} told {told}"
            assert not BARE.match(turn.error or ""), (
                f"turn {turn.index} does not say in words what happened: {turn.error}"
            )
