"""Steps as the page gets them, whatever the agent put into them."""

from __future__ import annotations

import base64
import json

import pytest

from session_widgets.errors import BadValue
from session_widgets.transcript.fold import Fold
from session_widgets.transcript.options import AgentOptions
from session_widgets.transcript.records import Step
from session_widgets.widgets import _wire
from session_widgets.widgets._parts import step_image, step_text
from session_widgets.widgets._views import CLIP
from session_widgets.widgets._wire import session_view, settings_view, step_view, turn_view
from tests.widgets.scripted import Scripted, diff, text

DEMO = {"title": "Demo", "version": "1", "suggestions": ["Look around"]}


def last(session: Scripted) -> Step:
    fold = Fold(session.id)
    for event in session.events:
        fold.feed(event)
    return fold.steps[-1]


def tool(session: Scripted, **fields) -> Step:
    session.begin("hello")
    session.tool("t", title="Tool", **fields)
    return last(session)


def test_output_diff_and_command_are_separate_parts(session):
    step = tool(session, kind="execute", rawInput={"command": ["ls", "-l"]}, content=[text("out"), diff("a", "1", "2")])
    view = step_view(step)["tool"]
    assert view["command"] == {"text": "ls -l", "length": 5}
    assert view["input"] is None
    assert view["blocks"] == [
        {"type": "text", "body": {"text": "out", "length": 3}},
        {"type": "diff", "path": "a", "old": {"text": "1", "length": 1}, "new": {"text": "2", "length": 1}},
    ]
    assert [step_text(step, part) for part in ("blocks.0", "blocks.1.old", "blocks.1.new")] == ["out", "1", "2"]
    assert [step_text(step, part) for part in ("command", "input", "locations")] == ["ls -l", "", ""]


def test_all_of_the_input_is_drawn_and_what_is_cut_says_so(session):
    raw = {"command": ["sh", "-c", "a b"], "env": {"LD_PRELOAD": "evil.so"}, "cwd": "/", "stdin": "x" * 9000}
    locations = [{"path": "/etc/passwd", "line": 3}, *({"path": f"f{n}"} for n in range(1000))]
    step = tool(session, kind="execute", rawInput=raw, locations=locations)
    view = step_view(step)["tool"]
    assert view["command"]["text"] == "sh -c 'a b'"
    assert json.loads(step_text(step, "input")) == {name: raw[name] for name in ("env", "cwd", "stdin")}
    for name in ("input", "locations"):
        assert len(view[name]["text"]) < view[name]["length"] == len(step_text(step, name))
    assert view["locations"]["text"].startswith("/etc/passwd:3\nf0\n")
    assert step_text(step, "locations").endswith("f999")


def test_beside_a_diff_stands_what_the_diff_does_not_say(session):
    raw = {"file_path": "a", "old_string": "1", "new_string": "2", "replace_all": True}
    step = tool(session, kind="edit", rawInput=raw, content=[diff("a", "1", "2")])
    assert json.loads(step_text(step, "input")) == {"replace_all": True}
    other = tool(session, kind="edit", rawInput=raw, content=[diff("b", "1", "2"), diff("a", "1", "2")])
    assert json.loads(step_text(other, "input")) == raw
    hidden = tool(session, rawInput={"command": "sh", "content": "rm -r ."}, content=[diff("a", None, "rm -r .")])
    assert json.loads(step_text(hidden, "input")) == {"content": "rm -r ."}


def test_a_long_command_says_where_it_is_cut(session):
    command = "echo " + "x" * CLIP + "; rm -r ~"
    step = tool(session, kind="execute", rawInput={"command": command})
    assert step_view(step)["tool"]["command"] == {"text": command[:CLIP], "length": len(command)}
    assert step_text(step, "command") == command


@pytest.mark.parametrize("said", ["rm -r x", "$ rm -r x", "$ rm -r x\n"])
def test_a_command_that_is_also_the_content_is_shown_once(session, said):
    step = tool(session, kind="execute", rawInput={"command": "rm -r x"}, content=[text(said), text("out")])
    assert step_view(step)["tool"]["blocks"] == [{"type": "text", "body": {"text": "out", "length": 3}}]
    assert step_text(step, "blocks.0") == "out"


