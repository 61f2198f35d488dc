"""Updates beside text, tools and one plan: compactions, notices, named plans, subagents, unknown ones."""

from __future__ import annotations

from typing import Any

import pytest

from session_widgets.transcript.options import AgentOptions
from session_widgets.transcript.steps import headline
from tests.transcript.script import Script

MAIN = "a1"
"""The session of the agent in a `Script`."""


@pytest.fixture
def s() -> Script:
    script = Script()
    script.note("session_changed", turn=None, title=None)
    return script


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def of(s: Script, session_id: str, kind: str, **fields: Any) -> None:
    """An update of a session of the agent."""
    params = {"sessionId": session_id, "update": {"sessionUpdate": kind, **fields}}
    s.event("in", "session/update", kind, {"params": params}, 1)


def rows(s: Script) -> list[tuple[Any, ...]]:
    return [(step.kind, step.status, step.text, step.parent) for step in s.steps]


def test_a_compaction_grows_and_ends(s: Script) -> None:
    s.update("compaction_update", compactionId="c", status="in_progress")
    for word in ("a ", "summary"):
        s.update("compaction_summary_chunk", compactionId="c", content=text(word))
    assert rows(s) == [("compaction", "in_progress", "a summary", None)]
    s.update("compaction_update", compactionId="c", status="completed", summary=[text("the summary")])
    assert rows(s) == [("compaction", "completed", "the summary", None)]
    assert headline(s.steps[-1]) == "Context compacted"
    s.update("compaction_update", compactionId="d", status="failed", error="no room")
    assert headline(s.steps[-1]) == "The context could not be compacted: no room"
    s.update("compaction_update", compactionId="e", status="in_progress")
    s.end("cancelled")
    assert (s.steps[-1].status, headline(s.steps[-1])) == (
        "cancelled",
        "The compaction of the context was stopped",
    )
    s.update("compaction_update", compactionId="e", status="in_progress")
    assert s.steps[-1].status == "cancelled", "what comes late opens nothing"


def test_compactions_have_names(s: Script) -> None:
    for name in ("c", "d"):
        s.update("compaction_update", compactionId=name, status="in_progress")
    s.update("compaction_summary_chunk", compactionId="c", content=text("of c"))
    assert s.steps[0].last_seq == s.seq
    s.update("compaction_update", compactionId="c", summary=[text("two"), text("blocks")])
    assert (s.steps[0].status, s.steps[0].last_seq) == ("in_progress", s.seq)
    s.update("compaction_summary_chunk", compactionId="c", content=text(" more"))
    s.update("compaction_update", compactionId="c", status="completed")
    assert rows(s) == [("compaction", "completed", "two\nblocks more", None), ("compaction", "in_progress", "", None)]
    assert (s.steps[0].last_seq, [change.index for change in s.changes]) == (s.seq, [1])
    s.end("cancelled")
    s.update("compaction_update", compactionId="e", status="in_progress")
    s.update("compaction_update", compactionId="f", status="completed")
    assert [step.status for step in s.steps] == ["completed", "cancelled", "unfinished", "completed"]


def test_a_compaction_may_begin_with_its_summary_or_with_an_error(s: Script) -> None:
    of(s, MAIN, "subagent_update", sessionId="child", title="T")
    of(s, "child", "compaction_summary_chunk", compactionId="c", content=text("a summary"))
    of(s, "child", "compaction_update", compactionId="c")
    assert (s.steps[1].raw_output, s.steps[1].last_seq) == (None, s.seq)
    of(s, "child", "compaction_update", compactionId="c", error="no room")
    assert (s.steps[1].raw_output, s.steps[1].last_seq) == ({"error": "no room"}, s.seq)
    assert rows(s)[1:] == [("compaction", "in_progress", "a summary", 1)]


def test_a_chunk_of_a_summary_only_adds_text(s: Script) -> None:
    s.update("compaction_update", compactionId="c", status="in_progress")
    s.update("compaction_summary_chunk", compactionId="c", content=text("more"))
    assert [change.append for change in s.changes] == ["more"]


def test_a_notice_is_a_row(s: Script) -> None:
    s.say("one")
    s.update("notice", severity="warning", title="Low on credit", description="Top up")
    s.update("notice", severity="info", title="Hello")
    s.update("notice", severity="info")
    s.say("two")
    assert rows(s)[1:4] == [
        ("notice", "completed", "Low on credit\nTop up", None),
        ("notice", "completed", "Hello", None),
        ("notice", "completed", "", None),
    ]
    assert s.steps[1].raw_input == {"severity": "warning"}
    assert s.fold.turn(1).text == "one\n\ntwo"


