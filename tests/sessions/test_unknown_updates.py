"""Unknown and malformed session updates are stored, and fail no turn."""

import json

UPDATES = [
    {"sessionUpdate": "no_such_update", "text": "x", "deep": {"list": [1, None]}},
    {"sessionUpdate": "_vendor/own", "content": {"type": "film"}},
    {"sessionUpdate": 3},
    {"no": "kind"},
    {"sessionUpdate": "notice"},
    {"sessionUpdate": "notice", "severity": "odd", "title": "Disk", "description": 4},
    {"sessionUpdate": "compaction_update", "compactionId": "c1", "status": "in_progress"},
    {"sessionUpdate": "compaction_update", "compactionId": ["c1"], "status": None, "summary": "text"},
    {"sessionUpdate": "compaction_summary_chunk", "compactionId": "c1", "content": []},
    {"sessionUpdate": "plan_update", "plan": {"type": "film", "planId": "p"}},
    {"sessionUpdate": "plan_update", "plan": None},
    {"sessionUpdate": "plan_removed"},
    {"sessionUpdate": "subagent_update", "sessionId": "child", "state": {"state": "running"}},
    {"sessionUpdate": "subagent_update"},
    {"sessionUpdate": "session_message", "messageId": "m", "content": None},
    {"sessionUpdate": "session_message_chunk", "messageId": 4},
    {"sessionUpdate": "plan", "entries": "none"},
    {"sessionUpdate": "agent_message_chunk", "content": None},
    {"sessionUpdate": "agent_message_chunk", "content": {"type": "film"}},
    {"sessionUpdate": "tool_call", "toolCallId": 3, "content": 4, "locations": "x", "name": []},
    {"sessionUpdate": "tool_call_update"},
    {"sessionUpdate": "usage_update", "used": "many"},
    {"sessionUpdate": "available_commands_update", "availableCommands": 3},
    {"sessionUpdate": "current_mode_update"},
    {"sessionUpdate": "config_option_update", "configOptions": {}},
    {"sessionUpdate": "session_info_update", "title": 3},
]


def test_no_update_fails_a_turn_and_each_is_kept(open_session):
    session = open_session()
    script = "\n".join(["say before", *(f"update {json.dumps(update)}" for update in UPDATES), "say after"])
    turn = session.send(script)
    assert (turn.status, turn.error) == ("completed", None)
    assert turn.text.startswith("before")
    assert turn.text.endswith("after")
    rows = session.store.sql(
        "select payload from v_events where session_id = 's1' and direction = 'in' and method = 'session/update'"
    ).fetchall()
    kept = [json.loads(payload)["params"]["update"] for (payload,) in rows]
    assert [update for update in UPDATES if update not in kept] == []
    steps = [(step.kind, step.text) for step in turn.steps]
    session.detach()
    session.attach()
    assert [(step.kind, step.text) for step in session.turns[0].steps] == steps
    assert session.send("say on").text == "on"
