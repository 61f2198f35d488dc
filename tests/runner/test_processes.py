"""Commands over HTTP."""

from __future__ import annotations

import json
import time
from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.runner.problems import code
from tests.runner.processes import exited, spawn, text, with_argument
from tests.support.runner import TOKEN, alive
from tests.support.waiting import until


def run(runner, *argv, **options):
    return runner.http.post("/v1/processes/run", json={"command": argv[0], "args": list(argv[1:]), **options})


def sh(runner, script, **options):
    return run(runner, "sh", "-c", script, **options)


def test_run(runner):
    answer = sh(runner, "echo out; echo err >&2; exit 3").json()
    assert answer.pop("durationMs") >= 0
    assert answer == {
        "exitCode": 3,
        "signal": None,
        "timedOut": False,
        "stdout": "out\n",
        "stderr": "err\n",
        "stdoutTruncated": False,
        "stderrTruncated": False,
    }


def test_run_in_the_workspace_with_an_environment(runner):
    (runner.root / "below").mkdir(exist_ok=True)
    assert sh(runner, "pwd").json()["stdout"] == f"{runner.root}\n"
    assert sh(runner, "pwd", cwd="below").json()["stdout"] == f"{runner.root}/below\n"
    assert sh(runner, "pwd", cwd="/usr").json()["stdout"] == "/usr\n"
    assert sh(runner, 'echo "$FOO$HOME"', env={"FOO": "bar", "HOME": "!"}).json()["stdout"] == "bar!\n"
    assert TOKEN not in sh(runner, "env").json()["stdout"]


def test_run_needs_no_shell(runner):
    assert run(runner, "printf", "%s|", "a b", "$HOME", ";").json()["stdout"] == "a b|$HOME|;|"


def test_run_with_input_and_bytes(runner):
    data = bytes(range(256)) * 4096
    answer = run(runner, "cat", stdin=b64encode(data).decode(), encoding="base64").json()
    assert b64decode(answer["stdoutBase64"]) == data
    assert answer["stderrBase64"] == ""
    assert run(runner, "cat").json()["stdout"] == ""


def test_run_is_cut_at_the_output_limit_and_goes_on(runner):
    answer = sh(runner, "yes | head -c 5000; echo done >&2", maxOutputBytes=20).json()
    assert answer["stdout"] == "y\n" * 10
    assert (answer["stdoutTruncated"], answer["stderrTruncated"], answer["stderr"]) == (True, False, "done\n")
    assert sh(runner, "printf 12345", maxOutputBytes=5).json()["stdoutTruncated"] is False


def test_a_timeout_kills_the_whole_group(runner):
    started = time.monotonic()
    answer = sh(runner, "echo before; sleep 611 & trap '' TERM; while :; do sleep 0.1; done", timeoutMs=300).json()
    assert (answer["timedOut"], answer["exitCode"], answer["signal"], answer["stdout"]) == (True, None, 9, "before\n")
    assert time.monotonic() - started < 3
    assert not with_argument("611")


def test_a_timeout_reaches_children_that_ignore_term(runner):
    answer = sh(runner, "(trap '' TERM; sleep 620) & sleep 620", timeoutMs=300).json()
    assert (answer["timedOut"], answer["signal"]) == (True, 15)
    assert not with_argument("620")


def test_a_client_that_leaves_kills_the_command(runner):
    with pytest.raises(httpx.ReadTimeout):
        runner.http.post("/v1/processes/run", json={"command": "sleep", "args": ["612"], "timeoutMs": 0}, timeout=0.5)
    until(lambda: not with_argument("612"), seconds=5)


def test_a_background_child_does_not_hold_the_answer(runner):
    started = time.monotonic()
    assert sh(runner, "sleep 613 & echo done").json()["stdout"] == "done\n"
    assert time.monotonic() - started < 2
    (left,) = with_argument("613")
    left.kill()


