"""Sessions outlive the process: list, load, resume, close, delete, and the agent's memory."""

from __future__ import annotations

import json

import pytest

from session_widgets.demo.memory import Memory
from tests.harnesses.driver import Conversation, DemoProcess, Reply, shown


def load(agent: DemoProcess, talk: Conversation) -> tuple[Reply, dict]:
    before, response = agent.collect(agent.send("session/load", sessionId=talk.id, cwd=str(talk.cwd), mcpServers=[]))
    return Reply(updates=[message["params"]["update"] for message in before]), response


def history_block(*turns: tuple[str, str]) -> dict:
    text = json.dumps({"turns": [{"prompt": prompt, "answer": answer} for prompt, answer in turns]})
    return {
        "type": "resource",
        "resource": {"uri": "session-widgets:history/1", "mimeType": "application/json", "text": text},
    }


def test_remember_counts_earlier_turns(talk):
    assert talk.prompt("remember").text == "0 earlier turns: this is the first prompt."
    assert talk.prompt("remember").text == "1 earlier turn; the first prompt was: remember"
    assert talk.prompt("remember").text == "2 earlier turns; the first prompt was: remember"


def test_load_replays_after_a_restart(start_agent, workspace):
    agent = start_agent()
    talk = Conversation(agent, workspace)
    agent.call("session/set_config_option", sessionId=talk.id, configId="model", value="demo-large")
    told = talk.prompt("say one two\nwrite a.txt <<E\nx\nE\nrun exit 4\nplan a; b\nthink hm")
    talk.prompt("say last")
    agent.kill()

    replayed, response = load(start_agent(), talk)
    assert [update["content"]["text"] for update in replayed.of("user_message_chunk")] == [
        "say one two\nwrite a.txt <<E\nx\nE\nrun exit 4\nplan a; b\nthink hm",
        "say last",
    ]
    assert replayed.text == told.text + "last"
    assert replayed.thought.startswith(told.thought)
    assert replayed.of("plan") == told.of("plan")
    assert [{**tool, "statuses": []} for tool in replayed.tools()] == [
        {**tool, "statuses": []} for tool in told.tools()
    ]
    assert replayed.of("usage_update") == []
    options = {option["id"]: option["currentValue"] for option in response["result"]["configOptions"]}
    assert options == {"mode": "ask", "model": "demo-large", "effort": "low"}


def test_resume_is_silent_and_remembers(start_agent, workspace):
    talk = Conversation(start_agent(), workspace)
    before = talk.prompt("say one").result["usage"]
    talk.agent.kill()

    agent = start_agent()
    messages, response = agent.collect(agent.send("session/resume", sessionId=talk.id, cwd=str(workspace)))
    assert messages == []
    assert response["result"]["modes"]["currentModeId"] == "ask"
    reply = Conversation(agent, workspace, talk.id).prompt("remember")
    assert reply.text == "1 earlier turn; the first prompt was: say one"
    assert reply.result["usage"]["cachedReadTokens"] == before["totalTokens"]


def test_killed_in_a_tool_call(start_agent, workspace):
    talk = Conversation(start_agent(), workspace)
    talk.finish(
        talk.start("say before\nwait 300"),
        until=lambda reply: reply.updates and reply.updates[-1].get("status") == "in_progress",
    )
    talk.agent.kill()

    agent = start_agent()
    replayed, _ = load(agent, talk)
    assert replayed.text == "before"
    (tool,) = replayed.tools()
    assert (tool["status"], shown(tool)) == ("failed", "Interrupted.")
    reply = Conversation(agent, workspace, talk.id).prompt("remember")
    assert reply.text.startswith("1 earlier turn;")


def test_list(start_agent, tmp_path):
    agent = start_agent()
    talks = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        talks.append(Conversation(agent, tmp_path / name))
        talks[-1].prompt(f"say in\n\nsay {name} " + "x" * 200)
    a, b = talks
    agent.kill()

    agent = start_agent()
    listed = agent.call("session/list")["result"]["sessions"]
    assert [entry["sessionId"] for entry in listed] == [b.id, a.id]
    assert listed[1]["cwd"] == str(tmp_path / "a")
    assert listed[1]["title"].startswith("say in say a xxx")
    assert len(listed[1]["title"]) == 80
    assert listed[1]["updatedAt"].endswith("+00:00")
    (entry,) = agent.call("session/list", cwd=str(tmp_path / "a"))["result"]["sessions"]
    assert entry["sessionId"] == a.id
    assert agent.call("session/list", cwd="/elsewhere")["result"]["sessions"] == []


def test_state_is_part_of_the_workspace_by_default(talk, shared_agent, workspace):
    talk.prompt("say x")
    path = workspace / ".harness" / "demo" / f"{talk.id}.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    (entry,) = shared_agent.call("session/list", cwd=str(workspace))["result"]["sessions"]
    assert entry["sessionId"] == talk.id


