"""Dense numbers on disk, replayed from anywhere, whatever happens."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import stat
import threading
import time

import pytest

from session_widgets.runner.journal import Ahead, Journal, JournalError, Trimmed
from tests.support.runner import TOKEN, RunnerProcess
from tests.support.waiting import until

CHUNKS = 50_000


def test_a_flood_is_dense_complete_and_fast(runner):
    runner.open("flood")
    started = time.monotonic()
    assert runner.prompt("flood", f"flood {CHUNKS}", wait=False).status_code == 202
    with runner.stream("/v1/acp/flood", last_event_id="1") as stream:
        events = [next(stream) for _ in range(CHUNKS + 1)]
    rate = CHUNKS / (time.monotonic() - started)
    assert [int(id_) for _, id_, _ in events] == list(range(2, CHUNKS + 3))
    numbers = [json.loads(data)["params"]["update"]["content"]["n"] for _, _, data in events[:-1]]
    assert numbers == list(range(CHUNKS))
    assert rate > 10_000, f"{rate:.0f} events/s"


def test_many_short_turns_each_synced(runner):
    runner.open("short")
    for number in range(200):
        assert runner.prompt("short", "say x", number).json()["id"] == number
    assert [id_ for id_, _ in runner.events("short", last=401)] == list(range(1, 402))


async def test_syncs_at_once(tmp_path):
    journal = Journal(tmp_path / "j", max_bytes=1 << 20, segment_bytes=100)
    async with asyncio.timeout(10):
        for _ in range(20):
            journal.append([b"x" * 30])
            await asyncio.gather(*(journal.sync() for _ in range(5)))
        await asyncio.gather(journal.close(), journal.sync())


def test_any_last_event_id_is_replayed(runner):
    runner.open("replay")
    runner.prompt("replay", "flood 3000")
    for after in (0, 1, 1499, 2999, 3001):
        assert [id_ for id_, _ in runner.events("replay", after, last=3002)] == list(range(after + 1, 3003))
    assert runner.events("replay", last=3002) == runner.events("replay", 0, last=3002)


def test_a_slow_reader_gets_everything_and_holds_no_memory(runner):
    runner.open("slow")
    before = _rss(runner)
    with socket.create_connection(("127.0.0.1", runner.port)) as sock:
        sock.sendall(f"GET /v1/acp/slow HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        assert runner.prompt("slow", f"flood {CHUNKS}").status_code == 200
        assert _rss(runner) - before < 20e6
        assert runner.http.get("/v1/health").status_code == 200
        sock.settimeout(10)
        ids = re.compile(rb"\nid: (\d+)\n")
        received = b""
        while not received.endswith(b'"stopReason":"end_turn"}}\n\n\r\n'):
            received += sock.recv(1 << 20)
    found = [int(id_) for id_ in ids.findall(re.sub(rb"\r\n[0-9a-f]+\r\n", b"", received))]
    assert found == list(range(1, CHUNKS + 3))


def _rss(runner: RunnerProcess) -> int:
    import psutil

    return psutil.Process(runner.process.pid).memory_info().rss


def test_two_readers_see_the_same(runner):
    runner.open("two")
    seen: list[list] = [[], []]
    threads = [threading.Thread(target=lambda into=into: into.extend(runner.events("two", last=2002))) for into in seen]
    for thread in threads:
        thread.start()
    runner.prompt("two", "flood 2000")
    for thread in threads:
        thread.join(20)
    assert len(seen[0]) == 2002
    assert seen[0] == seen[1]


def test_a_reader_resumes_at_its_position(runner):
    runner.open("left")
    runner.prompt("left", "flood 1000", wait=False)
    first = runner.events("left", last=100)
    rest = runner.events("left", 100, last=1002)
    assert [id_ for id_, _ in first + rest] == list(range(1, 1003))


def test_acknowledged_segments_are_dropped_and_asking_for_them_says_so(start):
    runner = start()
    runner.open("ack")
    runner.prompt("ack", "flood 120000")
    runner.prompt("ack", "say last", "q")
    segments = sorted((runner.state / "acp" / "ack").glob("*.jsonl"))
    assert len(segments) > 1
    assert runner.http.post("/v1/acp/ack/ack", json={"id": 120_004}).status_code == 204
    kept = sorted((runner.state / "acp" / "ack").glob("*.jsonl"))
    assert kept == segments[-1:]
    first = int(kept[0].stem)
    answer = runner.http.get("/v1/acp/ack", headers={"accept": "text/event-stream", "last-event-id": "5"})
    assert answer.status_code == 410
    assert answer.json()["type"].endswith(":gone")
    assert (answer.json()["firstId"], answer.json()["lastId"]) == (first, 120_004)
    assert [id_ for id_, _ in runner.events("ack", 120_002, last=120_004)] == [120_003, 120_004]
    assert runner.http.post("/v1/acp/ack/ack", json={"id": 120_005}).status_code == 409
    assert runner.http.post("/v1/acp/ack/ack", json={"id": "1"}).status_code == 400
    assert runner.http.post("/v1/acp/none/ack", json={"id": 1}).status_code == 404


def test_the_journal_outlives_a_killed_runner(start):
    runner = start()
    runner.open("kept")
    runner.prompt("kept", "flood 500")
    runner.stop(signal.SIGKILL)
    segment = next((runner.state / "acp" / "kept").glob("*.jsonl"))
    segment.write_bytes(segment.read_bytes() + b'{"cut off')
    again = start()
    events = again.events("kept", 400, method="_adapter/agent_exited")
    assert [id_ for id_, _ in events] == list(range(401, 504))
    assert events[-1][1]["params"] == {
        "success": False,
        "code": None,
        "signal": None,
        "stderr": "the runner ended before the agent did",
    }
    assert again.prompt("kept", "say hi", wait=False).status_code == 410
    assert again.prompt("kept", "say hi").json()["error"]["message"] == "agent exited before this request"
    assert again.http.delete("/v1/acp/kept").status_code == 204


def test_an_agent_that_speaks_of_its_exit_has_not_exited(start):
    runner = start()
    runner.open("kept")
    line = json.dumps({"jsonrpc": "2.0", "method": "session/update", "params": {"text": "_adapter/agent_exited"}})
    runner.prompt("kept", f"last {line}")
    runner.stop(signal.SIGKILL)
    events = start().events("kept", method="_adapter/agent_exited")
    assert events[-1][1]["params"]["stderr"] == "the runner ended before the agent did"


def test_only_the_owner_can_read_a_journal(start, tmp_path):
    state = tmp_path / "runner" / "state"
    state.mkdir(mode=0o755, parents=True)
    runner = start()
    runner.open("private")
    runner.http.put("/v1/fs/snapshots/one")
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    below = list((state / "acp").rglob("*"))
    assert {path.name for path in below} > {"private", "meta.json"}
    assert [path for path in below if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_a_stopped_runner_leaves_the_agents_end_in_the_journal_once(start):
    runner = start()
    runner.open("kept")
    runner.prompt("kept", "hang", "open", wait=False)
    runner.stop()
    again = start()
    (_, error), (_, exit_) = again.events("kept", 1, method="_adapter/agent_exited")
    assert error["id"] == "open"
    assert exit_["params"]["signal"] == signal.SIGTERM
    assert (again.stop(), start().events("kept", 2, last=3))[1] == [(3, exit_)]


def test_a_full_journal_ends_the_agent_and_says_why(start):
    runner = start(limits={"maxJournalBytes": 100_000})
    runner.open("full")
    answer = runner.prompt("full", "flood 5000")
    assert answer.status_code == 507
    assert "maxJournalBytes" in answer.json()["detail"]
    assert runner.http.get("/v1/acp/full", headers={"accept": "text/event-stream"}).status_code == 507
    assert runner.prompt("full", "say hi", "q").status_code == 507
    assert runner.http.delete("/v1/acp/full").status_code == 204
    runner.open("next")


TELL_SYNCS = """
import os
fsync = os.fsync
def tell(fd):
    with open(os.environ["TELL_SYNCS"], "a") as log:
        print(os.readlink(f"/proc/self/fd/{fd}"), os.fstat(fd).st_size, file=log)
    fsync(fd)
