"""An agent that sends extreme messages: its turn ends, and its messages are stored."""

import sys
from pathlib import Path

import pytest

import session_widgets as sw

DEEP = Path(__file__).with_name("deep_program.py")


@pytest.mark.parametrize("levels", [240, 1_500, 100_000])
def test_json_nested_without_an_end_costs_nothing_else(open_session, levels):
    agent = sw.Harness(command=[sys.executable, str(DEEP), str(levels)], id="deep")
    session = open_session(harness=agent)
    turn = session.send("say before\nsay after")
    assert (turn.status, turn.error) == ("completed", None)
    assert "before" in turn.text
    assert "after" in turn.text
    assert "deep" in [step.title for step in turn.steps]
    rows = session.store.sql("select text from v_steps where session_id = 's1' and kind = 'message'").fetchall()
    assert "after" in "".join(text for (text,) in rows)
    assert session.send("say on").status == "completed"
