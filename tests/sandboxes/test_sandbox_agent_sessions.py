"""Sessions of real harnesses in real sandbox-agent 0.4.2 servers; the model alone is scripted."""

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest

import session_widgets as sw
from session_widgets._harnesses import catalog
from session_widgets._harnesses.harness import Harness
from session_widgets._sandboxes import SandboxSpec, get_provider
from session_widgets._sandboxes.local import this_machine
from session_widgets._sandboxes.sandbox_agent_server import MARK
from session_widgets._sessions.launching import prepare
from session_widgets.errors import BadValue
from session_widgets.host.daemon import Daemon, read_json
from session_widgets.host.data_directory import data_directory
from tests.support.evidence import in_bucket
from tests.support.holders import holders
from tests.support.model.serving import script
from tests.support.sandbox_agent import server as real
from tests.support.waiting import until

MODELS = {"opencode": "mock-model", "pi": "mock-model"}
RESUMES = {"claude": "resume", "codex": "resume", "opencode": "resume", "pi": "load"}
DEMO = Harness(id="pi", command=("{python}", "-P", "-m", "session_widgets.demo"))
"""The demo under a name that the server knows; no catalog entry is replaced by it."""

pytestmark = [pytest.mark.needs("sandbox-agent"), pytest.mark.timeout(150)]
with_model = pytest.mark.needs("harnesses", "model")


def allow_once(request):
    return request.of_kind("allow_once").id


@pytest.fixture(autouse=True)
def program(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))  # shells of agents read the profile there
    monkeypatch.delenv("IS_SANDBOX", raising=False)  # Claude Code takes it for leave to ask for nothing
    binary = real.binary()
    binary.chmod(0o755)
    monkeypatch.setenv("SESSION_WIDGETS_SANDBOX_AGENT", str(binary))


@pytest.fixture
def start(home):
    """`start(harness, id="s1", **options)` opens a session in a sandbox-agent of its own."""
    opened = []

    def start(harness, id="s1", **options):
        name = harness if isinstance(harness, str) else None
        options = {"sandbox": "sandbox-agent", "permissions": allow_once, "model": MODELS.get(name), **options}
        opened.append(sw.open_session(id, harness=harness, **options))
        return opened[-1]

    yield start
    for session in opened:
        if session.status != "deleted":
            session.delete()
    sw.store().close()


@pytest.fixture
def theirs(home, tmp_path):
    """`theirs(harness)` runs a server of somebody else, and returns options for a session; `theirs.stop()` kills it."""
    running = []

    def run(harness):
        place = tmp_path / "theirs"
        place.mkdir()
        entry = prepare(harness, this_machine(str(place / "agent"), data_directory()), data_directory()).entry
        state = Path(harness.state_folder(str(place / "agent")))
        state.mkdir(parents=True)
        for file, text in (harness.settings(entry["env"], None) if harness.settings else {}).items():
            (state / file).write_text(text)
        running.append(real.sandbox_agent(place, {harness.id: entry["command"]}, env=entry["env"]))
        endpoint = running[-1].__enter__()
        token = endpoint.headers["Authorization"].removeprefix("Bearer ")
        return {"sandbox": f"sandbox-agent:{endpoint.url}", "token": token}

    def stop():
        while running:
            running.pop().__exit__(None, None, None)

    run.stop = stop
    yield run
    stop()


def place_of(session, home):
    return home / "sandbox-agent" / session._controller.state.record.sandbox_ref.partition(":")[2]


def server_of(session, home):
    process = Daemon(place_of(session, home)).process()
    assert process is not None
    return process


