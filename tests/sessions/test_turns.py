"""One prompt, end to end, on real parts."""

import asyncio
import threading

import pytest

import session_widgets as sw
from session_widgets.errors import BadValue, SessionBusy, SessionConflict, SessionError, SessionGone, StoreError


def test_a_turn_streams_works_and_is_stored(open_session):
    session = open_session()
    turn = session.send("say hello there\nwrite hello.py <<EOT\nprint('hi')\nEOT\nrun python3 hello.py")
    assert turn.status == "completed"
    assert turn.error is None
    assert turn.stop_reason == "end_turn"
    assert "hello there" in turn.text
    assert turn.usage.output_tokens
    assert [(change.path, change.change) for change in turn.files] == [("hello.py", "created")]
    assert turn.tier == "fresh"
    assert turn.durable_at is not None
    assert turn.durability_error is None
    assert session.files.read_text("hello.py") == "print('hi')\n"
    assert session.exec("python3 hello.py").out == "hi\n"
    rows = sw.store().sql("select seq, direction, method, kind from v_events order by seq").fetchall()
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    assert [row[3] for row in rows][:1] == ["session_opened"]
    assert [row[3] for row in rows if row[3] != "files_kept"][-1] == "turn_ended"
    kinds = [step.kind for step in session.transcript.steps]
    assert kinds[0] == "user"
    assert "message" in kinds
    assert kinds.count("tool_call") == 2
    assert [step.kind for step in turn.steps] == kinds


def test_prompt_is_stored_before_anything_is_dispatched(open_session):
    session = open_session()
    session.send("say hi")
    events = session.events()
    place = {(e.direction, e.kind, e.method): e.seq for e in reversed(events)}
    assert place["note", "turn_started", None] < place["note", "sandbox_started", None]
    assert place["out", "request", "session/prompt"] < place["in", "agent_message_chunk", "session/update"]


def test_subscribers_see_only_what_is_committed(session):
    missing = []

    def check(events):
        held = {event.seq for event in session.store.events(session.id)}
        missing.extend(event.seq for event in events if event.seq not in held)

    unsubscribe = session.subscribe(check)
    session.send("stream 200")
    unsubscribe()
    assert missing == []


def test_second_turn_is_warm_and_remembers(open_session):
    session = open_session()
    session.send("say first")
    turn = session.send("remember")
    assert turn.tier == "warm"
    assert "1 earlier turn" in turn.text
    assert "say first" in turn.text


def test_opening_again_gives_the_same_session(open_session):
    session = open_session()
    assert open_session() is session
    session.send("say x")
    assert [turn.text for turn in open_session().turns] == ["x"]


def test_start_is_live(session):
    turn = session.start("say begun\nwait 1\nsay done")
    assert turn.status == "running"
    assert session.status == "running"
    with pytest.raises(TimeoutError, match="still runs"):
        turn.wait(0.01)
    assert turn.wait(30).text == "begun\n\ndone"
    assert session.status == "idle"


def test_start_can_be_awaited_from_any_loop(session):

    async def go():
        turn = await session.aio.start("say one")
        return (await turn).text, (await session.aio.send("say two")).text

    assert asyncio.run(go()) == ("one", "two")


def test_stream_yields_the_turns_events_once_and_in_order(session):
    events = list(session.stream("stream 500"))
    stored = [event.seq for event in session.events() if event.turn == events[0].turn]
    assert [event.seq for event in events] == stored
    assert sum(event.kind == "agent_message_chunk" for event in events) == 500
    assert events[0].kind == "turn_started"
    assert events[-1].kind == "turn_ended"

    async def collect():
        return [event async for event in session.aio.stream("stream 50")]

    events = asyncio.run(collect())
    assert sum(event.kind == "agent_message_chunk" for event in events) == 50
    assert events[-1].kind == "turn_ended"


def test_a_second_turn_is_refused_and_the_owner_named(session):
    turn = session.start("wait 2\nsay done")
    with pytest.raises(SessionBusy, match=rf"turn {turn.index}.*"):
        session.send("say other")
    assert turn.wait(30).status == "completed"


def test_two_threads_sending_at_once(session):
    outcomes = []

    def send():
        try:
            outcomes.append(session.send("wait 1").status)
        except SessionBusy as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(outcome) > 20 for outcome in outcomes) == [False, True]
    assert "completed" in outcomes