def test_more_than_the_command_is_no_repetition(session):
    step = tool(session, kind="execute", rawInput={"command": "ls"}, content=[text("$ ls -a"), text("$ ls\na")])
    assert [block["body"]["text"] for block in step_view(step)["tool"]["blocks"]] == ["$ ls -a", "$ ls\na"]


@pytest.mark.parametrize("part", ["blocks.9", "blocks.-1", "blocks.x", "blocks.1.path", "nothing", "", "blocks.0.old"])
def test_a_part_that_is_not_there_is_refused(session, part):
    with pytest.raises(BadValue):
        step_text(tool(session, content=[text("out"), diff("a", None, "2")]), part)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [("plain", "plain"), ({"stdout": "so", "code": 0}, "so"), ({"a": 1}, '{\n  "a": 1\n}'), (None, None)],
)
def test_raw_output_stands_in_where_there_is_no_content(session, raw, shown):
    blocks = step_view(tool(session, rawOutput=raw))["tool"]["blocks"]
    assert [block["body"]["text"] for block in blocks] == ([shown] if shown else [])


@pytest.mark.parametrize(
    "content",
    [[], [{}], [{"type": "content"}], [{"type": "content", "content": {"type": "hologram"}}], [{"type": "diff"}]],
)
def test_content_of_any_shape_is_drawn_somehow(session, content):
    assert "tool" in step_view(tool(session, content=content))


def nested(levels: int = 5000) -> list:
    value: list = ["the end"]
    for _ in range(levels):
        value = [value]
    return value


def test_json_of_any_depth_is_drawn_whole(session):
    step = tool(session, rawInput={"deep": nested()}, rawOutput=nested())
    view = step_view(step)["tool"]
    for part, shown in (("input", view["input"]), ("blocks.0", view["blocks"][0]["body"])):
        whole = step_text(step, part)
        assert "the end" in whole
        assert shown["length"] == len(whole)
    odd = tool(
        session, locations=[{"path": nested()}], content=[{"type": "diff", "path": nested(), "newText": nested()}]
    )
    assert "the end" in step_text(odd, "locations")
    assert "the end" in step_text(odd, "blocks.0.new")
    session.plan((nested(), nested()))
    assert step_view(last(session))["kind"] == "plan"


def test_a_step_that_cannot_be_read_says_so_and_keeps_its_request(session, monkeypatch):
    session.begin("hello")
    session.tool("t", title="Odd", rawInput={"a": 1})
    session.ask(7, toolCallId="t")
    monkeypatch.setattr(_wire, "input_text", lambda step: 1 / 0)
    view = step_view(last(session))["tool"]
    assert view["permission"]["request"] == "/7"
    assert "ZeroDivisionError" in view["blocks"][0]["label"]


def test_all_texts_of_a_step_share_one_limit(session):
    blocks = [diff(f"f{i}", "o" * 100_000, "n" * 100_000) for i in range(5)] + [text("t" * 100_000)]
    view = step_view(tool(session, content=blocks, rawInput={"x": "y" * 100_000}))
    assert len(json.dumps(view)) < CLIP + 5000
    assert view["tool"]["blocks"][-1]["body"] == {"text": "", "length": 100_000}


def test_an_image_is_described_and_sent_on_demand(session):
    data = base64.b64encode(b"\x89PNG....").decode()
    content = [{"type": "content", "content": {"type": "image", "mimeType": "image/png", "data": data}}]
    step = tool(session, content=content)
    assert step_view(step)["tool"]["blocks"][0] == {"type": "image", "mime": "image/png", "size": 9}
    assert step_image(step, 0) == b"\x89PNG...."
    with pytest.raises(BadValue):
        step_image(step, 1)


def test_an_svg_from_an_agent_is_no_image(session):
    content = [{"type": "content", "content": {"type": "image", "mimeType": "image/svg+xml", "data": "PHN2Zz4="}}]
    assert step_view(tool(session, content=content))["tool"]["blocks"][0]["type"] == "note"


