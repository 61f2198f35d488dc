"""The files that changed during a request, which the runner sends before the answer."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

from tests.runner.problems import code

ANSWER = {"jsonrpc": "2.0", "id": "p", "result": {"stopReason": "end_turn"}}


@pytest.fixture
def agent(runner):
    connection = runner.open(f"c-{uuid4().hex[:8]}")
    yield connection
    runner.http.delete(f"/v1/acp/{connection}")


def changes(runner, name, *changed):
    listed = [{"path": str(runner.root / one), "change": "created", "size": 1} for one in changed]
    return {
        "jsonrpc": "2.0",
        "method": "_adapter/changes",
        "params": {"snapshot": name, "changes": listed, "truncated": False},
    }


def test_the_changes_come_before_the_answer(runner, agent, folder):
    answer = runner.prompt(agent, f"write {folder}/new", snapshot=f"Turn-{agent}")
    assert (answer.status_code, answer.json()) == (200, ANSWER)
    told = [message for _, message in runner.events(agent, 1, last=3)]
    assert told == [changes(runner, f"Turn-{agent}", f"{folder}/new"), ANSWER]
    assert runner.http.get(f"/v1/fs/snapshots/Turn-{agent}/changes").json()["changes"] == told[0]["params"]["changes"]


def test_a_repeated_request_takes_no_other_snapshot(runner, agent, folder):
    for _ in range(2):
        assert runner.prompt(agent, f"write {folder}/new", snapshot=agent).status_code == 200
    assert len(runner.http.get(f"/v1/fs/snapshots/{agent}/changes").json()["changes"]) == 1


def test_everything_that_follows_the_answer_stays_behind_it(runner, agent, folder):
    """An agent that answers twice, and then says more, in one piece and in several."""
    late = {"jsonrpc": "2.0", "method": "late"}
    runner.prompt(agent, f"last {json.dumps(ANSWER)}\n{json.dumps(late)}", snapshot=agent)
    assert [message for _, message in runner.events(agent, 1, last=5)] == [
        changes(runner, agent), ANSWER, ANSWER, late
    ]  # fmt: skip
    assert runner.prompt(agent, "say on", "next", snapshot=agent).status_code == 200


def test_many_changes_are_left_to_a_request(runner, agent, folder):
    script = f"for n in range(1001): Path('{folder}', str(n)).touch()"
    assert runner.prompt(agent, f"run {script}", snapshot=agent).status_code == 200
    assert [message for _, message in runner.events(agent, 1, last=2)] == [ANSWER]
    assert len(runner.http.get(f"/v1/fs/snapshots/{agent}/changes").json()["changes"]) == 1001


def test_an_agent_that_exits_leaves_its_snapshot(runner, agent, folder):
    (runner.root / folder / "old").write_text("1")
    answer = runner.prompt(agent, "crash 3", snapshot=agent)
    assert answer.json()["error"]["data"]["code"] == 3
    assert runner.events(agent, 1, last=4)[-1][1]["method"] == "_adapter/agent_exited"
    assert runner.http.get(f"/v1/fs/snapshots/{agent}/changes").json() == {"changes": [], "truncated": False}


def test_the_name_of_a_snapshot_is_checked_before_the_request_is_sent(runner, agent):
    assert code(runner.prompt(agent, "say never", snapshot="../x")) == (400, "invalid_request")
    assert runner.prompt(agent, "count").status_code == 200
    assert runner.texts(agent, 2) == ["1"]