def marked(mark):
    """Every process of a server, wherever it moved."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == mark:
                found.append(process)
        except psutil.Error:
            continue
    return found


def begin_command(session, **options):
    """Start a turn that hangs in a shell command, and return once that runs."""
    turn = session.start(script({"text": "going", "run": "touch begun; sleep 60"}, {"text": "it ran"}, **options))
    until(lambda: (session.workspace / "begun").exists() or turn.ended, seconds=40, what="the command")
    assert not turn.ended, turn.steps
    return turn


@with_model
@pytest.mark.parametrize("name", RESUMES)
def test_a_session_of_each_harness(name, start, home, model):
    session = start(name)
    turn = session.send(script({"write": ["a.txt", "hello"]}, {"text": "written"}, note="TOKEN-first"))
    assert (turn.error, turn.status, turn.stop_reason, turn.tier) == (None, "completed", "end_turn", "fresh")
    assert turn.text.endswith("written")
    assert session.files.read_text("a.txt") == "hello"
    assert [(file.path, file.change) for file in turn.files] == [("a.txt", "created")]
    assert turn.durable_at is not None
    assert session.send(script({"recall": True})).tier == "warm"
    mark = read_json(place_of(session, home) / "server.json")["mark"]
    assert len(marked(mark)) > 1
    session.park()
    assert marked(mark) == [], "children that ignore the end of their input end all the same"
    turn = session.send(script({"recall": True}))
    assert (turn.tier, turn.text) == (RESUMES[name], "I know TOKEN-first")


@with_model
@pytest.mark.parametrize("name", ["claude", "codex"])
def test_a_cancelled_turn_a_killed_agent_and_a_killed_server(name, start, home, model):
    session = start(name)
    cut = begin_command(session, note="TOKEN-first")
    assert session.cancel()
    assert cut.status == "cancelled"
    turn = session.send(script({"text": "again"}))
    assert (turn.status, turn.text, turn.error) == ("completed", "again", None)

    (session.workspace / "begun").unlink()
    cut = begin_command(session)
    server = server_of(session, home)
    for child in server.children():
        child.kill()
    assert cut.wait(30).status == "failed"
    assert "exited" in cut.error or "ended" in cut.error
    turn = session.send(script({"text": "a new process"}))
    assert (turn.status, turn.text, turn.tier) == ("completed", "a new process", "load")

    (session.workspace / "begun").unlink()
    cut = begin_command(session)
    mark = read_json(place_of(session, home) / "server.json")["mark"]
    os.kill(server.pid, signal.SIGKILL)
    assert cut.wait(60).status == "failed"
    assert cut.error
    turn = session.send(script({"recall": True}))
    assert (turn.status, turn.text, turn.tier) == ("completed", "I know TOKEN-first", "load")
    assert marked(mark) == [], "what the killed server has left"


@with_model
def test_permissions_and_what_else_a_session_does(start, model):
    session = start("claude", permissions="deny")
    turn = session.send(script({"write": ["a.txt", "hello"]}, {"text": "over"}))
    (tool,) = [step for step in turn.steps if step.kind == "tool_call"]
    assert (tool.permission.outcome, tool.permission.decided_by) == ("selected", "policy:deny")
    assert not (session.workspace / "a.txt").exists()
    assert session.exec("echo $((6*7)); exit 5").code == 5
    data = os.urandom(3_000_000)
    session.files.write("big.bin", data)
    assert session.files.read_bytes("big.bin", 1_000, 50) == data[1_000:1_050]
    with pytest.raises(BadValue, match="knows"):
        session.switch(harness="demo")
    session.switch(harness="demo", sandbox="local")
    assert session.send("say hello").text == "hello"


@with_model
@pytest.mark.parametrize("name", ["claude", "codex"])
def test_a_server_that_is_there(name, start, theirs, home, model, monkeypatch):
    options = theirs(catalog.get(name))
    for key in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(key)  # its harnesses have keys of their own
    session = start(name, **options)
    turn = session.send(script({"write": ["a.txt", "hello"]}, {"text": "written"}, note="TOKEN-first"))
    assert (turn.error, turn.status) == (None, "completed")
    assert [(file.path, file.change) for file in turn.files] == [("a.txt", "created")]
    assert not (session.workspace / ".harness").exists(), "its settings are its own"
    session.park()
    runner = asyncio.run(_connections(home, session))
    assert runner == [], "the agent has ended with the session's rest"
    session = sw.open_session("s1")  # the token is known
    turn = session.send(script({"recall": True}))
    assert (turn.text, turn.tier) == ("I know TOKEN-first", RESUMES[name])
    (holder,) = holders(home, options["token"])
    assert holder.suffix == ".token"
    assert holder.stat().st_mode & 0o777 == 0o600


async def _connections(home, session):
    provider = get_provider(session.sandbox, home)
    spec = SandboxSpec("other", str(session.workspace), {})

    async def announce(ref):
        pass

    sandbox = await provider.create(spec, announce)
    try:
        return await sandbox.runner.connections()
    finally:
        await sandbox.aclose()
        await provider.destroy(sandbox.ref)


def test_the_demo_under_a_name_that_it_knows(start):
    session = start(DEMO)
    turn = session.send("write a.txt <<EOT\nhello\nEOT\nrun cat a.txt")
    assert (turn.error, turn.status) == (None, "completed")
    assert [(file.path, file.change) for file in turn.files] == [("a.txt", "created")]


@pytest.mark.needs("seaweedfs")
@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_a_workspace_in_a_bucket(whose, start, theirs, lab):
    session = start(DEMO, workspace=lab, **(theirs(DEMO) if whose == "theirs" else {}))
    turn = session.send("write a.txt <<EOT\nhello\nEOT")
    assert (turn.error, turn.durability_error) == (None, None)
    assert turn.durable_at is not None
    assert in_bucket(lab, "s1")()["a.txt"] == b"hello\n"
    session.switch(harness="demo", sandbox="local")
    assert session.send("run cat a.txt").durability_error is None


def test_a_refused_harness_creates_no_session(start, home):
    with pytest.raises(BadValue, match="knows"):
        start("demo")
    assert sw.store().session("s1") is None


def test_a_wrong_token_is_reported(start, theirs):
    options = theirs(DEMO)
    session = start(DEMO, **options | {"token": "wrong"})
    turn = session.send("say hello")
    assert turn.status == "failed"
    assert "token" in turn.error
    session = start(DEMO, **options)
    assert session.send("say hello").text == "hello"


def test_a_token_without_a_server(start):
    with pytest.raises(BadValue, match="takes no token"):
        start(DEMO, token="x")


def test_an_agent_that_died_while_detached(start, home):
    session = start(DEMO)
    assert session.send("say one").text == "one"
    session.detach()
    for child in server_of(session, home).children():
        child.kill()
        child.wait()
    session.attach()
    turn = session.send("say two")
    assert (turn.error, turn.text) == (None, "two")
    assert turn.tier != "warm"


def test_another_persons_server_that_is_gone(start, theirs):
    session = start(DEMO, **theirs(DEMO))
    assert session.send("say one").text == "one"
    running = session.start("say begun\nwait 30")
    until(lambda: "begun" in running.text or running.ended, what="its answer")
    assert not running.ended
    theirs.stop()
    assert running.wait(30).status == "failed"
    assert running.error
    turn = session.send("say two")
    assert turn.status == "failed"
    assert "does not answer at http://127.0.0.1" in turn.error
    session.park()
    session.delete()
