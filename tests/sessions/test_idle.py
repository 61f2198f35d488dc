"""A session at rest does not access the store, but still notices other processes."""

import time

from session_widgets._sessions import journal
from session_widgets._store import stamp
from tests.support.kernels import Kernel
from tests.support.waiting import until


def test_an_idle_session_does_not_query_the_store_again_and_again(forked, open_session, monkeypatch):
    monkeypatch.setattr(journal, "TAIL_SECONDS", 0.02)
    monkeypatch.setattr(stamp, "SETTLED_NS", 300_000_000)
    session = open_session()
    session.send("say hello")
    looks, events = [], type(session.store).events
    monkeypatch.setattr(type(session.store), "events", lambda *args, **more: looks.append(1) or events(*args, **more))
    seen = []
    session.subscribe(lambda batch: seen.extend(batch))
    until(lambda: any(event.kind == "turn_ended" for event in seen))
    time.sleep(0.6)  # the file has settled
    looks.clear()
    time.sleep(1)  # 50 ticks
    assert len(looks) < 10
    other = Kernel(forked, f"s = sw.open_session({session.id!r}); s.send('say from elsewhere'); print(1)")
    other.end()
    until(lambda: sum(event.kind == "turn_ended" for event in seen) == 2, what="the turn of the other process")
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
