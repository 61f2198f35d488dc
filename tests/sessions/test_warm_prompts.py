"""A prompt to an agent that runs: its commits and requests, and an agent that proves dead."""

import asyncio
import os
import signal
from collections.abc import Iterator

import httpx
import psutil
import pytest

from session_widgets._sessions.journal import note
from session_widgets._sessions.loop import private_loop
from session_widgets.acp import AcpConnection, stream
from session_widgets.errors import TransportError
from session_widgets.transcript.notes import SessionChanged
from tests.support.kernels import Kernel, exactly_once, runner_pid
from tests.support.waiting import until

ECHO = "run echo {0} >> done.txt\nsay {0}"


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The requests of this process."""
    made: list[str] = []
    sent = httpx.AsyncHTTPTransport.handle_async_request

    async def handle(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        made.append(f"{request.method} {request.url.path.rpartition('/')[0]}")
        return await sent(transport, request)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handle)
    return made


def kinds(events):
    return [event.kind for event in events if event.kind != "files_kept"]


def ends(batch, turn):
    return any((event.kind, event.turn) == ("turn_ended", turn.index) for event in batch)


def prompts(session, turn):
    return [e for e in session.events() if (e.turn, e.direction, e.method) == (turn, "out", "session/prompt")]


def test_a_warm_prompt_takes_one_commit_and_one_request(session, requests):
    session.send("say warm")
    settle(session)
    batches = []
    stop = session.subscribe(batches.append)
    requests.clear()
    turn = session.send("say x")
    stop()
    assert requests == ["POST /v1/acp"]
    commits = [kinds(batch) for batch in batches if any(event.turn == turn.index for event in batch)]
    assert commits[0] == ["turn_started", "memory_restored", "request"]
    assert (turn.text, turn.tier) == ("x", "warm")


def test_an_answer_that_changed_no_file_is_stored_with_the_end_of_its_turn(session):
    batches = []
    stop = session.subscribe(batches.append)
    turn = session.send("say x")
    stop()
    (last,) = [kinds(batch) for batch in batches if ends(batch, turn)]
    assert last[-2:] == ["response", "turn_ended"]
    assert (turn.status, turn.stop_reason, turn.files, turn.durability_error) == ("completed", "end_turn", (), None)
    assert turn.durable_at is not None
    batches.clear()
    stop = session.subscribe(batches.append)
    changed = session.send("write new.txt <<EOT\nx\nEOT")
    stop()
    (last,) = [kinds(batch) for batch in batches if ends(batch, changed)]
    assert last == ["turn_ended"]
    assert [change.path for change in changed.files] == ["new.txt"]


def test_the_runner_sends_the_changed_files_with_the_answer(session, requests):
    turn = session.send("write new.txt <<EOT\nx\nEOT")
    assert [(change.path, change.change, change.size) for change in turn.files] == [("new.txt", "created", 2)]
    turn = session.send("run rm new.txt")
    assert [(change.path, change.change) for change in turn.files] == [("new.txt", "deleted")]
    assert not [made for made in requests if "snapshots" in made]


def test_many_changed_files_are_requested(session, requests):
    turn = session.send("run for n in $(seq 1001); do : > $n; done")
    assert len(turn.files) == 1001
    assert "GET /v1/fs/snapshots/turn-" + str(turn.index) in requests


def test_what_another_kernel_has_changed_applies_to_the_prompt(open_session):
    """This kernel has not read it yet when the turn begins."""
    session = open_session()
    session.send("say warm")
    session.store.append("s1", [note(SessionChanged(mode="plan"))])
    turn = session.send("say x")
    methods = [event.method for event in session.events() if event.direction == "out"]
    assert methods[-2:] == ["session/set_config_option", "session/prompt"]
    assert (turn.status, session.mode) == ("completed", "plan")
    assert len(prompts(session, turn.index)) == 1


def test_a_prompt_that_is_not_stored_leaves_no_request_behind(open_session):
    session = open_session()
    first = session.send("say warm", idempotency_key="k")
    peer = session._controller.agents.agent.peer
    assert session.send("say again", idempotency_key="k").index == first.index
    assert not peer._waiting
    assert session.send("say x").text == "x"


@pytest.fixture
def deaf(monkeypatch):
    """Let a kernel miss that its agent has exited, however often the runner repeats it; kill the agent."""

    def kill(session):
        settle(session)
        missed = []
        whole = stream._ReadAhead.add

        def add(ahead, events):
            missed.extend(event for event in events if stream.AGENT_EXITED.encode() in event.data)
            whole(ahead, [event for event in events if stream.AGENT_EXITED.encode() not in event.data])

        monkeypatch.setattr(stream._ReadAhead, "add", add)
        os.kill(agent_pid(session), signal.SIGKILL)
        runner = session._controller.sandboxes.sandbox.runner
        until(lambda: not private_loop().run(runner.connections()))
        until(lambda: missed)
        assert session._controller.agents.agent.dead is None

    return kill


def settle(session):
    """Wait until the files of the last turn are kept: their note is this kernel's last event."""
    journal = session._controller.state.journal
    until(lambda: (last := session.events()[-1]).kind == "files_kept" and journal.cursor == last.seq)


