"""Messages of a turn: text, plans, tool calls, usage, errors."""

from __future__ import annotations

import json
import os
import time

import pytest

from tests.harnesses.driver import Conversation, DemoProcess, Reply, alive, chunks, outcome, shown, wait_dead
from tests.support.waiting import until


def test_say_streams_words(talk):
    reply = talk.prompt("say  one two  three")
    assert [update["content"]["text"] for update in reply.of("agent_message_chunk")] == ["one ", "two  ", "three"]
    assert reply.result == {
        "stopReason": "end_turn",
        "usage": {
            "inputTokens": 4,
            "outputTokens": 3,
            "thoughtTokens": 0,
            "cachedReadTokens": 0,
            "totalTokens": 7,
        },
    }
    assert reply.of("usage_update") == [{"sessionUpdate": "usage_update", "used": 7, "size": 32_000}]


def test_messages_in_a_row_are_paragraphs_and_thoughts_stand_apart(talk):
    reply = talk.prompt("say a\nsay b\nthink c\nsay d")
    assert reply.text == "a\n\nbd"
    assert reply.thought == "c"


def test_usage_counts_what_came_before(talk):
    talk.prompt("say one two")
    usage = talk.prompt("think three").result["usage"]
    assert usage == {
        "inputTokens": 2,
        "outputTokens": 0,
        "thoughtTokens": 1,
        "cachedReadTokens": 5,
        "totalTokens": 8,
    }


def test_hostile_text_arrives_as_it_was(talk):
    text = "<script>x</script> [a](javascript:y) \x1b[31mred \u202egnp.exe \u2028 end"
    assert talk.prompt(f"say {text}").text == text


def test_a_word_of_five_megabytes_is_one_chunk(talk):
    reply = talk.prompt("say " + "x" * 5_000_000)
    assert [len(update["content"]["text"]) for update in reply.of("agent_message_chunk")] == [5_000_000]


def test_plan_is_ticked_off(talk):
    plans = talk.prompt("plan a; b; c\nsay x\nsay y").of("plan")
    assert [[entry["status"] for entry in plan["entries"]] for plan in plans] == [
        ["in_progress", "pending", "pending"],
        ["completed", "in_progress", "pending"],
        ["completed", "completed", "in_progress"],
        ["completed", "completed", "completed"],
    ]
    assert [entry["content"] for entry in plans[0]["entries"]] == ["a", "b", "c"]


def test_stream_sends_n_chunks_in_order(talk):
    reply = talk.prompt("stream 20000")
    assert len(reply.of("agent_message_chunk")) == 20_000
    assert reply.text == "".join(f"chunk {n} " for n in range(20_000))


def test_write_shows_a_diff_and_writes(talk, workspace):
    reply = talk.prompt("write sub/a.txt <<EOT\nnew\nEOT")
    (tool,) = reply.tools()
    path = str(workspace / "sub" / "a.txt")
    assert tool["kind"] == "edit"
    assert tool["title"] == "Write sub/a.txt"
    assert tool["locations"] == [{"path": path}]
    assert tool["rawInput"] == {"path": "sub/a.txt", "content": "new\n"}
    assert tool["content"] == [{"type": "diff", "path": path, "oldText": None, "newText": "new\n"}]
    assert tool["statuses"] == ["pending", "in_progress", "completed"]
    assert (workspace / "sub" / "a.txt").read_text() == "new\n"

    (again,) = talk.prompt("write sub/a.txt <<EOT\nnewer\nEOT").tools()
    assert again["content"] == [{"type": "diff", "path": path, "oldText": "new\n", "newText": "newer\n"}]
    assert [entry.name for entry in (workspace / "sub").iterdir()] == ["a.txt"]


def test_write_keeps_the_mode_of_a_file(talk, workspace):
    script = workspace / "x.sh"
    script.write_text("old")
    script.chmod(0o750)
    talk.prompt("write x.sh <<EOT\nnew\nEOT")
    assert script.read_text() == "new\n"
    assert script.stat().st_mode & 0o777 == 0o750


def test_read_shows_the_file(talk, workspace):
    (workspace / "a.txt").write_bytes("gr\u00fcn\n".encode() + b"\xff\n")
    (tool,) = talk.prompt("read a.txt").tools()
    assert (tool["kind"], tool["statuses"]) == ("read", ["pending", "in_progress", "completed"])
    assert shown(tool) == "gr\u00fcn\n\ufffd\n"
    assert tool["rawOutput"] == {"bytes": 8}


