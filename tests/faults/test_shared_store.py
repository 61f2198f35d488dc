"""Two kernels on one session, two writers on one store, and a store that is full or held by another program."""

import subprocess

import pytest

import session_widgets as sw
from session_widgets.errors import SessionBusy, StoreError
from tests.support.kernels import Kernel, exactly_once
from tests.support.paths import ROOT
from tests.support.waiting import until


def test_two_kernels_one_session(forked, open_session):
    """The other kernel's turn is seen live, refused a rival, and stored once."""
    session = open_session()
    session.send("say mine")
    seen = []
    session.subscribe(seen.extend)
    kernel = Kernel(
        forked,
        """
s = sw.open_session("s1", permissions="allow_all")
t = s.start("say theirs\\nwait 2\\nsay done")
while "theirs" not in t.text: time.sleep(0.01)
print(json.dumps("now"))
t.wait(30)
print(json.dumps([t.status, t.text]))
""",
    )
    assert kernel.read() == "now"
    with pytest.raises(SessionBusy, match=f"{kernel.process.pid}"):
        session.send("say rival")
    code, answers = kernel.end()
    assert (code, answers) == (0, [["completed", "theirs\n\ndone"]])
    until(lambda: any(event.kind == "turn_ended" and event.turn == 2 for event in seen))
    exactly_once(seen)
    assert session.turns[-1].text == "theirs\n\ndone"
    assert session.send("remember").text.startswith("2 earlier turns")
    exactly_once(session.events())


def test_the_first_answer_wins(forked, open_session):
    """Two kernels watch one permission; the second answer changes nothing and says so."""
    session = open_session(permissions="ask")
    turn = session.start("write a.txt <<EOT\nx\nEOT")
    until(lambda: session.pending)
    kernel = Kernel(
        forked,
        """
s = sw.open_session("s1", permissions="ask")
while not s.pending: time.sleep(0.01)
request = s.pending[0]
print(json.dumps("now"))
while s.pending: time.sleep(0.01)
print(json.dumps(request.reject()))
""",
    )
    assert kernel.read() == "now"
    assert session.pending[0].allow() is True
    assert turn.wait(30).status == "completed"
    assert kernel.end() == (0, [False])
    decisions = [event for event in session.events() if event.kind == "permission_decision"]
    assert [event.payload["option_kind"] for event in decisions] == ["allow_once"]
    assert (session.workspace / "a.txt").exists()


def test_two_kernels_stream_into_one_store(forked, open_session):
    """20,000 chunks each, a third process asking all the while: dense, complete, nobody blocked for more than 2 s.

    Other programs of this machine do not count.
    """
    code = """
s = sw.open_session({id!r}, permissions="allow_all")
t = s.send("stream 20000")
events = s.events()  # read once: the note on the kept files comes soon
print(json.dumps([t.status, [e.seq for e in events] == list(range(1, len(events) + 1))]))
s.park()
"""
    writers = [Kernel(forked, code.format(id=name)) for name in ("k1", "k2")]
    reader = Kernel(
        forked,
        f"""
import os
sys.path.append({str(ROOT)!r})
from tests.support.cores import waited_for_a_core
pids = os.getpid(), {writers[0].process.pid}, {writers[1].process.pid}
worst = 0
while True:
    began, waited = time.monotonic(), waited_for_a_core(*pids)
    done = sw.store().sql("select count(*) from v_events where kind = 'turn_ended'").fetchall()[0][0]
    worst = max(worst, time.monotonic() - began - max(0, waited_for_a_core(*pids) - waited))
    if done == 2: break
    time.sleep(0.01)
print(json.dumps(worst))
""",
    )
    for writer in writers:
        assert writer.end() == (0, [["completed", True]])
    code, (worst,) = reader.end()
    assert code == 0
    assert worst < 2
    rows = sw.store().sql(
        "select session_id, count(*) from v_events where kind = 'agent_message_chunk' group by all order by all"
    )
    assert rows.fetchall() == [("k1", 20000), ("k2", 20000)]
    open_session("k1")
    open_session("k2")


def test_fifty_thousand_chunks(open_session):
    session = open_session()
    turn = session.send("stream 50000")
    assert turn.status == "completed"
    events = session.events()
    exactly_once(events)
    texts = [
        event.payload["params"]["update"]["content"]["text"] for event in events if event.kind == "agent_message_chunk"
    ]
    assert texts == [f"chunk {number} " for number in range(50000)]
    assert turn.text == "".join(texts)


@pytest.mark.needs("tmpfs")
def test_full_disk_stops_the_turn_and_shows_nothing_that_is_not_stored(open_session, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)], check=True)
    try:
        workspace = tmp_path / "elsewhere"
        workspace.mkdir()
        session = open_session("full", store=disk / "t.duckdb", workspace=workspace)
        shown = []
        session.subscribe(shown.extend)
        session.send("say small")
        ballast = disk / "ballast"
        turn = session.start("say begin\nwait 1\nstream 30000")
        until(lambda: "begin" in turn.text)
        with ballast.open("wb") as file:
            try:
                while file.write(b"x" * 65536):
                    file.flush()
            except OSError:
                pass
        turn.wait(40)
        assert turn.status == "failed"
        assert "disk is full" in turn.error
        ballast.unlink()
        stored = {event.seq: event for event in session.events()}
        assert all(stored[event.seq] == event for event in shown)
        exactly_once(session.events())
        after = session.send("say room again")
        assert (after.status, after.text) == ("completed", "room again")
        session.delete()
        session.store.close()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_the_holder_of_the_store_is_named(forked, open_session, monkeypatch):
    session = open_session()
    session.send("say x")
    kernel = Kernel(
        forked,
        f"""
import duckdb
held = None
while held is None:
    try: held = duckdb.connect({str(session.store.path)!r})
    except duckdb.IOException: time.sleep(0.01)  # this kernel keeps the file for a moment after a commit
print(json.dumps("now"))
time.sleep(60)
""",
    )
    assert kernel.read() == "now"
    with pytest.raises(StoreError, match=str(kernel.process.pid)):
        session.send("say y")
    kernel.kill()
    assert session.send("say y").text == "y"