def agent_pid(session):
    below = psutil.Process(runner_pid(session)).children(recursive=True)
    return next(process.pid for process in below if "demo" in process.cmdline()[-1])


def test_an_agent_that_proves_dead_is_replaced_and_the_prompt_reaches_one_agent_once(open_session, deaf):
    session = open_session()
    session.send(ECHO.format("first"))
    deaf(session)
    turn = session.send("remember\n" + ECHO.format("second"))
    assert (turn.status, turn.tier, turn.error) == ("completed", "load", None)
    assert turn.text.startswith("1 earlier turn")
    assert session.files.read_text("done.txt").split() == ["first", "second"]
    story = kinds(event for event in session.events() if event.turn == turn.index and event.direction != "in")
    assert story[:6] == [
        "turn_started", "memory_restored", "request", "prompt_not_delivered", "memory_restored", "request"
    ]  # fmt: skip
    first, second = prompts(session, turn.index)
    assert first.payload["id"] != second.payload["id"]
    row = session.store.sql("select tier, status from v_turns where turn = ?", [turn.index]).fetchall()
    assert row == [("load", "completed")]
    assert session.send("say on").tier == "warm"


def test_a_runner_that_proves_dead_is_started_again(open_session, monkeypatch):
    session = open_session()
    session.send(ECHO.format("first"))
    settle(session)
    monkeypatch.setattr(AcpConnection, "extensions", frozenset({"changes"}))  # it has just been seen
    runner = psutil.Process(runner_pid(session))
    runner.kill()
    runner.wait(10)
    turn = session.send("remember\n" + ECHO.format("second"))
    assert (turn.status, turn.tier, turn.error) == ("completed", "load", None)
    assert session.files.read_text("done.txt").split() == ["first", "second"]


def test_a_runner_that_dies_as_it_takes_the_prompt_knows_later_whether_it_did(open_session, monkeypatch):
    """The connection breaks, so the outcome is unknown until the runner runs again."""
    session = open_session()
    session.send(ECHO.format("first"))
    settle(session)
    runner = psutil.Process(runner_pid(session))
    post = AcpConnection._post

    async def killing(connection, *args, **options):
        monkeypatch.setattr(AcpConnection, "_post", post)
        runner.suspend()  # the prompt stays in its socket
        asyncio.get_running_loop().call_later(0.3, runner.kill)
        await post(connection, *args, **options)

    monkeypatch.setattr(AcpConnection, "_post", killing)
    turn = session.send("remember\n" + ECHO.format("second"))
    assert (turn.status, turn.tier, turn.error) == ("completed", "load", None)
    assert session.files.read_text("done.txt").split() == ["first", "second"]
    assert len(prompts(session, turn.index)) == 2


def test_a_prompt_that_a_killed_runner_had_accepted_is_not_sent_again(open_session, monkeypatch):
    """The agent may have worked on it."""
    session = open_session()
    session.send(ECHO.format("first"))
    settle(session)
    runner = psutil.Process(runner_pid(session))
    post = AcpConnection._post

    async def killing(connection, *args, **options):
        monkeypatch.setattr(AcpConnection, "_post", post)
        await post(connection, *args, **options)
        runner.kill()
        raise TransportError("the connection broke before the answer")

    monkeypatch.setattr(AcpConnection, "_post", killing)
    turn = session.send("wait 30")
    assert (turn.status, len(prompts(session, turn.index))) == ("failed", 1)
    assert "has exited" in turn.error
    assert session.send("remember").text.startswith("2 earlier turns")