def test_read_of_a_huge_file_is_cut(talk, workspace):
    with (workspace / "huge").open("wb") as file:
        file.truncate(2**30)
    (tool,) = talk.prompt("read huge").tools()
    assert tool["status"] == "completed"
    assert shown(tool).endswith("[cut at 262144 bytes]")
    assert len(shown(tool)) < 263_000
    assert tool["rawOutput"] == {"bytes": 2**30}


def test_run_shows_output_and_exit_code(talk, workspace):
    (tool,) = talk.prompt("run pwd; printf '\\033[31mred\\033[0m\\n'; echo oops >&2; exit 3").tools()
    assert tool["kind"] == "execute"
    assert shown(tool) == f"{workspace}\n\x1b[31mred\x1b[0m\noops\n"
    assert tool["rawOutput"] == {"exitCode": 3}
    assert tool["statuses"] == ["pending", "in_progress", "failed"]


def test_run_streams_while_it_runs(talk, workspace):
    id_ = talk.start("run echo first; while ! test -e go; do sleep 0.02; done; echo second")
    reply = talk.finish(id_, until=lambda reply: "first\n" in json.dumps(reply.updates[-1:]).replace("\\n", "\n"))
    assert reply.updates[-1]["status"] == "in_progress"
    (workspace / "go").touch()
    (tool,) = talk.finish(id_, reply).tools()
    assert shown(tool) == "first\nsecond\n"
    assert tool["status"] == "completed"


def test_endless_output_is_kept_within_bounds(talk):
    start = time.monotonic()
    reply = talk.prompt("run yes 0123456789012345678901234567890123456789 | head -c 20000000")
    (tool,) = reply.tools()
    assert shown(tool).endswith(f"\n[{20_000_000 - 262_144} more bytes]")
    assert len(shown(tool)) < 263_000
    assert len(reply.updates) < 20 * (time.monotonic() - start) + 10


def test_what_a_command_leaves_behind_is_killed(talk, workspace):
    (tool,) = talk.prompt("run sleep 300 & echo $! > pid").tools()
    assert tool["status"] == "completed"
    wait_dead(int((workspace / "pid").read_text()))


def test_a_command_has_no_hand_on_the_protocol(talk):
    (tool,) = talk.prompt("run cat; ls -l /proc/self/fd/0").tools()
    assert "/dev/null" in shown(tool)


def test_run_that_cannot_start_fails_and_the_script_goes_on(talk):
    reply = talk.prompt("run echo a\x00b\nsay next")
    assert [tool["status"] for tool in reply.tools()] == ["failed"]
    assert reply.text == "next"


def test_wait_shows_life(talk):
    start = time.monotonic()
    reply = talk.prompt("wait 1.2")
    assert 1.2 <= time.monotonic() - start < 20
    (tool,) = reply.tools()
    assert tool["statuses"] == ["pending", "in_progress", "completed"]
    assert shown(tool) == "1 of 1.2 s"


def test_fail_is_a_json_rpc_error_and_the_session_lives(talk):
    reply = talk.prompt("say before\nfail no more credit")
    assert reply.error == {"code": -32603, "message": "no more credit", "data": None}
    assert reply.text == "before"
    assert talk.prompt("say after").text == "after"


def test_a_line_that_is_no_command_is_reported(talk):
    reply = talk.prompt("say a\nbogus `x`")
    assert "Line 2" in reply.text
    assert "bogus" in reply.text
    assert reply.stop_reason == "end_turn"


@pytest.mark.parametrize(
    "path", ["../x", "/etc/hostname", "a/../../x", "link/x", "out", "loop", "x\x00y", "n" * 300, "folder", "pipe"]
)
@pytest.mark.parametrize("command", ["read {}", "write {} <<EOT\nx\nEOT"])
def test_hostile_paths(talk, workspace, tmp_path, path, command):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("secret")
    (workspace / "link").symlink_to(outside)
    (workspace / "out").symlink_to(outside / "x")
    (workspace / "loop").symlink_to("loop")
    (workspace / "folder").mkdir()
    os.mkfifo(workspace / "pipe")
    reply = talk.prompt(f"{command.format(path)}\nsay next")
    (tool,) = reply.tools()
    assert tool["status"] == "failed"
    assert "secret" not in json.dumps(reply.updates)
    assert reply.permissions == []
    assert reply.text == "next"
    assert (outside / "x").read_text() == "secret"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["outside", "workspace"]