def test_plans_have_names(s: Script) -> None:
    entries = [{"content": "x", "status": "pending", "priority": "low"}]
    s.update("plan_update", plan={"planId": "p", "type": "items", "entries": entries})
    s.update("plan_update", plan={"planId": "q", "type": "markdown", "content": "# Do it"})
    s.update("plan_update", plan={"planId": "p", "type": "file", "uri": "file:///w/plan.md"})
    assert ([change.index for change in s.changes], s.steps[0].last_seq) == ([1], s.seq)
    s.update("plan_removed", planId="q")
    assert ([change.index for change in s.changes], s.steps[1].last_seq) == ([2], s.seq)
    s.update("plan_removed", planId="never there")
    assert s.changes == []
    assert rows(s) == [("plan", "completed", "file:///w/plan.md", None), ("plan", "cancelled", "# Do it", None)]
    s.update("plan", entries=entries)
    assert s.steps[-1].entries == tuple(entries)


def test_a_tool_call_has_a_name(s: Script) -> None:
    s.update("tool_call", toolCallId="t", title="Read a.txt", name="read_file")
    s.update("tool_call_update", toolCallId="t", status="completed")
    assert s.steps[-1].tool_name == "read_file"


def test_text_does_not_end_a_tool_call_whatever_its_status_is_called(s: Script) -> None:
    s.update("tool_call", toolCallId="t", status="running")
    s.say("meanwhile")
    assert [step.status for step in s.steps] == ["running", "running"]


def test_a_subagent_has_steps_and_usage_of_its_own(s: Script) -> None:
    s.say("I delegate. ")
    of(s, MAIN, "subagent_update", sessionId="child", title="Tests", state={"state": "running"})
    place = s.steps[-1].index
    of(s, MAIN, "session_message", senderSessionId=MAIN, recipientSessionId="child", content=[text("write tests")])
    of(s, "child", "agent_message_chunk", content=text("child "))
    of(s, MAIN, "agent_message_chunk", content=text("meanwhile "))
    of(s, "child", "agent_message_chunk", content=text("says"))
    of(s, MAIN, "agent_message_chunk", content=text("I wait"))
    of(s, "child", "tool_call", toolCallId="t", title="write", status="completed")
    of(s, MAIN, "tool_call", toolCallId="t", title="other", status="pending")
    of(s, "child", "usage_update", used=5, size=10, cost={"amount": 3, "currency": "USD"})
    usage = {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}
    of(
        s,
        MAIN,
        "subagent_update",
        sessionId="child",
        state={"state": "idle", "stopReason": "end_turn", "usage": usage},
    )
    s.answer(result={"stopReason": "end_turn", "usage": {"inputTokens": 1}})
    s.end()
    assert rows(s) == [
        ("message", "completed", "I delegate. ", None),
        ("subagent", "completed", "write tests", None),
        ("message", "completed", "child says", place),
        ("message", "completed", "meanwhile I wait", None),
        ("tool_call", "completed", None, place),
        ("tool_call", "unfinished", None, None),
    ]
    turn, step = s.fold.turn(1), s.fold.step(1, place)
    assert turn.text == "I delegate. \n\nmeanwhile I wait"
    assert (turn.usage.input_tokens, turn.usage.context_used, turn.usage.cost) == (1, None, None)
    assert step.raw_output["usage"] == {
        "input_tokens": 3,
        "output_tokens": 4,
        "total_tokens": 7,
        "context_used": 5,
        "context_size": 10,
        "cost": 3.0,
        "currency": "USD",
        "scope": "turn",
    }
    assert headline(step) == "Tests · done · 7 tokens"


def test_a_subagent_speaks_for_itself_and_again(s: Script) -> None:
    of(s, MAIN, "subagent_update", sessionId=MAIN, title="the agent itself")
    assert s.steps == []
    of(s, MAIN, "subagent_update", sessionId="child", title="T", state={"state": "running"})
    assert (s.steps[0].tool_call_id, s.steps[0].status) == ("child", "in_progress")
    of(s, "child", "notice", severity="info", title="Hello")
    of(s, "child", "plan_update", plan={"planId": "p", "content": "# Mine"})
    of(s, "child", "agent_message_chunk", content=text("done"))
    of(s, MAIN, "subagent_update", sessionId="child", state={"state": "idle"})
    assert [change.index for change in s.changes] == [4, 1], "its text, then itself"
    assert s.steps[3].status == "completed"
    of(s, MAIN, "subagent_update", sessionId="child", state={"state": "running"})
    assert ([change.index for change in s.changes], s.steps[0].last_seq) == ([1], s.seq)
    of(s, "child", "agent_message_chunk", content=text("more"))
    of(s, MAIN, "session_message", senderSessionId="child", recipientSessionId=MAIN, content=[text("a"), text("b")])
    of(s, MAIN, "session_message", senderSessionId=MAIN, content=[text("to nobody")])
    assert rows(s) == [
        ("subagent", "in_progress", "", None),
        ("notice", "completed", "Hello", 1),
        ("plan", "completed", "# Mine", 1),
        ("message", "completed", "done", 1),
        ("message", "completed", "more", 1),
        ("message", "completed", "a\nb", 1),
        ("message", "completed", "to nobody", None),
    ]