def test_close_ends_the_turn_and_keeps_the_file(talk, shared_agent, workspace):
    id_ = talk.start("wait 300")
    talk.finish(id_, until=lambda reply: reply.updates)
    close = shared_agent.send("session/close", sessionId=talk.id)
    reply = talk.finish(id_)
    assert reply.stop_reason == "cancelled"
    assert shared_agent.collect(close)[1]["result"] == {}
    assert talk.prompt("say x").error["code"] == -32002
    assert shared_agent.call("session/resume", sessionId=talk.id, cwd=str(workspace))["result"]
    assert talk.prompt("say x").text == "x"


def test_delete_removes_the_file(start_agent, workspace):
    agent = start_agent()
    open_one, stored = Conversation(agent, workspace), Conversation(agent, workspace)
    agent.call("session/close", sessionId=stored.id)
    for talk in (open_one, stored):
        assert agent.call("session/delete", sessionId=talk.id)["result"] == {}
        assert agent.call("session/load", sessionId=talk.id, cwd=str(workspace), mcpServers=[])["error"]
    assert agent.call("session/list")["result"]["sessions"] == []


def test_replayed_history_counts_as_memory(start_agent, workspace):
    talk = Conversation(start_agent(), workspace)
    block = history_block(("first ever", "answer one"), ("second", "answer two"))
    reply = talk.prompt([block, {"type": "text", "text": "remember"}])
    assert reply.text == "2 earlier turns; the first prompt was: first ever"
    assert reply.result["usage"]["cachedReadTokens"] == 7
    assert reply.result["usage"]["inputTokens"] == 1
    assert talk.prompt("remember").text == "3 earlier turns; the first prompt was: first ever"
    talk.agent.kill()

    agent = start_agent()
    replayed, _ = load(agent, talk)
    assert [update["content"]["type"] for update in replayed.of("user_message_chunk")] == ["resource", "text", "text"]
    reply = Conversation(agent, workspace, talk.id).prompt("remember")
    assert reply.text == "4 earlier turns; the first prompt was: first ever"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"turns": 3}', '{"turns": [1]}', '{"turns": [{}]}'])
def test_history_that_cannot_be_read_is_left_out(talk, text):
    block = history_block()
    block["resource"]["text"] = text
    reply = talk.prompt([block, {"type": "text", "text": "remember"}])
    assert reply.text == "0 earlier turns: this is the first prompt."


def test_another_resource_is_no_history(talk):
    block = history_block(("first ever", "answer"))
    block["resource"]["uri"] = "file:///session-widgets:history"
    reply = talk.prompt([block, {"type": "text", "text": "remember"}])
    assert reply.text.startswith("0 earlier turns")


def test_a_torn_last_line_costs_only_itself(tmp_path):
    memory = Memory.create(tmp_path, "s", "/w")
    memory.append({"type": "prompt", "blocks": [{"type": "text", "text": "say one"}]})
    with memory.path.open("ab") as file:
        file.write(b'{"type":"update","upd')
    again = Memory(memory.path)
    again.append({"type": "prompt", "blocks": [{"type": "text", "text": "say two"}]})
    assert Memory(memory.path).prompts == ["say one", "say two"]


def test_foreign_files_are_not_sessions(talk, shared_agent, workspace):
    folder = workspace / ".harness" / "demo"
    (folder / "junk.jsonl").write_bytes(b"\xff\n[]\n3\n")
    (folder / "empty.jsonl").write_bytes(b"")
    (folder / "odd.jsonl").write_text('{"type":"session"}\n')
    (folder / "strange.jsonl").write_text(
        '{"type":"session","id":"strange","cwd":"/w"}\n{"type":"prompt","blocks":[3]}\n'
    )
    (folder / "renamed.jsonl").write_bytes((folder / f"{talk.id}.jsonl").read_bytes())
    listed = shared_agent.call("session/list", cwd=str(workspace))["result"]["sessions"]
    assert [entry["sessionId"] for entry in listed] == [talk.id]


def test_unknown_sessions(shared_agent, workspace):
    for method in ("session/load", "session/resume"):
        response = shared_agent.call(method, sessionId="unknown", cwd=str(workspace), mcpServers=[])
        assert response["error"]["code"] == -32002
    assert shared_agent.call("session/close", sessionId="unknown")["error"]["code"] == -32002
    assert shared_agent.call("session/delete", sessionId="unknown")["result"] == {}


@pytest.mark.parametrize("method", ["session/load", "session/resume", "session/delete"])
@pytest.mark.parametrize("hostile", ["../../etc/passwd", "a/b", "", "x\x00y", "a" * 129])
def test_hostile_session_ids(shared_agent, workspace, method, hostile):
    params = {"cwd": str(workspace), "mcpServers": []} if method != "session/delete" else {}
    response = shared_agent.call(method, sessionId=hostile, **params)
    assert response["error"]["code"] == -32602


def test_two_processes_can_append_to_one_session(start_agent, workspace):
    first = Conversation(start_agent(), workspace)
    first.prompt("say x")
    agent = start_agent()
    agent.call("session/resume", sessionId=first.id, cwd=str(workspace))
    second = Conversation(agent, workspace, first.id)
    second.prompt("say y")
    first.prompt("say z")
    agent = start_agent()
    replayed, _ = load(agent, first)
    assert replayed.text == "xyz"