def test_paths_that_stay_inside_are_fine(talk, workspace):
    (workspace / "real").mkdir()
    (workspace / "link").symlink_to("real")
    reply = talk.prompt(f"write link/a <<E\n1\nE\nwrite {workspace}/b <<E\n2\nE\nwrite real/../c <<E\n3\nE")
    assert [tool["status"] for tool in reply.tools()] == ["completed"] * 3
    assert (workspace / "real" / "a").read_text() == "1\n"
    assert [tool["locations"][0]["path"] for tool in reply.tools()] == [
        str(workspace / "real" / "a"),
        str(workspace / "b"),
        str(workspace / "c"),
    ]


def test_write_onto_a_huge_file_shows_its_beginning(talk, workspace):
    with (workspace / "huge").open("wb") as file:
        file.truncate(2**30)
    (tool,) = talk.prompt("write huge <<E\nnew\nE").tools()
    assert tool["content"][0]["oldText"].endswith("[cut at 262144 bytes]")
    assert (workspace / "huge").read_text() == "new\n"


def test_write_onto_a_latin1_file_shows_what_it_can(talk, workspace):
    (workspace / "old").write_bytes(b"caf\xe9")
    (tool,) = talk.prompt("write old <<E\nnew\nE").tools()
    assert tool["content"][0]["oldText"] == "caf\ufffd"
    assert (workspace / "old").read_text() == "new\n"


def test_tool_calls_have_ids_of_their_own(talk, shared_agent, workspace):
    other = Conversation(shared_agent, workspace)
    ids = [
        tool["toolCallId"]
        for reply in (talk.prompt("wait 0\nwait 0"), talk.prompt("wait 0"), other.prompt("wait 0"))
        for tool in reply.tools()
    ]
    assert len(set(ids)) == 4


def test_crash_ends_the_process_with_the_code(start_agent, workspace):
    agent = start_agent()
    talk = Conversation(agent, workspace)
    reply = Reply()
    with pytest.raises(EOFError):
        talk.finish(talk.start("say last words\ncrash 7"), reply)
    assert agent.process.wait(5) == 7
    assert "crash 7" in agent.stderr()
    assert chunks(reply.updates, "agent_message_chunk") == "last words"
    agent.kill()

    agent = start_agent()
    agent.call("session/resume", sessionId=talk.id, cwd=str(workspace))
    assert Conversation(agent, workspace, talk.id).prompt("remember").text.startswith("1 earlier turn;")


@pytest.mark.parametrize("end", ["end of input", "SIGTERM"])
def test_the_end_of_the_agent_is_the_end_of_what_it_runs(start_agent, workspace, end):
    agent = start_agent()
    talk = Conversation(agent, workspace)
    talk.start("run echo $$ > pid; sleep 300 & echo $! > child; touch up; wait")
    talk.agent.answer(request := agent.read_until("session/request_permission"), outcome(request, "allow_once"))
    until(lambda: (workspace / "up").exists(), what="the command")
    pid, child = (int((workspace / name).read_text()) for name in ("pid", "child"))
    assert alive(pid)
    if end == "SIGTERM":
        agent.process.terminate()
        assert agent.process.wait(10) == 0
    else:
        assert agent.close() == 0
    wait_dead(pid)
    wait_dead(child)
    assert "Traceback" not in agent.stderr()


def test_prompts_in_plain_words_have_scripts_of_their_own(workspace, tmp_path):
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"Make it": ["write it.txt <<EOT", "made", "EOT", "say Made."]}))
    agent = DemoProcess(env={"DEMO_STATE_DIR": str(tmp_path / "state"), "DEMO_ANSWERS": str(answers)})
    try:
        talk = Conversation(agent, workspace)
        assert talk.prompt("Make it, please.").text == "Made."
        assert (workspace / "it.txt").read_text() == "made\n"
        assert "The workspace has" in talk.prompt("Something else").text
    finally:
        agent.kill()