def test_a_signal_is_reported(runner):
    answer = sh(runner, "kill -SEGV $$").json()
    assert (answer["exitCode"], answer["signal"], answer["timedOut"]) == (None, 11, False)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"command": ""},
        {"command": "x", "args": "y"},
        {"command": "x", "args": [1]},
        {"command": "x", "env": {"A": 1}},
        {"command": "x", "cwd": 1},
        {"command": "true", "cwd": "none"},
        {"command": "true", "cwd": "a\0b"},
        {"command": "true", "timeoutMs": -1},
        {"command": "true", "timeoutMs": "1"},
        {"command": "true", "stdin": "not base64!"},
        {"command": "true", "encoding": "latin-1"},
    ],
)
def test_bad_runs(runner, body):
    assert code(runner.http.post("/v1/processes/run", json=body)) == (400, "invalid_request")


@pytest.mark.parametrize("options", [{}, {"tty": True}])
def test_a_program_that_is_not_there(runner, options):
    path = "/v1/processes" if options else "/v1/processes/run"
    answer = runner.http.post(path, json={"command": "no-such-cmd", **options})
    assert code(answer) == (502, "stream_error")
    message = "failed to spawn process: No such file or directory (os error 2)"
    assert answer.json()["detail"] == f"stream error: {message}"
    assert answer.json()["details"] == {"message": message}


def test_a_started_process_and_its_logs(runner):
    one = spawn(runner, "sh", "-c", "echo out; echo err >&2; read x; echo $x", interactive=True, env={"FOO": "bar"})
    url = f"/v1/processes/{one['id']}"
    assert (one["status"], one["owner"], one["tty"], one["interactive"]) == ("running", "user", False, True)
    assert alive(one["pid"])
    assert one in runner.http.get("/v1/processes").json()["processes"]
    assert runner.http.get("/v1/processes?owner=desktop").json() == {"processes": []}
    assert code(runner.http.delete(url)) == (409, "conflict")
    assert code(runner.http.post(f"{url}/input", json={"data": "plain text"})) == (400, "invalid_request")
    assert runner.http.post(f"{url}/input", json={"data": "YjY0Cg=="}).json() == {"bytesWritten": 4}
    assert exited(runner, one["id"])["exitCode"] == 0
    logs = runner.http.get(f"{url}/logs").json()
    assert (logs["processId"], logs["stream"]) == (one["id"], "combined")
    assert [entry["sequence"] for entry in logs["entries"]] == list(range(1, len(logs["entries"]) + 1))
    assert text(logs["entries"], "stdout") == "out\nb64\n"
    errors = runner.http.get(f"{url}/logs?stream=stderr").json()["entries"]
    assert text(errors, "stderr") == "err\n" == text(errors)
    assert len(runner.http.get(f"{url}/logs?tail=1").json()["entries"]) == 1
    assert runner.http.get(f"{url}/logs?since=1&tail=99").json()["entries"][0]["sequence"] == 2
    assert code(runner.http.get(f"{url}/logs?stream=x")) == (400, "invalid_request")
    assert code(runner.http.post(f"{url}/input", json={"data": ""})) == (409, "conflict")
    assert code(runner.http.post(f"{url}/terminal/resize", json={"cols": 1, "rows": 1})) == (409, "conflict")
    assert runner.http.delete(url).status_code == 204
    answer = runner.http.get(url)
    assert code(answer) == (404, "not_found")
    assert answer.json()["details"] == {"id": one["id"], "resource": "process"}


def test_followed_logs_end_at_the_exit(runner):
    one = spawn(runner, "sh", "-c", "echo first; read x; echo $x; exit 5", interactive=True)
    url = f"/v1/processes/{one['id']}"
    with runner.stream(f"{url}/logs?follow=true") as stream:
        event, id_, data = next(stream)
        assert (event, id_, text([json.loads(data)])) == ("log", "1", "first\n")
        with httpx.Client(headers=runner.http.headers) as other:
            other.post(f"{runner.url}{url}/input", json={"data": "second\n", "encoding": "utf8"})
        (log, id_, data), (end, _, record) = list(stream)
    assert (log, id_, text([json.loads(data)])) == ("log", "2", "second\n")
    assert (end, json.loads(record)["exitCode"]) == ("exit", 5)


