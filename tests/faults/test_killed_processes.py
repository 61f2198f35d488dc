"""Killed kernels, runners and agents: the session continues, with every event exactly once."""

import os
import shutil
import signal

import psutil

import session_widgets as sw
from tests.support.holders import holders
from tests.support.kernels import Kernel, exactly_once, runner_pid
from tests.support.waiting import until


def test_kernel_killed_in_mid_turn(forked, open_session):
    """The turn goes on; the next kernel's session ends with every event exactly once."""
    kernel = Kernel(
        forked,
        """
s = sw.open_session("s1", permissions="allow_all")
t = s.start("say warm\\nstream 300\\nwait 1.5\\nstream 300\\nwrite after.txt <<EOT\\nx\\nEOT")
while "chunk 100" not in t.text: time.sleep(0.01)
print(json.dumps("now"))
time.sleep(60)
""",
    )
    assert kernel.read() == "now"
    kernel.kill()
    session = open_session()
    assert session.status == "running"
    turn = session.turns[-1].wait(30)
    assert (turn.status, turn.error) == ("completed", None)
    assert [change.path for change in turn.files] == ["after.txt"]
    events = session.events()
    exactly_once(events)
    chunks = [e.payload["params"]["update"]["content"]["text"] for e in events if e.kind == "agent_message_chunk"]
    assert "".join(chunks).count("chunk 299 ") == 2
    assert sum(event.kind == "turn_ended" for event in events) == 1
    assert session.send("remember").tier == "warm"


def test_kernel_that_leaves_in_order_lets_the_turn_go_on(forked, open_session):
    kernel = Kernel(
        forked,
        """
s = sw.open_session("s1", permissions="allow_all")
t = s.start("say begun\\nwait 1\\nsay done")
while "begun" not in t.text: time.sleep(0.01)
""",
    )
    assert kernel.end() == (0, [])
    assert open_session().turns[-1].wait(30).text == "begun\n\ndone"


def test_kernel_killed_while_a_permission_waits(forked, open_session):
    """The request waits for the next kernel; nothing approves it meanwhile."""
    kernel = Kernel(
        forked,
        """
s = sw.open_session("s1", permissions="ask")
t = s.start("write asked.txt <<EOT\\nx\\nEOT")
while not s.pending: time.sleep(0.01)
print(json.dumps("now"))
time.sleep(60)
""",
    )
    assert kernel.read() == "now"
    kernel.kill()
    session = open_session(permissions="ask")
    turn = session.turns[-1]
    until(lambda: session.pending)
    assert session.status == "waiting"
    assert not (session.workspace / "asked.txt").exists()
    assert session.pending[0].allow() is True
    assert turn.wait(30).status == "completed"
    assert (session.workspace / "asked.txt").read_text() == "x\n"


def test_kernel_killed_between_commit_and_dispatch(forked, open_session):
    """A prompt that was stored but never sent is sent by the next kernel, once."""
    kernel = Kernel(
        forked,
        """
import os, signal
from session_widgets._sessions.sandbox_manager import SandboxManager
async def die(self, **_): os.kill(os.getpid(), signal.SIGKILL)
s = sw.open_session("s1", permissions="allow_all")
s.send("say before")
s.park()  # a prompt to a running agent is stored with its turn: `test_warm_prompts.py`
SandboxManager.probe_sandbox = die
print(json.dumps("now"))
s.send("say never sent")
""",
    )
    assert kernel.read() == "now"
    assert kernel.end() == (-signal.SIGKILL, [])
    session = open_session()
    assert session.turns[-1].wait(30).text == "never sent"
    prompts = [e for e in session.events() if e.direction == "out" and e.method == "session/prompt"]
    assert len(prompts) == 2


def test_runner_killed_in_mid_turn(open_session):
    """The turn fails with the cause, and the next prompt works, with its memory."""
    session = open_session()
    session.send("say first")
    turn = session.start("wait 30")
    until(lambda: any(step.kind == "tool_call" for step in turn.steps))
    os.kill(runner_pid(session), signal.SIGKILL)
    turn.wait(20)
    assert turn.status == "failed"
    assert "runner" in turn.error
    turn = session.send("remember")
    assert turn.status == "completed"
    assert "say first" in turn.text
    assert turn.tier == "load"