def test_half_a_character_does_not_break_the_socket(session):
    session.begin("hello")
    session.say("a\ud83d")
    json.dumps(step_view(last(session)), ensure_ascii=False).encode()
    session.tool("t", title="\ud83d", content=[text("\udc00"), diff("\ud83d", "\ud83d", "\ud83d")])
    json.dumps(step_view(last(session)), ensure_ascii=False).encode()


def test_a_turn_and_its_session(session):
    session.begin("hello")
    files = [{"path": "a", "change": "created", "size": 3}]
    session.end(usage={"inputTokens": 7, "outputTokens": 2}, files=files)
    fold = Fold(session.id)
    for event in session.events:
        fold.feed(event)
    view = turn_view(fold.turn(1), ("/w", "directory"))
    assert (view["status"], view["stop_reason"], view["files"]) == ("completed", "end_turn", files)
    assert (view["usage"]["input"], view["usage"]["output"], view["usage"]["cost"]) == (7, 2, None)
    session = session_view(fold.session(), "/w", DEMO, None, "ask")
    assert (session["harness"], session["root"], session["attachment"]) == ("demo", "/w", "directory")


def test_what_became_of_a_turn_s_files(session):
    session.begin("hello")
    session.note("persist_started", attachment="sync")
    fold = Fold(session.id)
    for event in session.events:
        fold.feed(event)
    view = turn_view(fold.turn(1), ("s3://b/p", "sync"))
    assert (view["saving"], view["durable_at"], view["durability_error"]) == (True, None, None)
    assert (view["workspace"], view["attachment"]) == ("s3://b/p", "sync")
    session.end(durable_at="2026-11-21T12:00:00+00:00", durability_error="disk: \ud83d" + "x" * 10_000)
    fold.feed(session.events[-1])
    view = turn_view(fold.turn(1), ("s3://\ud83d", "sync"))
    assert (view["saving"], view["durable_at"]) == (False, 1795262400000)
    assert len(view["durability_error"]) == 8000
    json.dumps(view, ensure_ascii=False).encode()


def test_a_sandbox_is_awake_until_it_is_parked_or_gone(session):
    def running() -> bool:
        fold = Fold(session.id)
        for event in session.events:
            fold.feed(event)
        return session_view(fold.session(), "/w", DEMO, None, "ask")["sandbox_running"]

    assert not running()
    for why in ("parked", "gone"):
        session.note("sandbox_started", ref="local:1")
        assert running()
        session.note("sandbox_stopped", ref="local:1", reason=why)
        assert not running()


def test_what_an_agent_offers_is_bounded_and_can_come_back_as_it_was():
    hostile = [{"value": "a\ud800", "name": "x"}, {"value": "b" * 301}, {"value": "ok", "name": "\ud800" * 500}]
    many = [{"value": str(number)} for number in range(1000)]
    offers = AgentOptions(
        [
            {"id": "m", "category": "model", "currentValue": "ok", "options": hostile},
            {"id": "e", "category": "thought_level", "currentValue": 7, "options": many},
        ]
    )
    model, effort = settings_view(offers)
    assert (model["name"], model["current"], [choice["id"] for choice in model["choices"]]) == ("model", "ok", ["ok"])
    assert len(model["choices"][0]["name"]) == 200
    assert (effort["current"], len(effort["choices"])) == (None, 300)
    json.dumps([model, effort], ensure_ascii=False).encode()


def test_a_subagent_and_a_compaction_have_a_headline_and_their_text(session):
    session.begin("hello")
    session.update("subagent_update", sessionId="child", title="T\u202e", state={"state": "running"})
    message = {"senderSessionId": "a", "recipientSessionId": "child"}
    session.update("session_message", **message, content=[{"type": "text", "text": "the task"}])
    view = step_view(last(session))
    assert (view["headline"], view["body"]["text"], view["nested"]) == ("T\u202e · works", "the task", False)
    session.emit(
        "in",
        "agent_message_chunk",
        {"params": {"sessionId": "child", "update": {"content": {"type": "text", "text": "x"}}}},
        method="session/update",
    )
    assert step_view(last(session))["nested"] is True
    session.update(
        "compaction_update", compactionId="c", status="completed", summary=[{"type": "text", "text": "short"}]
    )
    assert step_view(last(session))["headline"] == "Context compacted"
