"""Older turns lose their files first; the newest files always have room."""

from __future__ import annotations

import pytest

from session_widgets._sessions.sweeping import plan, size_of
from session_widgets.errors import FilesNotKept, WorkspaceError
from session_widgets.transcript.notes import FilesDropped
from session_widgets.workspaces.snapshot import KeptEntry, Snapshot, name_of
from tests.support.waiting import until

LIMIT = 1_000_000


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr("session_widgets._sessions.snapshots.MAX_BYTES", LIMIT)
    monkeypatch.setattr("session_widgets.workspaces.snapshot.MAX_BYTES", LIMIT)


def kept(session):
    """The turns that have their files."""
    found = []
    for turn in session.turns:
        try:
            len(turn.files_at_end)
        except FilesNotKept:
            continue
        found.append(turn.index)
    return found


def used(home):
    return sum(file.stat().st_size for file in (home / "contents" / "s1").iterdir() if file.name != "lock")


def settled(session, home):
    """Wait until nothing is to be swept."""
    until(lambda: used(home) <= LIMIT, what="the sweep")


def test_the_oldest_turns_lose_their_files(open_session, home, small):
    session = open_session()
    for number in range(8):
        session.send(f"run head -c 300000 /dev/urandom > f; echo {number} > g; echo same > same")
        len(session.turns[-1].files_at_end)
        settled(session, home)
    assert kept(session)[-2:] == [7, 8]
    assert kept(session) == list(range(kept(session)[0], 9))
    assert kept(session)[0] > 4
    dropped = [e.payload["snapshots"] for e in session.events() if e.kind == FilesDropped.kind]
    assert sum(map(len, dropped)) == kept(session)[0] - 1
    with pytest.raises(FilesNotKept, match="made room"):
        len(session.turns[0].files_at_end)
    assert session.turns[-1].files_at_end["same"].read_text() == "same\n"
    assert all(len(files["f"].read_bytes()) == 300_000 for files in session.snapshots)


def test_one_turn_with_more_than_the_limit_keeps_a_part(open_session, home, small):
    session = open_session()
    turn = session.send("run for n in 1 2 3 4 5; do head -c 300000 /dev/urandom > $n; done")
    files = turn.files_at_end
    assert len(files) == 3
    assert set(files.left_out.values()) == {"room"}
    settled(session, home)
    assert all(len(file.read_bytes()) == 300_000 for file in files.values())


def test_contents_of_an_interrupted_sweep_go_with_the_next_one(open_session, home, small, monkeypatch):
    session = open_session()
    contents = session._controller.snapshots.contents
    delete, failed = contents.delete, []

    def fail(names):
        failed.append(names)
        raise WorkspaceError("killed", reason="disk")

    monkeypatch.setattr(contents, "delete", fail)
    for _ in range(4):
        session.send("run head -c 300000 /dev/urandom > f")
    until(lambda: failed, what="a sweep")
    assert used(home) > LIMIT
    dropped = [e for e in session.events() if e.kind == FilesDropped.kind]
    assert dropped, "the note comes first"
    monkeypatch.setattr(contents, "delete", delete)
    turn = session.send("say on")
    assert len(turn.files_at_end["f"].read_bytes()) == 300_000
    settled(session, home)


class Memory:
    def __init__(self, *snapshots):
        self.held = {}
        for files in snapshots:
            entries = {name: KeptEntry(name, "file", size, 0o644, f"{n:032x}") for n, (name, size) in enumerate(files)}
            data = Snapshot(entries).encode()
            self.held[name_of(data)] = data

    def names(self):
        lists = [Snapshot.decode(data) for data in self.held.values()]
        return {*self.held, *(name for one in lists for name in one.names), "f" * 32 + "-7"}

    def read(self, name):
        if name not in self.held:
            raise FilesNotKept(name)
        return self.held[name]


def test_a_plan_keeps_the_latest_and_what_it_shares():
    memory = Memory([("a", 500), ("b", 300)], [("a", 500), ("b", 400)], [("a", 500), ("b", 100)])
    first, second, third = memory.held
    assert plan(memory, [first, second, third], 10_000) is None
    sweep = plan(memory, [first, second, third], 1_400)
    assert sweep.snapshots == (first, second)
    assert f"{0:032x}-500" not in sweep.contents
    assert {f"{1:032x}-300", f"{1:032x}-400", first, second, "f" * 32 + "-7"} == sweep.contents
    again = plan(memory, [first, second, first, third], 1_500)
    assert again.snapshots == (second,), "the order is that of the latest use"
    assert size_of({"x-3", "y-4"}) == 7
    gone = plan(memory, ["0" * 32 + "-1", third], 100)
    assert gone.snapshots == ("0" * 32 + "-1",)
