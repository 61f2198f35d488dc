"""Every message of the agent conforms to the official library's schema."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from session_widgets.demo.script import Command, Deaf, parse
from tests.harnesses.driver import Conversation, DemoProcess, Message

PROGRAM = Path(__file__).with_name("official_schema.py")
MCP_SERVER = """\
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    results = {
        "initialize": {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "x"}},
        "tools/list": {"tools": [{"name": "add", "inputSchema": {"type": "object"}}]},
        "tools/call": {"content": [{"type": "text", "text": "3"}]},
    }
    if "id" in asked:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": results[asked["method"]]}), flush=True)
"""
SCRIPT = """\
say hello there
think hm
plan one; two; three
write a.txt <<EOT
new
EOT
read a.txt
run echo hi; exit 3
wait 0
tool add {"a": 1}
tool nothing
stream 3
question why?
question which? | a | b
question {"mode": "url", "message": "there", "url": "https://example.com/", "elicitationId": "1"}
mode plan
write b.txt <<EOT
refused
EOT
mode ask unasked
title A parser
commands plain with:input
remember
notice warning Little space | 3 % are left
notice info Ready
compact We wrote a file.
compact failed the model is gone
plan-items one first; second
plan-text two # Steps
plan-file three a.txt
plan-drop one
subagent A helper <<EOT
say hello from below
write below.txt <<EOT2
x
EOT2
EOT
subagent A failing helper <<EOT
fail no luck
EOT
update {"sessionUpdate": "session_info_update", "title": "Raw"}
no command
"""
CAPABILITIES = {
    "elicitation": {"form": {}, "url": {}},
    "session": {"notices": {}, "compaction": {}},
    "plan": {},
    "subagents": {},
    "auth": {"terminal": True},
}
OPTIONAL = {
    "compaction_summary_chunk", "compaction_update", "notice", "plan_removed", "plan_update", "session_message",
    "subagent_update",
}  # fmt: skip
ENDS = ("fail no more credit", "silent", "crash 0")


class Recorded(DemoProcess):
    """An agent whose messages are kept, by the name of the model that reads them."""

    def __init__(self, **options) -> None:
        self.messages: list[list[object]] = []
        self._methods: dict[int, str] = {}
        super().__init__(**options)

    def send(self, method: str, **params) -> int:
        id_ = super().send(method, **params)
        self._methods[id_] = method
        return id_

    def read(self, seconds: float = 20) -> Message:
        message = super().read(seconds)
        if "method" in message:
            self.messages.append([message["method"], message["params"]])
        elif "error" in message:
            self.messages.append(["error", message["error"]])
        else:
            self.messages.append([self._methods[message["id"]], message["result"]])
        return message


def problems(messages: list[list[object]]) -> list:
    done = subprocess.run(
        [sys.executable, "-P", PROGRAM],
        input=json.dumps(messages),
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.fixture
def recorded(tmp_path):
    (tmp_path / "login").touch()
    agent = Recorded(env={"DEMO_STATE_DIR": str(tmp_path / "state"), "DEMO_LOGIN": str(tmp_path / "login")})
    yield agent
    agent.kill()


def answer(talk: Conversation, request: Message) -> object:
    if request["method"] == "elicitation/create":
        return {"action": "accept", "content": {"answer": "a"}}
    return {"outcome": {"outcome": "selected", "optionId": request["params"]["options"][0]["optionId"]}}


def carry_out(talk: Conversation, prompt: str) -> None:
    """Send a prompt and allow everything, up to its response, or to the end of the agent."""
    id_ = talk.start(prompt)
    if prompt == "silent":
        talk.cancel()
    while (message := talk.agent.read()).get("id") != id_ or "method" in message:
        if "id" in message:
            talk.agent.answer(message, answer(talk, message))


def test_every_command_and_every_method(recorded, workspace, tmp_path):
    (tmp_path / "server.py").write_text(MCP_SERVER)
    server = {"name": "x", "command": sys.executable, "args": [str(tmp_path / "server.py")], "env": []}
    recorded.call("initialize", protocolVersion=1, clientCapabilities=CAPABILITIES)
    opened = recorded.call("session/new", cwd=str(workspace), mcpServers=[server])["result"]
    talk = Conversation(recorded, workspace, opened["sessionId"])
    place = {"sessionId": talk.id, "cwd": str(workspace)}

    carry_out(talk, SCRIPT)
    carry_out(talk, "words that are no script")
    for suggested in ("Write a small Python script and run it", "Ask me what to write, then write it"):
        carry_out(talk, suggested)
    recorded.call("session/set_mode", sessionId=talk.id, modeId="full_access")
    recorded.call("session/set_config_option", sessionId=talk.id, configId="model", value="demo-large")
    recorded.call("session/list")
    recorded.call("session/load", **place, mcpServers=[])
    recorded.call("session/close", sessionId=talk.id)
    recorded.call("session/resume", **place)
    for end in ENDS[:-1]:
        carry_out(talk, end)
    other = recorded.call("session/new", cwd=str(workspace), mcpServers=[])["result"]["sessionId"]
    recorded.call("session/delete", sessionId=other)
    for method, params in (("session/close", {"sessionId": other}), ("session/new", {}), ("no/such", {})):
        recorded.call(method, **params)
    with pytest.raises(EOFError):
        carry_out(talk, ENDS[-1])

    assert problems(recorded.messages) == []
    assert {type(command) for command in parse("\n".join((SCRIPT, *ENDS)))} == set(get_args(Command)) - {Deaf}
    updates = {params["update"]["sessionUpdate"] for name, params in recorded.messages if name == "session/update"}
    assert updates == {
        "agent_message_chunk", "agent_thought_chunk", "available_commands_update", "config_option_update",
        "current_mode_update", "plan", "session_info_update", "tool_call", "tool_call_update", "usage_update",
        "user_message_chunk", *OPTIONAL,
    }  # fmt: skip
    assert {"session/request_permission", "elicitation/create", "error"} <= {name for name, _ in recorded.messages}


def test_a_client_without_capabilities_gets_none_of_what_needs_them(recorded, workspace, tmp_path):
    recorded.call("initialize", protocolVersion=1, clientCapabilities=CAPABILITIES)
    talk = Conversation(recorded, workspace)
    talk.answer = "allow_once"
    carry_out(talk, SCRIPT)
    seen = len(recorded.messages)

    offered = recorded.call("initialize", protocolVersion=1, clientCapabilities={"session": None, "auth": 3})["result"]
    recorded.call("session/load", sessionId=talk.id, cwd=str(workspace), mcpServers=[])
    carry_out(talk, SCRIPT)
    (tmp_path / "login").unlink()
    refused = recorded.call("session/new", cwd=str(workspace), mcpServers=[])
    updates = [params["update"] for name, params in recorded.messages[seen:] if name == "session/update"]
    assert not OPTIONAL & {update["sessionUpdate"] for update in updates}
    text = "".join(update["content"]["text"] for update in updates if update["sessionUpdate"] == "agent_message_chunk")
    for instead in ("Warning: Little space\n3 % are left", "no compactions.", "no plan operations.", "no subagents."):
        assert instead in text
    assert offered["authMethods"] == []
    assert refused["error"]["code"] == -32000


def test_what_is_wrong_is_found():
    wrong = [
        ["session/update", {"sessionId": "a", "update": {"sessionUpdate": "no_such_update"}}],
        ["session/update", {"sessionId": "a", "update": {"sessionUpdate": "session_info_update", "titel": "x"}}],
        ["session/prompt", {"stopReason": "end_turn", "usage": {"inputTokens": "many"}}],
        ["session/update", {"sessionId": "a", "update": {"sessionUpdate": "subagent_update", "state": {}}}],
        [
            "session/update",
            {"sessionId": "a", "update": {"sessionUpdate": "subagent_update", "sessionId": "b", "x": 1}},
        ],
        ["no/such", {}],
    ]
    assert [found[:2] for found in problems(wrong)] == wrong
