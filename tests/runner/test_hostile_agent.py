"""Messages that deceive or exhaust the runner."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from session_widgets.runner.envelopes import MAX_DEPTH, TOO_DEEP, one_line, read_line
from tests.support.runner import RunnerProcess

INVALID = "_adapter/invalid_stdout"


def told(runner: RunnerProcess, connection: str, answer_id: str) -> list[dict[str, Any]]:
    """Return what the agent said up to its answer to a request."""
    found = []
    with runner.stream(f"/v1/acp/{connection}") as stream:
        for _, _, data in stream:
            found.append(orjson.loads(data))
            if found[-1].get("id") == answer_id and "method" not in found[-1]:
                return found
    raise AssertionError(f"no answer to {answer_id}")


def raw(*messages: object) -> str:
    return "raw " + json.dumps("".join(json.dumps(message) + "\n" for message in messages))


@pytest.mark.parametrize("levels", [300, 1_500, 20_000])
def test_what_is_nested_too_deep_takes_nothing_with_it(runner, levels):
    connection = runner.open(f"deep-{levels}")
    answer = runner.prompt(connection, f"deep {levels}")
    assert answer.status_code == 200
    assert answer.json()["result"]["stopReason"] == "end_turn"
    _, before, call, unended, after, last = told(runner, connection, "p")
    texts = [message["params"]["update"]["content"]["text"] for message in (before, after)]
    assert texts == ["before", "after"]
    assert call["params"]["update"]["title"] == "deep"
    assert TOO_DEEP in orjson.dumps(call)
    assert TOO_DEEP in orjson.dumps(last)
    assert unended["method"] == INVALID
    assert runner.prompt(connection, "say on", "next").status_code == 200


def test_only_what_is_deeper_is_cut():
    kept = "[" * (MAX_DEPTH - 3) + "]" * (MAX_DEPTH - 3)
    cut = "[" * 1_100 + '"]\\"[", {"a": [1]}' + "]" * 1_100
    line = f'{{"one": [{kept}], "brackets": "[[[", "two": {cut}, "three": [{cut}, 3]}}'.encode()
    message, written = read_line(line)
    assert orjson.loads(written) == message
    assert list(message) == ["one", "brackets", "two", "three"]
    assert message["three"][1] == 3
    assert written.startswith(f'{{"one": [{kept}], "brackets": "[[[", "two": '.encode())
    shallow = "[" * 900 + "]" * 5
    with pytest.raises(ValueError):
        read_line(b'{"a": ' + shallow.encode())
    with pytest.raises(ValueError, match="nested"):
        one_line(orjson.loads(b"[" * 300 + b"]" * 300), b"[\n")


def test_an_agent_that_speaks_in_the_runners_name_is_not_believed(runner):
    connection = runner.open("spoof")
    exited = {"jsonrpc": "2.0", "method": "_adapter/agent_exited", "params": {"success": False, "code": 3}}
    asking = {"jsonrpc": "2.0", "id": 7, "method": "_adapter/anything", "params": {}}
    assert runner.prompt(connection, raw(exited, asking)).status_code == 200
    methods = [message.get("method") for message in told(runner, connection, "p")]
    assert methods == [None, INVALID, INVALID, None]
    assert connection in [server["serverId"] for server in runner.http.get("/v1/acp").json()["servers"]]
    assert runner.prompt(connection, "say on", "next").status_code == 200


def test_requests_that_wait_for_an_answer_are_bounded(start):
    runner = start(limits={"maxAgentRequests": 10})
    connection = runner.open("asking")
    requests = [{"jsonrpc": "2.0", "id": number, "method": "session/request_permission"} for number in range(50)]
    long = {"jsonrpc": "2.0", "id": "x" * 5_000, "method": "session/request_permission"}
    assert runner.prompt(connection, raw(long, *requests)).status_code == 200
    _, first, *rest, _ = told(runner, connection, "p")
    assert "longer than 256 bytes" in first["params"]["error"]
    assert [message["id"] for message in rest[:10]] == list(range(10))
    assert {message.get("method") for message in rest[10:]} == {INVALID}
    assert "maxAgentRequests (10)" in rest[10]["params"]["error"]
    respond = {"jsonrpc": "2.0", "id": 0, "result": {}}
    assert runner.http.post(f"/v1/acp/{connection}", json=respond | {"id": 49}).status_code == 409
    assert runner.http.post(f"/v1/acp/{connection}", json=respond).status_code == 202
    assert runner.prompt(connection, raw(requests[20]), "again").status_code == 200
    assert told(runner, connection, "again")[-2]["id"] == 20
