"""A runner's reports about its agents."""

from __future__ import annotations

import sys

from tests.support.runner import AGENT

DEMO = [sys.executable, "-m", "session_widgets.demo"]


def test_what_was_not_asked_is_not_claimed(runner):
    listed = runner.http.get("/v1/agents").json()["agents"]
    assert [(one["id"], one["installed"]) for one in listed] == [("demo", True), ("missing", False)]
    demo = runner.http.get("/v1/agents/demo").json()
    assert demo == listed[0]
    assert demo["version"] == "1.2"
    assert len(demo["capabilities"]) == 18
    assert {"configOptions", "configError", "serverStatus"}.isdisjoint(demo)
    assert not demo["capabilities"]["images"]
    unknown = runner.http.get("/v1/agents/nope")
    assert (unknown.status_code, unknown.json()["type"]) == (400, "urn:sandbox-agent:error:unsupported_agent")
    assert runner.http.get("/v1/agents?config=maybe").status_code == 400


def test_an_agent_is_asked_for_its_options_once(start):
    runner = start(agents={"demo": {"command": DEMO, "version": "1"}, "missing": {"command": ["no-such-agent"]}})
    demo, missing = runner.http.get("/v1/agents?config=true").json()["agents"]
    assert [option["category"] for option in demo["configOptions"]] == ["mode", "model", "thought_level"]
    assert demo["serverStatus"] == {"status": "stopped"}
    assert "configError" not in demo
    can = {name for name, has in demo["capabilities"].items() if has}
    assert can >= {"planMode", "reasoning", "sessionLifecycle"}
    assert "images" not in can
    assert missing["configError"] == "no-such-agent is not installed"
    assert not missing["capabilities"]["reasoning"]
    assert runner.http.get("/v1/acp").json() == {"servers": []}
    assert not runner.carriers()
    assert runner.http.get("/v1/agents/demo").json()["capabilities"] == demo["capabilities"]


def test_an_agents_answers_are_cached_unless_fresh_ones_are_requested(start, tmp_path):
    note = f"open({str(tmp_path / 'starts')!r}, 'a').write('x')"
    again = f"{note}; import runpy; runpy.run_path({str(AGENT)!r}, run_name='__main__')"
    runner = start(agents={"demo": {"command": [sys.executable, "-c", again]}})
    for query in ("", "?config=true", "?config=true", "?no_cache=true"):
        assert runner.http.get(f"/v1/agents/demo{query}").status_code == 200
    assert (tmp_path / "starts").read_text() == "x"
    runner.http.get("/v1/agents/demo?config=true&no_cache=true")
    assert (tmp_path / "starts").read_text() == "xx"


def test_a_running_agent_has_an_uptime(runner):
    runner.open("up")
    status = runner.http.get("/v1/agents/demo?config=true").json()["serverStatus"]
    assert status["status"] == "running"
    assert status["uptimeMs"] >= 0
    runner.http.delete("/v1/acp/up")


def test_an_agent_that_does_not_answer_says_why(start):
    crash = "import sys; sys.stdin.readline(); sys.exit(4)"
    refuse = 'import sys; sys.stdin.readline(); print(\'{"id":"initialize","error":{"message":"log in"}}\')'
    runner = start(
        agents={
            "crash": {"command": [sys.executable, "-c", crash]},
            "refuse": {"command": [sys.executable, "-c", refuse]},
        }
    )
    crashed, refused = runner.http.get("/v1/agents?config=true").json()["agents"]
    assert crashed["configError"] == "it ended with code 4 before it answered initialize"
    assert refused["configError"] == "it refused initialize: log in"
    assert "configOptions" not in crashed


def test_an_agent_without_its_key_says_so(start):
    keyed = {"command": [sys.executable, str(AGENT)], "keys": ["NO_SUCH_KEY", "OTHER_KEY"]}
    runner = start(agents={"a": keyed, "b": keyed | {"env": {"OTHER_KEY": "x"}}, "c": {"command": ["x"]}})
    agents = runner.http.get("/v1/agents").json()["agents"]
    assert [one["credentialsAvailable"] for one in agents] == [False, True, True]


def test_a_runner_installs_nothing_and_says_so(runner):
    def install(name, body):
        return runner.http.post(f"/v1/agents/{name}/install", json=body)

    assert install("demo", {}).json() == {"already_installed": True, "artifacts": []}
    assert install("demo", {"reinstall": False, "agentVersion": None}).status_code == 200
    for name, body in (("missing", {}), ("demo", {"reinstall": True})):
        refused = install(name, body)
        assert (refused.status_code, refused.json()["type"]) == (500, "urn:sandbox-agent:error:install_failed")
    assert install("demo", {"reinstall": "yes"}).status_code == 422
    assert runner.http.post("/v1/agents/demo/install").status_code == 415