DEATHS = """
import os, signal, psutil
from session_widgets._sessions.loop import private_loop
from session_widgets._store import Store
from session_widgets.acp import AcpConnection, stream
s = sw.open_session("s1", permissions="allow_all")
s.send({first!r})
# As `settle`, and until the exit is hidden: there is nothing in the kernel to wait for, so it looks every 10 ms.
while (last := s.events()[-1]).kind != "files_kept" or s._controller.state.journal.cursor != last.seq: time.sleep(0.01)
if {agent_dies}:
    missed = []
    whole = stream._ReadAhead.add
    def add(ahead, events):
        missed.extend(one for one in events if stream.AGENT_EXITED.encode() in one.data)
        whole(ahead, [one for one in events if stream.AGENT_EXITED.encode() not in one.data])
    stream._ReadAhead.add = add
    runner = s._controller.sandboxes.sandbox.runner
    below = psutil.Process(private_loop().run(runner.health())["pid"]).children(recursive=True)
    next(one for one in below if "demo" in one.cmdline()[-1]).kill()
    while private_loop().run(runner.connections()): time.sleep(0.01)
    while not missed: time.sleep(0.01)
names, death = [], {death!r}
def meet(name):
    names.append(name)
    if (name, names.count(name)) == death: os.kill(os.getpid(), signal.SIGKILL)
append, start, post = Store.append, Store.start_turn, AcpConnection.post
def appending(store, session, drafts):
    for draft in drafts: meet("before " + draft.kind if draft.direction == "note" else "before " + str(draft.method))
    stored = append(store, session, drafts)
    for draft in drafts: meet("after " + draft.kind if draft.direction == "note" else "after " + str(draft.method))
    return stored
def starting(*a, **k):
    meet("before turn_started")
    started = start(*a, **k)
    meet("after turn_started")
    return started
async def posting(connection, envelope, **k):
    if envelope.get("method") == "session/prompt": meet("before post")
    await post(connection, envelope, **k)
    if envelope.get("method") == "session/prompt": meet("after post")
Store.append, Store.start_turn, AcpConnection.post = appending, starting, posting
print(json.dumps("now"))
s.send({second!r})
"""


def test_a_kernel_killed_before_it_stores_an_answer_with_the_end(forked, open_session):
    death = ("before turn_ended", 1)
    kernel = Kernel(forked, DEATHS.format(first="say first", second="say second", death=death, agent_dies=False))
    assert kernel.read() == "now"
    assert kernel.end() == (-signal.SIGKILL, [])
    session = open_session()
    turn = session.turns[-1].wait(30)
    assert (turn.index, turn.status, turn.text, turn.files) == (2, "completed", "second", ())
    assert turn.durable_at is not None
    assert sum(event.kind == "turn_ended" for event in session.events()) == 2
    exactly_once(session.events())


@pytest.mark.parametrize(
    ("death", "agent_dies"),
    [
        (("after turn_started", 1), False),
        (("before post", 1), False),
        (("after post", 1), False),
        (("before session/prompt", 1), False),
        (("before turn_ended", 1), False),
        (("before post", 1), True),
        (("before prompt_not_delivered", 1), True),
        (("after prompt_not_delivered", 1), True),
        (("before agent_started", 1), True),
        (("before memory_restored", 1), True),
        (("after memory_restored", 1), True),
        (("before post", 2), True),
        (("after post", 1), True),
    ],
)
def test_a_kernel_killed_on_the_way_of_a_warm_prompt(death, agent_dies, forked, open_session):
    code = DEATHS.format(first=ECHO.format("first"), second=ECHO.format("second"), death=death, agent_dies=agent_dies)
    kernel = Kernel(forked, code)
    assert kernel.read() == "now"
    assert kernel.end() == (-signal.SIGKILL, [])
    session = open_session()
    turn = session.turns[-1].wait(30)
    assert (turn.index, turn.status, turn.text, turn.error) == (2, "completed", "second", None)
    between = death == ("before memory_restored", 1)  # the next kernel finds the new agent running
    assert turn.tier == ("load" if agent_dies and not between else "warm")
    assert session.files.read_text("done.txt").split() == ["first", "second"]
    assert len(prompts(session, 2)) == (2 if agent_dies else 1)
    assert session.send("remember").text.startswith("2 earlier turns")
    agents = private_loop().run(session._controller.sandboxes.sandbox.runner.connections())
    assert agents == [session._controller.state.record.connection]
    exactly_once(session.events())