def test_a_subagent_is_asked_once_more_and_has_one_of_its_own(s: Script) -> None:
    of(s, MAIN, "subagent_update", sessionId="child", title="T")
    for words in ("first", "second"):
        of(s, MAIN, "session_message", senderSessionId=MAIN, recipientSessionId="child", content=[text(words)])
        assert ([change.index for change in s.changes], s.steps[0].last_seq) == ([1], s.seq)
    of(s, "child", "subagent_update", sessionId="grandchild")
    assert headline(s.steps[1]) == "Subagent · works"
    of(s, "grandchild", "tool_call", toolCallId="t", status="completed")
    of(s, "grandchild", "update_of_tomorrow")
    assert rows(s) == [
        ("subagent", "in_progress", "first\n\nsecond", None),
        ("subagent", "in_progress", "", 1),
        ("tool_call", "completed", None, 2),
        ("notice", "completed", s.steps[3].text, 2),
    ]


@pytest.mark.parametrize(
    ("state", "status", "line", "output"),
    [
        ({"state": "idle"}, "completed", "T · done", {}),
        ({"state": "idle", "stopReason": "cancelled"}, "cancelled", "T · cancelled", {"stop_reason": "cancelled"}),
        ({"state": "idle", "stopReason": "error"}, "failed", "T · failed", {"stop_reason": "error"}),
        (
            {"state": "idle", "error": {"message": "no credit"}},
            "failed",
            "T · failed · no credit",
            {"error": "no credit"},
        ),
        ({"state": "running"}, "in_progress", "T · works", None),
        ({"state": "of tomorrow"}, "in_progress", "T · works", None),
    ],
)
def test_how_a_subagent_ends(s: Script, state: dict[str, Any], status: str, line: str, output: Any) -> None:
    of(s, MAIN, "subagent_update", sessionId="child", title="T", state={"state": "running"})
    of(s, MAIN, "subagent_update", sessionId="child", state=state)
    assert (s.steps[-1].status, headline(s.steps[-1])) == (status, line)
    assert (s.steps[-1].raw_output, s.steps[-1].last_seq) == (output, s.seq)
    of(s, MAIN, "subagent_update", sessionId="child", title="U")
    assert (s.steps[-1].status, s.steps[-1].title, s.steps[-1].last_seq) == (status, "U", s.seq)
    s.end("cancelled")
    late = s.steps[-1].status
    of(s, MAIN, "subagent_update", sessionId="child", state={"state": "running"})
    assert s.steps[-1].status == late != "in_progress"


def test_a_subagent_asks_for_permission_of_its_own_call(s: Script) -> None:
    of(s, MAIN, "subagent_update", sessionId="child", title="T")
    option = {"optionId": "y", "name": "Yes", "kind": "allow_once"}
    params = {"sessionId": "child", "toolCall": {"toolCallId": "t", "title": "rm"}, "options": [option]}
    s.event("in", "session/request_permission", "request", {"id": 0, "params": params}, 1)
    (open_,) = s.fold.pending
    assert (open_.title, open_.parent) == ("rm", s.steps[0].index)


def test_a_subagent_changes_no_setting_of_the_session(s: Script) -> None:
    options = AgentOptions()
    for event in s.events:
        options.feed(event)
    of(s, MAIN, "current_mode_update", currentModeId="plan")
    of(s, "child", "current_mode_update", currentModeId="full")
    of(s, "child", "session_info_update", title="of the child")
    for event in s.events[-3:]:
        options.feed(event)
    assert options.current("mode") == "plan"
    assert s.fold.session().title is None


def test_an_unknown_update_is_shown_once_and_fails_nothing(s: Script) -> None:
    for number in range(3):
        s.update("update_of_tomorrow", number=number)
        assert ([change.index for change in s.changes], s.steps[0].last_seq) == ([1], s.seq)
    s.update("another")
    for known in ("user_message_chunk", "current_mode_update", "config_option_update", "available_commands_update"):
        s.update(known)
    first, second = s.steps
    assert (first.kind, first.status) == ("notice", "completed")
    assert first.text == "The agent sent an update of a kind that this release does not know: update_of_tomorrow"
    assert (first.raw_input["number"], first.raw_output) == (0, {"count": 3})
    assert (second.raw_input, second.raw_output) == ({"sessionUpdate": "another"}, None)
    for number in range(100):
        s.update(f"kind {number}")
    assert len(s.steps) == 50
    s.say("done")
    s.end()
    assert (s.fold.turn(1).status, s.fold.turn(1).text) == ("completed", "done")


@pytest.mark.parametrize("value", [None, 7, "x", [1, {"a": None}], {"type": [], "sessionId": {}}])
@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("compaction_update", ("compactionId", "status", "summary", "error")),
        ("compaction_summary_chunk", ("compactionId", "content")),
        ("notice", ("severity", "title", "description")),
        ("plan_update", ("plan",)),
        ("plan_removed", ("planId",)),
        ("subagent_update", ("sessionId", "title", "state")),
        ("session_message", ("senderSessionId", "recipientSessionId", "content")),
    ],
)
def test_values_of_any_type_do_no_harm(s: Script, kind: str, fields: tuple[str, ...], value: Any) -> None:
    s.update(kind, **dict.fromkeys(fields, value))
    for step in s.steps:
        headline(step)
    s.end()
    assert s.fold.turn(1).status == "completed"