def test_idempotency_key_sends_once(session):
    before = len(session.turns)
    first = session.send("say once", idempotency_key="k1")
    again = session.send("say once", idempotency_key="k1")
    assert again.index == first.index
    assert again.text == "once"
    assert len(session.turns) == before + 1


@pytest.mark.parametrize("prompt", ["wait 30", "stream 2000000", "run sleep 30", "say x"])
def test_cancel_honoured_anywhere(session, prompt):
    turn = session.start(f"{prompt}\nwait 30")
    session.cancel()
    assert turn.status == "cancelled"
    assert turn.error is None
    assert session.send("say usable").text == "usable"


def test_cancel_while_the_sandbox_starts(open_session):
    session = open_session()
    turn = session.start("wait 30")
    assert session.cancel() is True
    assert turn.status == "cancelled"
    assert session.cancel() is False
    assert session.send("say usable").text == "usable"


async def test_two_cancels_at_once(open_session):
    session = open_session()
    turn = await session.aio.start("wait 30")
    assert await asyncio.gather(session.aio.cancel(), session.aio.cancel()) == [True, True]
    assert turn.status == "cancelled"
    assert (await session.aio.send("say usable")).text == "usable"


@pytest.mark.parametrize("delay", [0, 0.001, 0.003, 0.01, 0.05])
async def test_an_awaiting_call_is_cancelled_at_any_moment(open_session, delay):
    session = open_session()
    task = asyncio.create_task(session.aio.send("wait 30"))
    asyncio.get_running_loop().call_later(delay, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await session.aio.send("say usable")).text == "usable"
    assert {turn.status for turn in session.turns[:-1]} <= {"cancelled"}


def test_steer(session):
    first = session.start("wait 30")
    second = session.steer("say other way")
    assert second.wait(30).text == "other way"
    assert first.status == "cancelled"


def test_a_steer_that_fails_leaves_nothing_locked(session, monkeypatch):
    first = session.start("wait 30")
    start_turn = session.store.start_turn

    def fail(*_, **__):
        monkeypatch.setattr(session.store, "start_turn", start_turn)
        raise StoreError("the disk is full")

    monkeypatch.setattr(session.store, "start_turn", fail)
    with pytest.raises(StoreError, match="disk is full"):
        session.steer("say other way")
    assert (first.wait(30).status, session.status) == ("cancelled", "idle")
    assert session.steer("say third way").wait(30).text == "third way"
    assert [turn.status for turn in session.turns[-2:]] == ["cancelled", "completed"]


def test_agent_error_is_the_turns_error(session):
    turn = session.send("fail the model is out of tokens")
    assert turn.status == "failed"
    assert "the model is out of tokens" in turn.error
    assert session.send("say still here").text == "still here"


def test_agent_crash_fails_the_turn_and_the_next_one_works(open_session):
    session = open_session()
    session.send("say first")
    turn = session.send("crash 7")
    assert turn.status == "failed"
    assert "7" in turn.error
    turn = session.send("remember")
    assert turn.tier in {"resume", "load"}
    assert "say first" in turn.text


def test_detach_and_attach(open_session):
    session = open_session()
    turn = session.start("say before\nwait 1\nsay after")
    while "before" not in turn.text:
        turn.wait_news(0.1)
    session.detach()
    assert turn.status == "detached"
    with pytest.raises(SessionError, match="attach"):
        session.send("say no")
    session.attach()
    assert turn.wait(30).text == "before\n\nafter"


def test_park_and_resume(open_session):
    session = open_session()
    session.send("write kept.txt <<EOT\nx\nEOT")
    session.park()
    assert session.status == "parked"
    turn = session.send("remember")
    assert turn.tier == "resume"
    assert "write kept.txt" in turn.text
    assert session.files.read_text("kept.txt") == "x\n"


def test_park_refuses_while_a_turn_runs(session):
    session.start("wait 30")
    with pytest.raises(SessionBusy, match=r"cancel\(\)"):
        session.park()
    session.cancel()


def test_delete_removes_everything(open_session, home):
    session = open_session()
    session.send("write a.txt <<EOT\nx\nEOT")
    workspace = session.workspace
    session.delete()
    assert not workspace.exists()
    assert sw.store().sql("select count(*) from v_events").fetchall() == [(0,)]
    with pytest.raises(SessionGone):
        session.send("say x")
    assert open_session().turns == []