os.fsync = tell
"""


def test_a_turn_is_on_disk_when_it_ends_and_not_before(start, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(TELL_SYNCS)
    log = tmp_path / "syncs"
    log.touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TELL_SYNCS", str(log))
    runner = start()
    runner.open("disk")
    runner.post("disk", "other", id_=2)
    assert not log.read_text()
    runner.prompt("disk", "say durable")
    (segment,) = (runner.state / "acp" / "disk").glob("*.jsonl")
    until(lambda: f"{segment} {segment.stat().st_size}" in log.read_text().splitlines(), what="the sync of the turn")


async def test_rotation_trim_and_reading_across_segments(tmp_path):
    journal = Journal(tmp_path / "j", max_bytes=1 << 20, segment_bytes=100)
    for number in range(100):
        assert journal.append([b"line %d" % number, b"second"]) == 2 * number + 1
    assert len(journal.segments) > 5
    await journal.sync()
    reader = journal.reader(7)
    found = []
    while (batch := reader.read())[1]:
        found += enumerate(batch[1], batch[0])
    expected = [(id_, b"second" if id_ % 2 == 0 else b"line %d" % (id_ // 2)) for id_ in range(8, 201)]
    assert found == expected
    assert journal.line(200) == b"second"
    slow = journal.reader(0)
    journal.trim(150)
    assert 100 < journal.first_id <= 151
    with pytest.raises(Trimmed):
        journal.reader(3)
    slow.read()
    with pytest.raises(Trimmed):
        slow.read()
    with pytest.raises(Ahead):
        journal.reader(201)
    assert journal.line(3) is None
    for one in (reader, slow):
        one.close()
    await journal.close()
    again = Journal(tmp_path / "j", max_bytes=1 << 20, segment_bytes=100)
    assert (again.last_id, again.append([b"x"])) == (200, 201)
    await again.remove()
    assert not (tmp_path / "j").exists()


async def test_a_waiting_reader_wakes_for_news_and_for_the_end(tmp_path):
    journal = Journal(tmp_path / "j", max_bytes=1 << 20)
    reader = journal.reader(0)
    assert reader.read() == (1, [])
    assert not await reader.wait(0.01)
    journal.append([b"a"])
    assert await reader.wait(5)
    assert reader.read() == (1, [b"a"])
    assert reader.read() == (2, [])
    await journal.close()
    assert await reader.wait(5)
    assert journal.ended
    reader.close()


async def test_what_does_not_fit_is_not_kept_in_part(tmp_path):
    journal = Journal(tmp_path / "j", max_bytes=20)
    journal.append([b"0123456789"])
    with pytest.raises(JournalError):
        journal.append([b"0123456789"])
    assert journal.append([b"01234"]) == 2
    await journal.remove()
