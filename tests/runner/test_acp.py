"""Envelopes in and out, as in sandbox-agent and better."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from tests.support.runner import RunnerProcess
from tests.support.waiting import until


@pytest.fixture
def agent(runner: RunnerProcess) -> Iterator[str]:
    connection = runner.open(f"c-{uuid4().hex[:8]}")
    yield connection
    assert runner.http.delete(f"/v1/acp/{connection}").status_code == 204


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert set(body) >= {"type", "title", "status", "detail"}
    return answer.status_code, body["type"].removeprefix("urn:sandbox-agent:error:")


def test_a_request_stays_open_until_its_answer_which_is_also_an_event(runner, agent):
    answer = runner.prompt(agent, "say hello", "one")
    assert answer.status_code == 200
    assert answer.json() == {"jsonrpc": "2.0", "id": "one", "result": {"stopReason": "end_turn"}}
    (_, update), (_, event) = runner.events(agent, 1, last=3)
    assert update["params"]["update"]["content"]["text"] == "hello"
    assert event == answer.json()


def test_respond_async_is_accepted_before_the_agent_answers(runner, agent):
    started = time.monotonic()
    answer = runner.prompt(agent, "hang", wait=False)
    assert (answer.status_code, answer.content) == (202, b"")
    assert time.monotonic() - started < 1
    assert runner.post(agent, "session/cancel").status_code == 202
    assert runner.events(agent, 1, last=2)[0][1]["params"]["update"]["content"]["text"] == "cancel seen"


@pytest.mark.parametrize("again", [False, True])
def test_a_request_that_no_agent_received_is_told_from_one_that_an_agent_had(start, again):
    """Also by the runner that is started after the one that had the agent was killed."""
    runner = start()
    connection = runner.open("c")
    runner.prompt(connection, "hang", "had", wait=False)
    if again:
        runner.stop(signal.SIGKILL)
        runner = start()
    else:
        runner.prompt(connection, "die", "last")
    url = f"/v1/acp/{connection}"
    late = {"jsonrpc": "2.0", "method": "session/prompt", "params": {}}
    answers = [
        runner.http.post(url, json={**late, "id": id_}, headers={"prefer": "respond-async"}).json()
        for id_ in (["had", "never"] if again else ["never"])
    ]
    assert [answer.get("accepted") for answer in answers] == ([None, False] if again else [False])


def test_an_agents_error_is_http_200(runner, agent):
    answer = runner.post(agent, "fail", id_=7)
    assert answer.status_code == 200
    assert answer.json()["error"] == {"code": -32603, "message": "no", "data": {"z": 1, "a": 2}}


def test_what_the_agent_wrote_is_forwarded_byte_for_byte(runner, agent):
    answer = runner.post(agent, "fail", id_=7)
    expected = b'{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"no","data":{"z":1,"a":2}}}'
    assert answer.content == expected
    with runner.stream(f"/v1/acp/{agent}", last_event_id="1") as stream:
        assert next(stream) == ("message", "2", expected)


def test_the_same_request_is_sent_once(runner, agent):
    for _ in range(3):
        assert runner.prompt(agent, "count", "same", wait=False).status_code == 202
    again = runner.prompt(agent, "count", "same")
    assert again.json()["id"] == "same"
    runner.prompt(agent, "count", "other")
    assert runner.texts(agent, last=5) == ["1", "2"]


def test_an_id_for_another_request_is_a_conflict(runner, agent):
    runner.prompt(agent, "say a", "same")
    assert problem(runner.prompt(agent, "say b", "same")) == (409, "conflict")


def test_the_number_1_and_the_text_1_are_two_ids(runner, agent):
    runner.prompt(agent, "say a", 1)
    assert runner.prompt(agent, "say b", "1").json()["id"] == "1"


def test_a_permission_is_answered_once(runner, agent):
    assert runner.prompt(agent, "ask", wait=False).status_code == 202
    assert runner.events(agent, 1, last=2)[0][1]["method"] == "session/request_permission"
    first = {"jsonrpc": "2.0", "id": 0, "result": {"outcome": {"outcome": "selected", "optionId": "yes"}}}
    second = {"jsonrpc": "2.0", "id": 0, "result": {"outcome": {"outcome": "cancelled"}}}
    assert runner.http.post(f"/v1/acp/{agent}", json=first).status_code == 202
    assert problem(runner.http.post(f"/v1/acp/{agent}", json=second)) == (409, "conflict")
    (_, told), (_, update), _ = runner.events(agent, 2, last=5)
    params = {"id": 0, "outcome": {"outcome": "selected", "optionId": "yes"}}
    assert told == {"jsonrpc": "2.0", "method": "_adapter/answered", "params": params}
    assert json.loads(update["params"]["update"]["content"]["text"]) == first["result"]


def test_an_answer_without_a_request_is_a_conflict(runner, agent):
    answer = runner.http.post(f"/v1/acp/{agent}", json={"jsonrpc": "2.0", "id": 99, "result": {}})
    assert problem(answer) == (409, "conflict")


def test_what_is_not_json_becomes_an_event_and_the_rest_goes_on(runner, agent):
    assert runner.prompt(agent, "noise").status_code == 200
    (_, first), (_, second), (_, third), _ = runner.events(agent, 1, last=5)
    assert first["method"] == second["method"] == "_adapter/invalid_stdout"
    assert first["params"]["raw"] == "this is not json"
    assert second["params"]["raw"] == "[1, 2]"
    assert third["params"]["update"]["content"]["text"] == "after noise"


def test_a_line_cut_in_pieces_arrives_whole(runner, agent):
    runner.prompt(agent, "cut")
    assert runner.events(agent, 1, last=2)[0][1]["params"] == {"text": "whole"}


def test_half_an_emoji_and_carriage_returns_do_no_harm(runner, agent):
    runner.prompt(agent, "odd")
    (_, half), (_, returned), (_, nan), _ = runner.events(agent, 1, last=5)
    assert half["params"] == {"half": "\ufffd", "other": "é"}
    assert returned == {"jsonrpc": "2.0", "method": "return"}
    assert nan["method"] == "_adapter/invalid_stdout"


def test_a_repeated_response_is_reported_twice_and_answers_once(runner, agent):
    assert runner.prompt(agent, "twice").status_code == 200
    messages = [message for _, message in runner.events(agent, 1, last=3)]
    assert messages[0] == messages[1]
    assert runner.prompt(agent, "say on", "next").status_code == 200


def test_a_line_of_eight_megabytes(runner, agent):
    assert runner.prompt(agent, f"big {8 << 20}").status_code == 200
    assert len(runner.events(agent, 1, last=2)[0][1]["params"]["update"]["content"]["text"]) == 8 << 20


def test_a_prompt_of_eight_megabytes(runner, agent):
    assert runner.prompt(agent, "say " + "x" * (8 << 20)).status_code == 200
    assert len(runner.texts(agent, last=3)[0]) == 8 << 20


def test_a_body_in_several_lines_reaches_the_agent_as_one(runner, agent):
    body = json.dumps({"jsonrpc": "2.0", "id": "pretty", "method": "x"}, indent=2)
    answer = runner.http.post(f"/v1/acp/{agent}", content=body, headers={"content-type": "application/json"})
    assert answer.json()["id"] == "pretty"


def test_a_line_above_the_limit_is_dropped_and_said(start):
    runner = start(limits={"maxLineBytes": 100_000})
    runner.open("c")
    assert runner.prompt("c", "big 400000").status_code == 200
    (_, dropped), (_, answer) = runner.events("c", 1, last=3)
    assert "maxLineBytes" in dropped["params"]["error"]
    assert len(dropped["params"]["raw"]) <= 4096
    assert answer["id"] == "p"
    assert runner.prompt("c", "say fine", "q").status_code == 200


@pytest.mark.parametrize("exit_", ["crash 7", "die", "crash 0"])
def test_an_exit_fails_every_open_request_and_is_the_last_event(runner, agent, exit_):
    assert runner.prompt(agent, "hang", "open", wait=False).status_code == 202
    answer = runner.prompt(agent, exit_)
    code, signal = {"crash 7": (7, None), "die": (None, 9), "crash 0": (0, None)}[exit_]
    error = answer.json()["error"]
    assert error["code"] == -32603  # -32000 would tell a client that the user has to log in
    assert ("SIGKILL" if signal else f"code {code}") in error["message"]
    assert error["data"]["code"] == code
    assert error["data"]["signal"] == signal
    assert runner.prompt(agent, "hang", "open").json()["error"] == error
    events = [message for _, message in runner.events(agent, 1, method="_adapter/agent_exited")]
    assert {message.get("id") for message in events[-3:-1]} == {"p", "open"}
    assert events[-1]["params"] == {"success": code == 0, **error["data"]}
    if exit_ != "die":
        assert "out of credits" in error["data"]["stderr"]
    started = time.monotonic()
    assert problem(runner.prompt(agent, "say hi", "later", wait=False)) == (410, "agent_process_exited")
    assert time.monotonic() - started < 1
    late = runner.prompt(agent, "say hi", "later")  # sandbox-agent's clients take 410 for a broken transport
    assert (late.status_code, late.json()) == (200, {"jsonrpc": "2.0", "id": "later", "error": error})
    assert runner.post(agent, "session/cancel").status_code == 202
    assert problem(runner.post(agent, "session/cancel", headers={"prefer": "respond-async"}))[0] == 410
    until(lambda: agent not in runner.http.get("/v1/acp").text, what="the end of the agent on the list")


def test_last_words_without_a_newline_are_kept(runner, agent):
    runner.prompt(agent, "mutter")
    methods = [message.get("method") for _, message in runner.events(agent, 1, method="_adapter/agent_exited")]
    assert methods == ["unended", None, "_adapter/agent_exited"]


def test_an_agent_that_closes_its_output_is_ended(runner, agent):
    error = runner.prompt(agent, "deaf").json()["error"]
    assert "SIGTERM" in error["message"]


def test_delete_is_quick_and_final(runner, agent):
    runner.prompt(agent, "hang", wait=False)
    with runner.stream(f"/v1/acp/{agent}") as stream:
        started = time.monotonic()
        assert runner.http.delete(f"/v1/acp/{agent}").status_code == 204
        assert time.monotonic() - started < 1
        events = list(stream)
    assert json.loads(events[-1][2])["method"] == "_adapter/agent_exited"
    get = runner.http.get(f"/v1/acp/{agent}", headers={"accept": "text/event-stream"})
    assert problem(get) == (404, "session_not_found")
    assert runner.http.delete(f"/v1/acp/{agent}").status_code == 204
    assert not (runner.state / "acp" / agent).exists()
    runner.open(agent)
    assert [id_ for id_, _ in runner.events(agent, last=1)] == [1]


def test_delete_kills_an_agent_that_ignores_term_with_everything_below(runner, agent):
    runner.prompt(agent, "children", "a")
    runner.prompt(agent, "stubborn", "b")
    stubborn, strayed = map(int, runner.texts(agent, last=3)[0].split())
    assert {stubborn, strayed} <= set(runner.carriers())
    started = time.monotonic()
    assert runner.http.delete(f"/v1/acp/{agent}").status_code == 204
    assert time.monotonic() - started < 4
    assert not {stubborn, strayed} & set(runner.carriers())


def test_the_agents_environment(runner, agent):
    runner.prompt(agent, "environment")
    environment = json.loads(runner.texts(agent, last=3)[0])
    assert environment["DEMO"] == "yes"
    assert environment["SESSION_WIDGETS_RUNNER"] == runner.nonce
    assert "a-token-for-tests" not in json.dumps(environment)


def test_the_list_of_connections(runner, agent):
    (server,) = [one for one in runner.http.get("/v1/acp").json()["servers"] if one["serverId"] == agent]
    assert server["agent"] == "demo"
    assert abs(server["createdAtMs"] / 1000 - time.time()) < 60


INITIALIZE = {"jsonrpc": "2.0", "id": 1, "method": "initialize"}
REFUSED = [
    ("/v1/acp/none", {"json": INITIALIZE}, 400, "invalid_request"),
    ("/v1/acp/none?agent=zzz", {"json": INITIALIZE}, 400, "unsupported_agent"),
    ("/v1/acp/none?agent=missing", {"json": INITIALIZE}, 500, "agent_not_installed"),
    ("/v1/acp/AGENT?agent=missing", {"json": INITIALIZE}, 409, "conflict"),
    ("/v1/acp/AGENT", {"json": [1]}, 400, "invalid_request"),
    ("/v1/acp/AGENT", {"json": {}}, 400, "invalid_request"),
    ("/v1/acp/AGENT", {"json": {"jsonrpc": "2.0"}}, 400, "invalid_request"),
    ("/v1/acp/AGENT", {"json": {"jsonrpc": "2.0", "id": None, "method": "x"}}, 400, "invalid_request"),
    ("/v1/acp/AGENT", {"json": {"jsonrpc": "2.0", "id": 1, "result": 1, "error": {}}}, 400, "invalid_request"),
    ("/v1/acp/AGENT", {"content": b"{bad", "headers": {"content-type": "application/json"}}, 400, "invalid_request"),
    ("/v1/acp/AGENT", {"content": b"{}"}, 415, "unsupported_media_type"),
    ("/v1/acp/AGENT", {"json": {}, "headers": {"accept": "text/html"}}, 406, "not_acceptable"),
    ("/v1/acp/.hidden?agent=demo", {"json": INITIALIZE}, 400, "invalid_request"),
    ("/v1/acp/%2e%2e?agent=demo", {"json": INITIALIZE}, 400, "invalid_request"),
    (f"/v1/acp/{'x' * 129}?agent=demo", {"json": INITIALIZE}, 400, "invalid_request"),
    ("/v1/acp/a%0ab?agent=demo", {"json": INITIALIZE}, 400, "invalid_request"),
    ("/v1/nope", {"json": {}}, 404, "invalid_request"),
]


@pytest.mark.parametrize(("path", "options", "status", "code"), REFUSED)
def test_refusals(runner, agent, path, options, status, code):
    assert problem(runner.http.post(path.replace("AGENT", agent), **options)) == (status, code)
    assert not (runner.state / "acp" / "none").exists()


def test_refusals_of_the_stream(runner, agent):
    def get(id_: str, **headers: str) -> tuple[int, str]:
        sent = {"accept": "text/event-stream", **{name.replace("_", "-"): value for name, value in headers.items()}}
        return problem(runner.http.get(f"/v1/acp/{id_}", headers=sent))

    assert get("none") == (404, "session_not_found")
    assert get(agent, accept="application/json") == (406, "not_acceptable")
    assert get(agent, last_event_id="x") == (400, "invalid_request")
    assert get(agent, last_event_id="99") == (409, "conflict")


def test_limits_name_themselves(start):
    runner = start(limits={"maxAgents": 1, "maxEnvelopeBytes": 1000})
    runner.open("a")
    second = runner.post("b", "initialize", id_=1)
    assert problem(second) == (409, "limit_exceeded")
    assert second.json()["limit"] == "maxAgents"
    large = runner.prompt("a", "say " + "x" * 2000)
    assert problem(large) == (413, "limit_exceeded")
    assert large.json()["limit"] == "maxEnvelopeBytes"
