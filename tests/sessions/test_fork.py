"""A session goes on from an earlier turn of another one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import session_widgets as sw
from session_widgets.errors import BadValue, FilesNotKept, SessionConflict
from tests.support.drafts import derived

WRITE = "write {0} <<EOT\n{1}\nEOT"


@pytest.fixture
def fork(open_session):
    """Make a fork that is deleted with the others."""

    def make(session, turn, id="fork"):
        assert session.fork(turn, id=id).id == id
        return open_session(id)

    return make


def files(session):
    return {path: file.read_text() for path, file in session.turns[-1].files_at_end.items()}


def test_a_fork_has_files_events_and_memory_of_its_turn(open_session, fork):
    session = open_session(title="Mine")
    session.send(f"{WRITE.format('a', 'one')}\nrun chmod 750 a; ln -s a link; mkdir empty")
    second = session.send(WRITE.format("a", "two"))
    session.send(WRITE.format("a", "three"))
    session.set_mode("plan")
    made = fork(session, second)
    assert (made.status, made.title, made.mode, made.record.sandbox_ref) == ("parked", "Mine", None, None)
    assert made.workspace != session.workspace
    assert (made.workspace / "a").read_text() == "two\n"
    assert (made.workspace / "a").stat().st_mode & 0o777 == 0o750
    assert (made.workspace / "link").readlink() == Path("a")
    assert (made.workspace / "empty").is_dir()
    assert [turn.text for turn in made.turns] == [turn.text for turn in session.turns[:2]]
    kept = [event for event in made.events() if event.turn is not None]
    assert [event.payload for event in kept] == [e.payload for e in session.events() if e.turn in {1, 2}]
    turn = made.send(f"remember\n{WRITE.format('b', 'b')}")
    assert (turn.index, turn.tier) == (3, "load"), turn.error
    assert turn.text.startswith("2 earlier turns")
    assert made.diff(turn).created == ("b",)
    assert session.send("remember").text.startswith("3 earlier turns")
    assert not (session.workspace / "b").exists()
    assert made.turns[0].files_at_end["a"].read_text() == "one\n"
    assert made.restore(made.turns[0]).modified == ("a",)


def test_without_the_agents_own_files_its_memory_is_replayed(open_session, fork):
    session = open_session()
    session.send("say the first words")
    made = fork(session, session.send("say the second words"))
    shutil.rmtree(made.workspace / ".harness")
    turn = made.send("remember")
    assert (turn.tier, turn.text.split(";")[0]) == ("replay", "2 earlier turns")
    assert [told["prompt"] for told in turn.handed_over["turns"]] == ["say the first words", "say the second words"]


def test_lineage_and_usage_in_sql(open_session, fork):
    session = open_session()
    turn = session.send("say hello")
    made = fork(session, turn)
    later = fork(made, made.send("say on"), "later")
    assert len(later.send("say more").files_at_end) == 0
    store = session.store
    query = "select session_id, forked_from, forked_at_turn, turns from v_sessions order by created_at"
    expected = [("s1", None, None, 1), ("fork", "s1", 1, 2), ("later", "fork", 2, 3)]
    assert store.sql(query).fetchall() == expected
    query = "select session_id, turn from v_usage order by all"
    assert store.sql(query).fetchall() == [("fork", 2), ("later", 3), ("s1", 1)]
    before = derived(store)
    store.rebuild()
    for table, rows in derived(store).items():
        assert rows == before[table], table


def test_settings_rules_skills_and_environment_come_along(open_session, fork, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "SKILL.md").write_text("---\nname: one\ndescription: None.\n---\n")
    limits = sw.TurnLimits(total=77)
    session = open_session(
        skills=[tmp_path / "one"], sandbox=sw.Sandbox("local", env={"ONE": "1"}), model="demo-large", limits=limits
    )
    made = fork(session, session.send("say hello"))
    assert (made.skills, made.model, made.limits) == (("one",), "demo-large", limits)
    assert made.exec("echo $ONE").out == "1\n"
    assert made.send("say on").status == "completed"


def test_a_directory_of_the_users_is_copied(open_session, fork, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "a").write_text("a")
    session = open_session(workspace=mine)
    made = fork(session, session.send("say hello"))
    assert made.location != str(mine)
    assert (made.workspace / "a").read_text() == "a"
    made.delete()
    assert (mine / "a").exists()
    assert not made.workspace.exists()


def test_what_cannot_be_forked(open_session, fork, home):
    session = open_session()
    first, second = session.send("say one"), session.send("say two")
    made = fork(session, first)
    made.send("say on")
    assert session.fork(first, id="fork") is made
    with pytest.raises(SessionConflict):
        session.fork(second, id="fork")
    with pytest.raises(SessionConflict):
        session.fork(second, id="s1")
    with pytest.raises(BadValue):
        session.fork(made.turns[0], id="other")
    with pytest.raises(BadValue):
        session.fork(1, id="other")
    with pytest.raises(BadValue):
        session.fork(first, id="../x")
    (home / "workspaces" / "taken").mkdir()
    with pytest.raises(SessionConflict, match="without a session"):
        session.fork(first, id="taken")
    (home / "workspaces" / "taken").rmdir()
    assert not [*(home / "forks").glob("*.json")]


def test_a_fork_that_fails_leaves_nothing(open_session, home):
    session = open_session()
    turn = session.send(WRITE.format("a", "a"))
    (home / "contents" / "s1" / turn.files_at_end["a"].name).unlink()
    with pytest.raises(FilesNotKept):
        session.fork(turn, id="fork")
    assert [*(home / "workspaces").iterdir()] == [home / "workspaces" / "s1"]
    assert [*(home / "contents").iterdir()] == [home / "contents" / "s1"]
    assert [record.id for record in session.store.sessions()] == ["s1"]


async def test_awaiting(open_session):
    session = open_session()
    made = await session.aio.fork(await session.aio.send("say one"), id="fork")
    open_session("fork")
    assert (await made.aio.send("remember")).text.startswith("1 earlier turn")
