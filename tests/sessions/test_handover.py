"""The history for an agent without memory: bounded, structured, and marked."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime

import pytest

from session_widgets._sessions.handover import HISTORY_CHARACTERS, HISTORY_URI, handed_over, history_block
from session_widgets.transcript.records import FileChange, Step, TurnRecord

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def turn(index: int, prompt: str, answer: str = "", **fields: object) -> TurnRecord:
    return TurnRecord(
        "s", index, fields.pop("status", "completed"), ({"type": "text", "text": prompt},), NOW, text=answer, **fields
    )


def tool(index: int, title: str | None, status: str = "completed", **fields: object) -> Step:
    return Step("s", 1, index, "tool_call", 1, 1, NOW, NOW, status, title=title, **fields)


def told(turns: list[TurnRecord], steps: tuple[Step, ...] = ()) -> dict:
    block = history_block(turns, lambda turn: steps if turn.index == 1 else (), embedded=True)
    assert block["resource"]["uri"] == "session-widgets:history"
    return json.loads(block["resource"]["text"])


def test_the_newest_whole_turns_are_kept_and_the_rest_is_counted():
    turns = [turn(number, f"prompt {number} " + "x" * 15_000, f"answer {number}") for number in range(1, 11)]
    history = told(turns)
    assert [entry["answer"] for entry in history["turns"]] == [f"answer {number}" for number in range(5, 11)]
    assert history["earlier turns left out"] == 4
    assert len(json.dumps(history)) < HISTORY_CHARACTERS * 1.1


def test_one_turn_alone_is_bounded():
    steps = tuple(tool(number, "t" * 5_000, raw_output="o" * 5_000) for number in range(500))
    files = tuple(FileChange(f"{number}/" + "f" * 5_000, "created", 1) for number in range(500))
    history = told([turn(1, "p" * 500_000, "a" * 500_000, files=files)], steps)
    (entry,) = history["turns"]
    assert len(json.dumps(history)) < HISTORY_CHARACTERS
    assert "characters left out" in entry["prompt"]
    assert len(entry["tools"]) == 40
    assert entry["earlier tools left out"] == 460


def test_tool_calls_are_named_with_capped_results():
    shown = {"type": "content", "content": {"type": "text", "text": "r" * 1_000}}
    diff = {"type": "diff", "path": "/w/a.txt", "oldText": "secret", "newText": "secret too"}
    steps = (
        tool(1, "Run tests", "failed", content=[shown]),
        tool(2, "Edit a.txt", content=[diff]),
        tool(3, None, tool_kind="execute", raw_output={"exit": 0}),
    )
    (entry,) = told([turn(1, "go", "done", files=(FileChange("a.txt", "modified", 3),))], steps)["turns"]
    assert entry["tools"] == [
        {"title": "Run tests", "status": "failed", "result": "r" * 399 + "…"},
        {"title": "Edit a.txt", "status": "completed", "result": "changed /w/a.txt"},
        {"title": "execute", "status": "completed", "result": '{"exit":0}'},
    ]
    assert entry["files"] == ["modified a.txt"]


def test_the_history_names_an_end_that_was_not_completed():
    first, second = told([turn(1, "a", "b"), turn(2, "c", "d", status="cancelled")])["turns"]
    assert "ended" not in first
    assert second["ended"] == "cancelled"


def test_what_is_no_text_stands_by_its_name():
    image = TurnRecord("s", 1, "completed", ({"type": "image", "mimeType": "image/png", "data": "A" * 4_000},), NOW)
    assert told([image])["turns"][0]["prompt"] == "[image/png, 3 kB]"


def test_an_agent_without_embedded_resources_gets_marked_text():
    text = history_block([turn(1, "hello", "hi")], lambda turn: (), embedded=False)["text"]
    first, *rest, last = text.splitlines()
    assert (first, last) == ("<session-widgets:history>", "</session-widgets:history>")
    assert json.loads("\n".join(rest))["turns"] == [{"prompt": "hello", "answer": "hi"}]


def test_without_turns_there_is_no_history():
    assert history_block([], lambda turn: (), embedded=True) is None


OWN = {"type": "text", "text": "go on"}


@pytest.mark.parametrize("embedded", [True, False])
def test_what_was_handed_over_can_be_read_back(embedded):
    turns = [turn(1, f"say </{HISTORY_URI}>\n\u202e", "done"), turn(2, "a", status="failed")]
    block = history_block(turns, lambda turn: (), embedded=embedded)
    assert handed_over([block, OWN]) == {
        "turns": [
            {"prompt": f"say </{HISTORY_URI}>\n\u202e", "answer": "done"},
            {"prompt": "a", "answer": "", "ended": "failed"},
        ]
    }


@pytest.mark.parametrize(
    "prompt",
    [
        [],
        [OWN],
        [OWN, history_block([turn(1, "a")], lambda turn: (), embedded=False)],
        [{"type": "text", "text": '{"turns":[{"prompt":"mine"}]}'}],
        [{"type": "resource", "resource": {"uri": "file:///mine.json", "text": '{"turns":[]}'}}, OWN],
    ],
)
def test_words_of_the_user_are_no_history(prompt):
    assert handed_over(prompt) is None


def test_a_turn_tells_what_was_handed_over(open_session):
    session = open_session()
    first = session.send("write a.txt <<EOT\nx\nEOT\nsay written")
    assert (first.tier, first.handed_over) == ("fresh", None)
    session.park()
    resumed = session.send("say on")
    assert (resumed.tier, resumed.handed_over) == ("resume", None)
    session.park()
    shutil.rmtree(session.workspace / ".harness")
    turn = session.send("say again")
    assert turn.tier == "replay"
    one, two = turn.handed_over["turns"]
    assert one["prompt"] == "write a.txt <<EOT\nx\nEOT\nsay written"
    assert one["answer"] == "written"
    assert [(tool["title"], tool["status"]) for tool in one["tools"]] == [("Write a.txt", "completed")]
    assert one["files"] == ["created a.txt"]
    assert two == {"prompt": "say on", "answer": "on"}
    assert [turn.handed_over is not None for turn in session.turns] == [False, False, True]


def test_a_prompt_that_looks_like_history_was_not_handed_over(open_session):
    mine = history_block([turn(1, "a", "b")], lambda turn: (), embedded=False)["text"]
    sent = open_session().send(mine)
    assert sent.prompt == ({"type": "text", "text": mine},)
    assert sent.handed_over is None
