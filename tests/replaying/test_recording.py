"""The state after an event is the fold of the events up to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_widgets.replaying import Moment, Recording
from session_widgets.transcript.fold import Fold
from session_widgets.transcript.records import Event, Step
from tests.support.acp_captures import events as recorded
from tests.support.acp_captures import scenarios
from tests.support.paths import CAPTURES
from tests.transcript.script import Script


def recording(events: list[Event]) -> Recording:
    made = Recording(events[0].session_id)
    made.feed(events)
    return made


def check(events: list[Event]) -> None:
    """Compare every moment of a session with the fold of its prefix."""
    whole, fold = recording(events), Fold(events[0].session_id)
    for event in events:
        fold.feed(event)
        moment = whole.at(event.seq)
        assert moment.ts == event.ts
        assert tuple(whole.steps(event.seq)) == fold.steps
        assert moment.count == len(fold.steps)
        assert [whole.turn(turn, event.seq) for turn in fold.turns] == [
            fold.turn(turn, text=False) for turn in fold.turns
        ]
        plans = [step for step in fold.steps if step.kind == "plan" and step.parent is None]
        assert moment.plan is None or moment.plan in plans
        assert (moment.plan is None) == (not plans)
        ran = sorted(moment.commands, key=lambda step: (step.turn, step.index))  # else as they became commands
        assert ran == [step for step in fold.steps if step.tool_kind == "execute"][-12:]
        assert moment == recording(events[: event.seq]).at(event.seq), "what came later changes nothing"


@pytest.mark.parametrize("name", sorted(path.name for path in CAPTURES.glob("*.ndjson")))
def test_every_moment_of_a_recorded_session(name: str) -> None:
    for scenario in scenarios(CAPTURES / name).values():
        if events := recorded(scenario):
            check(events)


def _tool(status: str, name: str, kind: str) -> dict[str, Any]:
    out = {"type": "content", "content": {"type": "text", "text": f"{status} out"}}
    return {"toolCallId": name, "title": name, "kind": kind, "status": status, "content": [out]}


NAMES = st.sampled_from(["a", "b"])
WORDS = st.text("ab \n", min_size=1, max_size=4)
ACTS = st.one_of(
    st.tuples(st.just("say"), WORDS, st.sampled_from(["agent_message_chunk", "agent_thought_chunk"])),
    st.tuples(st.just("tool"), NAMES, st.sampled_from(["pending", "in_progress", "completed", "failed"])),
    st.tuples(st.just("print"), NAMES, WORDS),
    st.tuples(st.just("plan"), WORDS),
    st.tuples(st.just("ask"), NAMES),
    st.tuples(st.just("end"), st.sampled_from(["completed", "failed", "cancelled"])),
    st.tuples(st.just("begin"), st.integers(1, 3)),
)


@given(st.lists(ACTS, max_size=16))
def test_every_moment_of_any_session(acts: list[tuple[Any, ...]]) -> None:
    s, turn = Script(), 1
    for act in acts:
        match act:
            case "say", words, kind:
                s.say(words, kind, turn=turn)
            case "tool", name, status:
                s.update("tool_call_update", turn=turn, **_tool(status, name, "execute"))
            case "print", name, words:
                delta = {"terminal_output_delta": {"data": words}}
                s.update("tool_call_update", turn=turn, toolCallId=name, _meta=delta)
            case "plan", words:
                s.update("plan", turn=turn, entries=[{"content": words, "status": "pending", "priority": "low"}])
            case "ask", name:
                s.ask(len(s.events), {"toolCallId": name})
            case "end", status:
                s.end(status, turn=turn)
            case "begin", number:
                turn = number
                s.note("turn_started", turn=turn, prompt=[{"type": "text", "text": f"go {number}"}])
    check(s.events)


@pytest.mark.parametrize("name", ["claude-rich.ndjson", "codex-basic.ndjson"])
def test_the_steps_that_two_moments_share(name: str) -> None:
    for scenario in scenarios(CAPTURES / name).values():
        whole = recording(recorded(scenario))
        for low in range(0, whole.last_seq, 3):
            for high in range(low, whole.last_seq + 1, 7):
                same = whole.same(high, low)
                assert same == whole.same(low, high)
                assert whole.steps(low, 0, same) == whole.steps(high, 0, same)
                more = slice(same, same + 1)
                assert low == high or whole.steps(low)[more] != whole.steps(high)[more] or not whole.steps(high)[more]


def test_a_printing_command_is_kept_once(s: Script) -> None:
    s.update("tool_call", **_tool("in_progress", "a", "execute"))
    for n in range(300):
        s.update("tool_call_update", toolCallId="a", _meta={"terminal_output_delta": {"data": f"{n:1000}\n"}})
    whole = recording(s.events)
    [step] = whole.at(s.seq - 100).commands
    assert step.content[-1]["content"]["text"].endswith("199\n")
    held: list[Step] = [form for form in whole._versions[1, 1]._forms if isinstance(form, Step)]
    assert len(held) <= 3, "the others are lengths of one text"


def test_pauses_are_short_on_the_time_line_and_time_never_runs_back(s: Script) -> None:
    moved = [replace(event, ts=event.ts + timedelta(hours=event.seq == 3)) for event in s.events]
    s.say("later")
    whole = recording([*moved, s.events[-1]])
    assert list(whole.clock) == [0, 1000, 4000, 4000]
    assert whole.pauses == [(3, 3_601_000)]


def test_marks_are_where_it_happened(s: Script) -> None:
    s.update("tool_call", toolCallId="e", title="Edit", kind="edit", status="pending")
    s.update("tool_call", toolCallId="t", title="t", kind="execute", rawInput={"command": "cd x && uv run pytest -q"})
    s.ask(0, {"toolCallId": "e"})
    s.note("permission_decision", request_id="c1/0", outcome="selected", option_id="yes", decided_by="policy:allow_all")
    s.ask(1, {"toolCallId": "t"})
    s.note("permission_decision", request_id="c1/1", outcome="selected", option_id="yes", decided_by="user")
    s.update("tool_call_update", toolCallId="t", status="failed")
    s.update("compaction_update", compactionId="c", status="completed", summary=[])
    s.end("failed", error="broken")
    found = [(mark.kind, mark.seq, mark.step) for mark in recording(s.events).marks]
    first = 4
    assert found == [
        ("prompt", 3, 0),
        ("edit", first, 1),
        ("test", first + 1, 2),
        ("permission", first + 5, 2),
        ("error", first + 6, 2),
        ("compaction", first + 7, 3),
        ("error", first + 8, 4),
    ]


def test_a_moment_before_the_first_and_after_the_last_event(s: Script) -> None:
    whole = recording(s.events)
    assert whole.at(-5) == Moment(0, None, 0, None, None, None, (), ())
    assert whole.at(10**9) == whole.at(3)
    with pytest.raises(KeyError):
        whole.step((1, 0), 2)