def test_logs_keep_the_newest_and_tell_the_gap(start):
    runner = start(limits={"maxLogBytesPerProcess": 100_000})
    one = spawn(runner, "sh", "-c", "seq 1 200000; read x", interactive=True)
    url = f"/v1/processes/{one['id']}/logs"
    until(lambda: text(runner.http.get(url).json()["entries"]).endswith("\n200000\n"))
    entries = runner.http.get(url).json()["entries"]
    assert entries[0]["sequence"] > 1
    assert len(text(entries)) <= 100_000
    numbers = [entry["sequence"] for entry in entries]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))


@pytest.mark.parametrize(("how", "signal"), [("stop", 15), ("kill", 9)])
def test_stop_and_kill(runner, how, signal):
    one = spawn(runner, "sh", "-c", "sleep 614 & sleep 614")
    answer = runner.http.post(f"/v1/processes/{one['id']}/{how}?waitMs=5000").json()
    assert (answer["status"], answer["signal"]) == ("exited", signal)
    assert "exitCode" not in answer
    assert "pid" not in answer
    assert answer["exitedAtMs"] >= answer["createdAtMs"]
    until(lambda: not with_argument("614"))
    assert runner.http.post(f"/v1/processes/{one['id']}/{how}").json() == answer


def test_unread_input_is_bounded(runner):
    one = spawn(runner, "sleep", "615", interactive=True)
    url = f"/v1/processes/{one['id']}"
    large = runner.http.post(f"{url}/input", json={"data": "x" * 70_000, "encoding": "utf8"})
    assert code(large) == (413, "limit_exceeded")
    assert large.json()["limit"] == "maxInputBytesPerRequest"
    answers = [runner.http.post(f"{url}/input", json={"data": "x" * 60_000, "encoding": "utf8"}) for _ in range(30)]
    assert answers[0].status_code == 200
    assert code(answers[-1]) == (409, "conflict")
    runner.http.post(f"{url}/kill?waitMs=5000")


def test_limits_can_be_read_and_changed(start):
    runner = start()
    config = runner.http.get("/v1/processes/config").json()
    assert set(config) == {
        "maxConcurrentProcesses",
        "defaultRunTimeoutMs",
        "maxRunTimeoutMs",
        "maxOutputBytes",
        "maxLogBytesPerProcess",
        "maxInputBytesPerRequest",
    }
    config |= {"maxConcurrentProcesses": 1, "defaultRunTimeoutMs": 300, "maxRunTimeoutMs": 1000}
    assert runner.http.post("/v1/processes/config", json=config).json() == config
    assert run(runner, "sleep", "616").json()["timedOut"] is True
    assert run(runner, "sleep", "616", timeoutMs=60_000).json()["timedOut"] is True
    assert run(runner, "sleep", "616", timeoutMs=0).json()["timedOut"] is True
    one = spawn(runner, "sleep", "617")
    full = run(runner, "true")
    assert code(full) == (409, "limit_exceeded")
    assert full.json()["limit"] == "maxConcurrentProcesses"
    runner.http.post(f"/v1/processes/{one['id']}/kill?waitMs=5000")
    assert run(runner, "true").json()["exitCode"] == 0
    whole = config | {"maxAgents": 1}
    assert runner.http.post("/v1/processes/config", json=whole | {"defaultRunTimeoutMs": 9_000}).json() == config | {
        "defaultRunTimeoutMs": 1000
    }
    assert code(runner.http.post("/v1/processes/config", json=whole | {"maxOutputBytes": 0})) == (
        400,
        "invalid_request",
    )
    for bad in ({"maxOutputBytes": 5}, whole | {"maxOutputBytes": -1}, whole | {"maxOutputBytes": True}):
        assert code(runner.http.post("/v1/processes/config", json=bad)) == (422, "invalid_request")


def test_old_records_are_forgotten(start):
    runner = start(limits={"maxExitedProcesses": 3})
    ids = [exited(runner, spawn(runner, "true")["id"])["id"] for _ in range(6)]
    assert [one["id"] for one in runner.http.get("/v1/processes").json()["processes"]] == ids[-3:]


def test_many_at_once(runner):
    with ThreadPoolExecutor(16) as pool:
        outputs = list(pool.map(lambda number: sh(runner, f"sleep 0.1; echo {number}").json()["stdout"], range(32)))
    assert outputs == [f"{number}\n" for number in range(32)]
