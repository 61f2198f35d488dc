"""Updates of a session by the demo harness: a subagent, a compaction, notices, named plans, and unknown ones."""

from __future__ import annotations

import session_widgets as sw
from session_widgets.transcript.fold import Fold
from tests.support.waiting import until

SCRIPT = """\
say I delegate
subagent Write it <<EOT
say child here
run printf made > made.txt
EOT
compact what was said
notice warning Low on credit | Top up
plan-items one a; b
plan-text two # Do it
plan-drop two
update {"sessionUpdate": "update_of_tomorrow", "number": 1}
update {"sessionUpdate": "update_of_tomorrow", "number": 2}
say done"""


KINDS = [
    "user",
    "message",
    "subagent",
    "message",
    "tool_call",
    "compaction",
    "notice",
    "plan",
    "plan",
    "notice",
    "message",
]


def test_all_of_it_is_folded_stored_and_shown(open_session):
    session = open_session(permissions="ask")
    turn = session.start(SCRIPT)
    request = until(lambda: session.pending, what="the request of the subagent")[0]
    assert next(step for step in turn.steps if step.kind == "tool_call").parent == 2
    request.choose(next(option.id for option in request.options if option.kind == "allow_once"))
    turn.wait(30)
    assert (turn.status, turn.outcome) == ("completed", "completed"), turn.error
    assert turn.text == "I delegate\n\ndone"
    steps = turn.steps
    assert [step.kind for step in steps] == KINDS
    assert [step.parent for step in steps if step.parent is not None] == [2, 2]
    subagent, compaction = steps[2], steps[5]
    assert (subagent.title, subagent.status) == ("Write it", "completed")
    assert "child here" in subagent.text
    assert subagent.raw_output["stop_reason"] == "end_turn"
    assert subagent.raw_output["usage"]["output_tokens"] > 0
    assert steps[3].text == "child here"
    assert (compaction.status, compaction.text) == ("completed", "what was said")
    assert steps[6].text == "Low on credit\nTop up"
    assert [len(steps[7].entries), steps[8].status] == [2, "cancelled"]
    assert steps[9].raw_output == {"count": 2}
    assert (session.workspace / "made.txt").read_text() == "made"
    stored = (
        sw.store().sql("select step, parent, tool_name from v_steps where parent is not null order by step").fetchall()
    )
    assert [row[:2] for row in stored] == [(3, 2), (4, 2)]
    fold = Fold("s1")
    for event in session.events():
        fold.feed(event)
    assert list(fold.steps) == sw.store().steps("s1") == list(steps)