def test_a_killed_runner_runs_again_for_a_command(open_session):
    """A cell runs one meanwhile; the error then does not say that the sandbox has stopped."""
    session = open_session()
    turn = session.start("say begun\nwait 30")
    until(lambda: "begun" in turn.text)
    before = runner_pid(session)
    os.kill(before, signal.SIGKILL)
    session.exec("true")
    assert runner_pid(session) != before
    assert turn.wait(30).status == "failed"
    assert turn.error.endswith(" runs now; send again."), turn.error
    assert session.send("say here").status == "completed"


def test_runner_killed_while_idle(open_session):
    session = open_session()
    session.send("say first")
    os.kill(runner_pid(session), signal.SIGKILL)
    assert [info.name for info in session.files.list()] == [".harness"]
    assert "say first" in session.send("remember").text


def test_a_prompt_while_the_runner_ends_is_for_its_successor(open_session):
    """It ends for a while: a process of the agent ignores SIGTERM. Docker, too, may restart and say that it runs."""
    session = open_session()
    session.send("run (trap '' TERM; sleep 60) > /dev/null 2>&1 &")
    ending = runner_pid(session)
    os.kill(ending, signal.SIGTERM)
    turn = session.send("remember")
    assert (turn.status, turn.error) == ("completed", None)
    assert "trap" in turn.text
    assert runner_pid(session) != ending
    exactly_once(session.events())


def test_workspace_deleted_behind_our_back(open_session):
    session = open_session()
    session.send("say first")
    shutil.rmtree(session.workspace)
    session.files.write("a.txt", "new")
    turn = session.send("remember")
    assert (turn.tier, turn.error) == ("replay", None)
    assert "say first" in turn.text
    assert (session.workspace / "a.txt").read_text() == "new"


def test_agent_killed_while_idle_and_in_mid_turn(open_session):
    session = open_session()
    session.send("say first")
    agent = session._controller.agents.agent
    kill_demo_agent(session)
    until(lambda: agent.dead)
    assert session.send("remember").tier == "load"
    turn = session.start("wait 30")
    until(lambda: any(step.kind == "tool_call" for step in turn.steps))
    kill_demo_agent(session)
    assert turn.wait(20).status == "failed"
    assert "signal 9" in turn.error
    assert "say first" in session.send("remember").text


def kill_demo_agent(session):
    below = psutil.Process(runner_pid(session)).children(recursive=True)
    next(process for process in below if "demo" in process.cmdline()[-1]).kill()


def test_runner_and_kernel_killed(forked, open_session):
    """Nobody is left to finish the turn: the next kernel reads the rest of the journal and says how it ended."""
    kernel = Kernel(
        forked,
        """
import os, signal
s = sw.open_session("s1", permissions="allow_all")
t = s.start("say begun\\nwait 1\\nsay unseen\\nwait 30")
while "begun" not in t.text: time.sleep(0.01)
print(json.dumps(json.load(open(next(s.store.home.glob("sandboxes/*/process.json"))))["pid"]))
os.kill(os.getpid(), signal.SIGKILL)
""",
    )
    pid = kernel.read()
    assert kernel.end() == (-signal.SIGKILL, [])
    journal = next((sw.store().home / "sandboxes").glob("*/state"))
    until(lambda: holders(journal, "unseen"))
    os.kill(pid, signal.SIGKILL)
    session = open_session()
    turn = session.turns[-1]
    turn.wait(30)
    assert turn.status == "failed"
    assert "ended" in turn.error
    assert "unseen" in turn.text
    assert session.send("say on").text == "on"
    exactly_once(session.events())


def test_nothing_of_a_killed_runner_survives(open_session):
    session = open_session()
    turn = session.start("run sleep 300")
    until(lambda: any(step.status == "in_progress" for step in turn.steps))
    runner = psutil.Process(runner_pid(session))
    below = runner.children(recursive=True)
    assert below
    runner.kill()
    _, alive = psutil.wait_procs(below, timeout=10)
    assert alive == []
    turn.wait(20)
