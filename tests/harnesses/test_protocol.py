"""The connection: capabilities, refusals, and errors that do not end it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.harnesses.driver import COMMAND, Conversation, DemoProcess


def test_initialize_tells_what_is_there(shared_agent):
    offered = shared_agent.capabilities
    assert offered["protocolVersion"] == 1
    assert offered["agentInfo"]["name"] == "session-widgets-demo"
    assert offered["agentCapabilities"]["loadSession"] is True
    assert set(offered["agentCapabilities"]["sessionCapabilities"]) == {"list", "resume", "close", "delete"}
    assert shared_agent.call("initialize", protocolVersion=99)["result"]["protocolVersion"] == 1


def test_a_new_session_tells_what_can_be_chosen(talk):
    modes = talk.opened["modes"]
    assert modes["currentModeId"] == "ask"
    assert [mode["id"] for mode in modes["availableModes"]] == ["ask", "accept_edits", "full_access", "plan"]
    options = {option["category"]: option for option in talk.opened["configOptions"]}
    assert {category: option["currentValue"] for category, option in options.items()} == {
        "mode": "ask",
        "model": "demo-small",
        "thought_level": "low",
    }
    assert [each["value"] for each in options["model"]["options"]] == ["demo-small", "demo-large"]


def test_set_mode_is_reported_by_both_updates(talk, shared_agent):
    before, response = shared_agent.collect(
        shared_agent.send("session/set_mode", sessionId=talk.id, modeId="full_access")
    )
    updates = [message["params"]["update"] for message in before]
    assert [update["sessionUpdate"] for update in updates] == ["current_mode_update", "config_option_update"]
    assert updates[0]["currentModeId"] == "full_access"
    assert updates[1]["configOptions"][0]["currentValue"] == "full_access"
    assert response["result"] == {}


def test_models_and_efforts_differ(talk, shared_agent):
    def choose(option: str, value: str) -> None:
        before, response = shared_agent.collect(
            shared_agent.send("session/set_config_option", sessionId=talk.id, configId=option, value=value)
        )
        assert [message["params"]["update"]["sessionUpdate"] for message in before] == ["config_option_update"]
        values = {each["id"]: each["currentValue"] for each in response["result"]["configOptions"]}
        assert values[option] == value

    def thoughts_and_size() -> tuple[int, int]:
        reply = talk.prompt("say x")
        assert reply.text == "x"
        return len(reply.thought.split("\n\n")) if reply.thought else 0, reply.of("usage_update")[0]["size"]

    assert thoughts_and_size() == (0, 32_000)
    choose("model", "demo-large")
    assert thoughts_and_size() == (1, 200_000)
    choose("effort", "high")
    assert thoughts_and_size() == (2, 200_000)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("session/set_mode", {"modeId": "yolo"}),
        ("session/set_config_option", {"configId": "model", "value": "gpt"}),
        ("session/set_config_option", {"configId": "colour", "value": "red"}),
        ("session/set_config_option", {"configId": "model", "value": True, "type": "boolean"}),
    ],
)
def test_a_choice_that_does_not_exist_is_refused(talk, shared_agent, method, params):
    response = shared_agent.call(method, sessionId=talk.id, **params)
    assert response["error"]["code"] == -32602
    assert talk.prompt("say x").of("usage_update")[0]["size"] == 32_000


def test_a_second_prompt_is_refused_while_one_runs(talk, shared_agent, workspace):
    id_ = talk.start("wait 300")
    talk.finish(id_, until=lambda reply: reply.updates)
    response = shared_agent.collect(talk.start("say x"))[1]
    assert response["error"]["code"] == -32600
    assert "a turn is running" in response["error"]["data"]["details"]
    load = shared_agent.send("session/load", sessionId=talk.id, cwd=str(workspace), mcpServers=[])
    assert shared_agent.collect(load)[1]["error"]["code"] == -32600
    talk.cancel()
    assert talk.finish(id_).stop_reason == "cancelled"


@pytest.mark.parametrize("cwd", ["relative", "/does/not/exist", "/etc/hostname", "", "/tmp\x00", "x" * 5000])
def test_a_session_needs_a_directory(shared_agent, cwd):
    response = shared_agent.call("session/new", cwd=cwd, mcpServers=[])
    assert response["error"]["code"] == -32602


@pytest.mark.parametrize(
    ("line", "id_", "code"),
    [
        (b"not json", None, -32700),
        (b"\xff\xfe", None, -32700),
        (b'{"jsonrpc":"2.0","id":5,"method":"\\ud800"}', None, -32700),
        (b"[]", None, -32600),
        (b"3", None, -32600),
        (b'{"jsonrpc":"2.0"}', None, -32600),
        (b'{"jsonrpc":"2.0","id":7,"method":3}', 7, -32600),
        (b'{"jsonrpc":"2.0","id":[],"result":{}}', None, -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"initialize"}', None, -32600),
        (b'{"jsonrpc":"2.0","id":0,"error":"text"}', 0, -32600),
        (b'{"jsonrpc":"2.0","id":"u","method":"no/such"}', "u", -32601),
        (b'{"jsonrpc":"2.0","id":"u","method":"_no/such"}', "u", -32601),
        (b'{"jsonrpc":"2.0","id":"u","method":"session/fork","params":{}}', "u", -32601),
        (b'{"jsonrpc":"2.0","id":"u","method":"session/new"}', "u", -32602),
        (b'{"jsonrpc":"2.0","id":"u","method":"session/new","params":[]}', "u", -32602),
        (b'{"jsonrpc":"2.0","id":"u","method":"session/prompt","params":{"sessionId":1,"prompt":"x"}}', "u", -32602),
    ],
)
def test_what_is_no_request_is_answered_with_an_error(shared_agent, line, id_, code):
    shared_agent.write(line)
    response = shared_agent.read()
    assert (response["id"], response["error"]["code"]) == (id_, code)
    assert shared_agent.call("session/list")["result"]


@pytest.mark.parametrize(
    ("method", "params", "details"),
    [
        ("session/new", {"mcpServers": []}, "params.cwd is missing"),
        ("session/new", {"cwd": "/", "mcpServers": {}}, "params.mcpServers: expected an array, got {}"),
        (
            "session/new",
            {"cwd": "/", "mcpServers": [{"name": "a", "command": "b", "args": [1], "env": []}]},
            "params.mcpServers[0].args[0]: expected a string, got 1",
        ),
        ("initialize", {"protocolVersion": True}, "params.protocolVersion: expected an integer, got True"),
        (
            "session/prompt",
            {"sessionId": "a", "prompt": [{"type": "text", "text": "x"}, {"type": "film"}]},
            "params.prompt[1].type: expected one of text, image, audio, resource_link, resource, got 'film'",
        ),
        (
            "session/prompt",
            {"sessionId": "a", "prompt": [{"type": "resource", "resource": {"uri": "file:///a", "text": None}}]},
            "params.prompt[0].resource has neither text nor blob",
        ),
        ("session/set_mode", [], "params: expected an object, got []"),
    ],
)
def test_the_answer_names_the_field_that_is_wrong(shared_agent, method, params, details):
    shared_agent.write(json.dumps({"jsonrpc": "2.0", "id": "u", "method": method, "params": params}).encode())
    error = {"code": -32602, "message": "Invalid params", "data": {"details": details}}
    assert shared_agent.read() == {"jsonrpc": "2.0", "id": "u", "error": error}


@pytest.mark.parametrize("stream", ["stdin", "stdout"])
def test_a_stream_that_is_no_pipe_is_refused_at_once(stream, tmp_path):
    (tmp_path / "file").touch()
    for path in (Path("/dev/null"), tmp_path / "file"):
        with path.open("r+b") as file:
            streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: file}
            with subprocess.Popen(COMMAND, **streams) as process:
                assert process.wait(20) == 1
                said = f"session_widgets.demo: {stream} is no pipe, socket or terminal"
                assert process.stderr.read().decode().startswith(said)


def test_what_was_asked_before_the_end_of_input_is_answered():
    asked = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":1}}\n'
    done = subprocess.run(COMMAND, input=asked, capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["result"]["protocolVersion"] == 1


def test_noise_that_needs_no_answer(shared_agent):
    shared_agent.write(b"")
    shared_agent.write(b'{"jsonrpc":"2.0","id":12345,"result":{}}')
    shared_agent.write(b'{"jsonrpc":"2.0","id":12345,"error":null}')
    shared_agent.write(b'{"jsonrpc":"2.0","method":"no/such"}')
    before, response = shared_agent.collect(shared_agent.send("session/list"))
    assert before == []
    assert response["result"]


def test_a_prompt_without_text(talk):
    block = {"type": "resource", "resource": {"uri": "file:///a", "text": "x"}}
    talk.answer = "reject_once"
    assert talk.prompt([block]).stop_reason == "end_turn"
    assert talk.prompt([]).stop_reason == "end_turn"


def test_free_text_looks_around_takes_a_note_and_reports(talk, workspace):
    (workspace / "README.md").write_text("# Title\n\nA project <script>\nabout things.\n\nMore.\n")
    (workspace / "src").mkdir()
    (workspace / ".hidden").touch()
    (workspace / "na\u202eme").touch()
    reply = talk.prompt("What is this?\nPlease look")
    assert [tool["title"] for tool in reply.tools()] == ["List the workspace", "Read README.md", "Write NOTES.md"]
    assert {tool["status"] for tool in reply.tools()} == {"completed"}
    assert len(reply.permissions) == 1
    for expected in ("- `README.md`", "- `src/`", "begins: A project <script> about things.", "`NOTES.md`", "```text"):
        assert expected in reply.text
    assert ".hidden" not in reply.text
    note = (workspace / "NOTES.md").read_text()
    assert note.startswith("# Notes\n\n## Turn 1\n\n> What is this?\n> Please look\n\nThe workspace has 3 entries:")

    again = talk.prompt("And now?")
    assert (workspace / "NOTES.md").read_text().startswith(note.rstrip())
    assert "## Turn 2\n\n> And now?" in (workspace / "NOTES.md").read_text()
    assert again.tools()[-1]["content"][0]["oldText"] == note


def test_free_text_twice_is_the_same(talk, shared_agent, tmp_path):
    answers = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").touch()
        answers.append(Conversation(shared_agent, tmp_path / name).prompt("hello").text)
    assert answers[0] == answers[1]


@pytest.mark.parametrize("content", [b"caf\xe9", b"x" * 300_000])
def test_free_text_leaves_notes_alone_that_it_cannot_keep(talk, workspace, content):
    (workspace / "NOTES.md").write_bytes(content)
    reply = talk.prompt("hello")
    assert (workspace / "NOTES.md").read_bytes() == content
    assert "I did not write `NOTES.md`" in reply.text


def test_free_text_says_when_the_note_was_rejected(talk, workspace):
    talk.answer = "reject_once"
    reply = talk.prompt("hello")
    assert "The workspace is empty." in reply.text
    assert "I did not write `NOTES.md`" in reply.text
    assert not (workspace / "NOTES.md").exists()


def test_file_names_that_are_no_text(talk, workspace):
    (workspace / "a").touch()
    Path(os.fsdecode(bytes(workspace) + b"/b\xff")).touch()
    reply = talk.prompt("hello")
    assert "- `b\ufffd`" in reply.text
    assert json.dumps(reply.updates)


def test_a_login_in_the_terminal_opens_sessions(workspace, tmp_path):
    file = tmp_path / "login"
    env = {"DEMO_STATE_DIR": str(tmp_path / "state"), "DEMO_LOGIN": str(file)}
    agent = DemoProcess(env=env)
    try:
        asked = {"protocolVersion": 1, "clientCapabilities": {"auth": {"terminal": True}}}
        (method,) = agent.call("initialize", **asked)["result"]["authMethods"]
        place = {"cwd": str(workspace), "mcpServers": []}
        refused = agent.call("session/new", **place)["error"]
        assert (refused["code"], refused["message"]) == (-32000, "Authentication required")

        command = [*COMMAND, *method["args"]]
        nobody = subprocess.run(command, input=b"", env={**os.environ, **env}, capture_output=True, check=False)
        assert (nobody.returncode, file.exists()) == (1, False)
        somebody = subprocess.run(command, input=b"Ada\n", env={**os.environ, **env}, capture_output=True, check=False)
        assert (somebody.returncode, file.read_text()) == (0, "Ada\n")
        assert agent.call("session/new", **place)["result"]["sessionId"]
    finally:
        agent.kill()