def test_a_given_workspace_is_used_and_kept(open_session, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    session = open_session(workspace=mine)
    session.send("write a.txt <<EOT\nx\nEOT")
    assert (mine / "a.txt").read_text() == "x\n"
    session.delete()
    assert (mine / "a.txt").exists()


def test_settings_reach_the_agent(open_session):
    session = open_session(model="demo-large", mode="plan")
    turn = session.send("write a.txt <<EOT\nx\nEOT")
    assert turn.files == ()
    turn = open_session(mode="full_access").send("write a.txt <<EOT\nx\nEOT")
    assert [change.path for change in turn.files] == ["a.txt"]


def test_unknown_setting_is_the_turns_error(open_session):
    turn = open_session(model="gpt-99").send("say x")
    assert turn.status == "failed"
    assert "demo-small" in turn.error


@pytest.mark.parametrize("id", ["a/b", "..", "a.b", "x" * 129, "a\nb", "a\n", "", 7, None])
def test_bad_ids_create_nothing(open_session, id):
    with pytest.raises(BadValue, match="1 to 128 characters"):
        open_session(id)
    assert sw.store().sessions() == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"harness": "nope"}, "demo"),
        ({"sandbox": "nope"}, "local"),
        ({"permissions": "perhaps"}, "allow_reads"),
        ({"workspace": "/does/not/exist"}, "existing directory"),
        ({"model": 7}, "model"),
    ],
)
def test_bad_options_create_nothing(open_session, options, says):
    with pytest.raises(BadValue, match=says):
        open_session(**options)
    assert sw.store().sessions() == []


def test_unknown_keyword_is_a_type_error():
    with pytest.raises(TypeError):
        sw.open_session("x", modle="demo-large")


def test_conflict_names_the_way_out(open_session, tmp_path):
    open_session(id="c1")
    with pytest.raises(SessionConflict, match="its workspace cannot be moved"):
        open_session(id="c1", workspace=tmp_path)
    with pytest.raises(SessionConflict, match=r"move it with open_session\('c1'\)\.switch\(sandbox='docker'\)"):
        open_session(id="c1", sandbox="docker")


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "  \n",
        [],
        [7],
        None,
        [{"text": "no type"}],
        "lone \ud800 surrogate",
        [{"type": "text", "text": {"a", "set"}}],
    ],
)
def test_bad_prompts(session, prompt):
    with pytest.raises(BadValue, match="prompt"):
        session.send(prompt)


def test_prompt_of_blocks(session):
    turn = session.send([{"type": "text", "text": "say from a block"}])
    assert turn.text == "from a block"


def test_bad_key_sends_nothing(session):
    before = len(session.turns)
    with pytest.raises(BadValue, match="idempotency_key must be text"):
        session.send("say x", idempotency_key=5)
    assert len(session.turns) == before


def test_bad_limit(session):
    with pytest.raises(BadValue, match="limit must be"):
        session.events(limit=-1)


def test_what_can_be_read_can_be_awaited(session):

    async def go():
        await session.aio.send("say x")
        return await session.aio.turns, await session.aio.pending, await session.aio.transcript

    turns, pending, transcript = asyncio.run(go())
    assert [turn.text for turn in turns[-1:]] == ["x"]
    assert pending == ()
    assert transcript.steps == session.transcript.steps


def test_bad_timeouts_and_stores_are_refused_before_anything_happens(session):
    before = len(session.turns)
    for timeout in ("3", -1, True):
        with pytest.raises(BadValue, match="timeout"):
            session.send("say x", timeout=timeout)
    assert len(session.turns) == before
    with pytest.raises(BadValue, match="store"):
        sw.open_session("x", store=5)


def test_every_start_and_stop_of_the_sandbox_is_noted(open_session):
    session = open_session()
    for _ in range(2):
        session.send("say hello")
        session.park()
    session.send("say again")
    kinds = [event.kind for event in session.events() if event.kind in {"sandbox_started", "sandbox_stopped"}]
    assert kinds == ["sandbox_started", "sandbox_stopped"] * 2 + ["sandbox_started"]
