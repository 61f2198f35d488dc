"""Tools of a notebook, as the runner and the tool server of an agent carry them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

ADD = {
    "name": "add",
    "description": "Add.",
    "inputSchema": {"type": "object", "properties": {"a": {"type": "integer"}}},
}
MODULE = ("-P", "-m", "session_widgets.runner.tools")
SUM = {"content": [{"type": "text", "text": "42"}], "isError": False}


def offer(runner, session, *tools, seconds=20.0):
    """Register tools; returns an agent's way to them."""
    body = {"tools": [{**tool, "timeoutSeconds": seconds} for tool in tools]}
    answer = runner.http.put(f"/v1/tools/{session}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def agent(offered):
    return httpx.Client(headers={"authorization": f"Bearer {offered['token']}"}, timeout=30)


def call(offered, **arguments):
    with agent(offered) as http:
        return http.post(f"{offered['url']}/calls", json={"name": "add", "arguments": arguments})


@contextmanager
def listening(runner, session) -> Iterator[Iterator[tuple[str, Any]]]:
    with runner.stream(f"/v1/tools/{session}/calls") as stream:
        items = ((kind, json.loads(data)) for kind, _, data in stream if kind != ":")
        assert next(items)[0] == "ready"
        yield items


def in_background(function, *args, **kwargs):
    outcome: list[Any] = []
    thread = threading.Thread(target=lambda: outcome.append(function(*args, **kwargs)), daemon=True)
    thread.start()
    return thread, outcome


def test_a_call_goes_to_the_notebook_and_its_result_to_the_agent(runner):
    offered = offer(runner, "round", ADD)
    with listening(runner, "round") as calls:
        thread, outcome = in_background(call, offered, a=1)
        kind, asked = next(calls)
        assert (kind, asked["name"], asked["arguments"]) == ("call", "add", {"a": 1})
        place = f"/v1/tools/round/calls/{asked['call']}/result"
        assert runner.http.post(place, json=SUM).status_code == 204
        thread.join(10)
        assert outcome[0].json() == SUM
        assert next(calls) == ("over", {"over": asked["call"]})
        assert runner.http.post(place, json=SUM).status_code == 409


def test_a_call_without_a_listener_fails_at_once(runner):
    offered = offer(runner, "nobody", ADD)
    started = time.monotonic()
    answer = call(offered, a=1).json()
    assert time.monotonic() - started < 5
    assert answer["isError"] is True
    assert "not attached" in answer["content"][0]["text"]


def test_a_notebook_that_leaves_fails_its_calls(runner):
    offered = offer(runner, "leaves", ADD)
    with listening(runner, "leaves") as calls:
        thread, outcome = in_background(call, offered, a=1)
        next(calls)
    thread.join(10)
    assert "not attached" in outcome[0].json()["content"][0]["text"]


def test_the_latest_notebook_gets_the_calls_and_gives_them_back(runner):
    offered = offer(runner, "latest", ADD)
    with listening(runner, "latest") as first:
        with listening(runner, "latest") as second:
            thread, outcome = in_background(call, offered, a=2)
            assert next(second)[1]["arguments"] == {"a": 2}
        thread.join(10)
        assert outcome[0].json()["isError"] is True
        thread, _ = in_background(call, offered, a=3)
        _, asked = next(first)
        assert asked["arguments"] == {"a": 3}
        runner.http.post(f"/v1/tools/latest/calls/{asked['call']}/result", json=SUM)
        thread.join(10)


def test_an_agent_that_leaves_gives_its_call_up(runner):
    offered = offer(runner, "gives-up", ADD)
    with listening(runner, "gives-up") as calls:
        with pytest.raises(httpx.ReadTimeout), agent(offered) as http:
            http.post(f"{offered['url']}/calls", json={"name": "add", "arguments": {}}, timeout=0.5)
        asked = next(calls)[1]
        assert next(calls) == ("over", {"over": asked["call"]})


def test_calls_under_way_are_bounded(runner):
    offered = offer(runner, "many", ADD)
    with listening(runner, "many") as calls:
        waiting = [in_background(call, offered, a=number)[0] for number in range(32)]
        assert {next(calls)[0] for _ in waiting} == {"call"}
        refused = call(offered, a=32)
        assert (refused.status_code, "32 calls" in refused.json()["detail"]) == (409, True)
    for thread in waiting:
        thread.join(10)
    assert call(offered, a=33).status_code == 200


def test_a_notebook_that_never_answers_is_not_waited_for(runner):
    offered = offer(runner, "silent", ADD, seconds=0.001)
    with listening(runner, "silent"):
        answer = call(offered, a=1).json()
    assert "has not answered for 10" in answer["content"][0]["text"]


def test_the_token_of_a_tool_server_opens_nothing_else(runner):
    mine, other = offer(runner, "mine", ADD), offer(runner, "other", ADD)
    assert mine["token"] != other["token"]
    assert offer(runner, "mine", ADD)["token"] == mine["token"], "an agent that runs has it"
    with agent(mine) as http:
        assert http.get(mine["url"]).json()["tools"] == [ADD]
        for method, path in [
            ("GET", "/v1/health"),
            ("GET", "/v1/fs/entries?path=."),
            ("POST", "/v1/processes/run"),
            ("PUT", "/v1/tools/mine"),
            ("GET", "/v1/tools/mine/calls"),
            ("POST", "/v1/tools/mine/calls/1/result"),
            ("POST", "/v1/tools/other/calls"),
            ("GET", "/v1/tools/other"),
            ("POST", "/v1/tools/mine/../other/calls"),
            ("POST", "/v1/tools/mine/calls/"),
        ]:
            assert http.request(method, runner.url + path).status_code == 401, (method, path)
    with httpx.Client() as http:
        assert http.get(mine["url"]).status_code == 401


@pytest.mark.parametrize(
    "body", [{}, {"tools": {}}, {"tools": [1]}, {"tools": [{"name": 1}]}, {"tools": [{"name": "x"}]}]
)
def test_what_is_no_list_of_tools_is_refused(runner, body):
    assert runner.http.put("/v1/tools/wrong", json=body).status_code == 400
    assert runner.http.get("/v1/tools/wrong").status_code == 404


@pytest.mark.parametrize("body", [{}, {"name": "add"}, {"name": 1, "arguments": {}}, {"name": "add", "arguments": []}])
def test_what_is_no_call_is_refused(runner, body):
    offered = offer(runner, "bodies", ADD)
    with agent(offered) as http:
        assert http.post(f"{offered['url']}/calls", json=body).status_code == 400
        assert http.post(f"{offered['url']}/calls", json={"name": "no", "arguments": {}}).status_code == 404


# The tool server


def environment(offered):
    return {"SESSION_WIDGETS_TOOLS_URL": offered["url"], "SESSION_WIDGETS_TOOLS_TOKEN": offered["token"]}


@contextmanager
def tool_server(offered):
    process = subprocess.Popen(
        [sys.executable, *MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **environment(offered)},
        text=True,
    )

    def ask(line: object) -> Any:
        process.stdin.write((line if isinstance(line, str) else json.dumps(line)) + "\n")
        process.stdin.flush()

    def hear() -> Any:
        return json.loads(process.stdout.readline())

    try:
        yield ask, hear
        process.stdin.close()
        assert process.wait(10) == 0
        assert process.stdout.read() == ""
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def test_the_official_client_lists_and_calls(runner):
    from mcp import ClientSession, StdioServerParameters  # 34 MB in each worker that reads this file
    from mcp.client.stdio import stdio_client

    offered = offer(runner, "official", ADD)
    parameters = StdioServerParameters(command=sys.executable, args=list(MODULE), env=environment(offered))
    with listening(runner, "official") as calls:

        def answer() -> None:
            asked = next(calls)[1]
            runner.http.post(f"/v1/tools/official/calls/{asked['call']}/result", json=SUM)

        thread, _ = in_background(answer)
        async with stdio_client(parameters) as (reading, writing), ClientSession(reading, writing) as session:
            told = await session.initialize()
            assert told.server_info.name == "notebook"
            (tool,) = (await session.list_tools()).tools
            assert (tool.name, tool.description) == ("add", "Add.")
            result = await session.call_tool("add", {"a": 40})
            assert (result.content[0].text, result.is_error) == ("42", False)
        thread.join(10)


def test_whatever_a_client_writes_is_answered_or_ignored(runner):
    with tool_server(offer(runner, "hostile", ADD)) as (ask, hear):
        for line, code in [
            ("no json", -32700),
            ("[" * 100_000, -32700),
            ("[]", -32600),
            ('{"id": 1, "method": 2}', -32600),
            ('{"id": {}, "method": "ping"}', -32600),
            ('{"id": 1, "method": "ping", "params": []}', 0),
            ('{"id": 1, "method": "ping", "params": [1]}', -32600),
            ('{"id": 2, "method": "resources/list"}', -32601),
            ('{"id": 3, "method": "tools/call", "params": {"name": 1}}', -32602),
            ('{"id": 4, "method": "tools/call", "params": {"name": "no"}}', -32602),
        ]:
            ask(line)
            assert hear().get("error", {}).get("code", 0) == code, line[:80]
        for ignored in ('{"method": "notifications/cancelled"}', '{"id": 9, "result": {}}', "", "  "):
            ask(ignored)
        ask({"id": "last", "method": "initialize", "params": {"protocolVersion": "1900-01-01"}})
        assert hear()["result"]["protocolVersion"] == "2025-11-25"


def test_a_cancelled_request_is_given_up_and_not_answered(runner):
    with tool_server(offer(runner, "cancels", ADD)) as (ask, hear), listening(runner, "cancels") as calls:
        ask({"id": 1, "method": "tools/call", "params": {"name": "add", "arguments": {"a": 1}}})
        asked = next(calls)[1]
        ask({"method": "notifications/cancelled", "params": {"requestId": 1}})
        assert next(calls) == ("over", {"over": asked["call"]})
        ask({"id": 2, "method": "ping"})
        assert hear()["id"] == 2


def test_the_end_of_input_gives_up_what_is_under_way(runner):
    offered = offer(runner, "ends-here", ADD)
    with listening(runner, "ends-here") as calls:
        with tool_server(offered) as (ask, _):
            ask({"id": 1, "method": "tools/call", "params": {"name": "add", "arguments": {}}})
            asked = next(calls)[1]
        assert next(calls) == ("over", {"over": asked["call"]})


def test_a_runner_that_is_gone_is_said(start):
    one = start()
    offered = offer(one, "gone", ADD)
    one.stop()
    with tool_server(offered) as (ask, hear):
        ask({"id": 1, "method": "tools/list"})
        assert "does not answer" in hear()["error"]["message"]
        ask({"id": 2, "method": "tools/call", "params": {"name": "add"}})
        assert "does not answer" in hear()["error"]["message"]


def test_without_its_variables_it_says_so():
    bare = {name: value for name, value in os.environ.items() if not name.startswith("SESSION_WIDGETS_TOOLS")}
    ran = subprocess.run([sys.executable, *MODULE], env=bare, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "SESSION_WIDGETS_TOOLS_URL is not set" in ran.stderr
