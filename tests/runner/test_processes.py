"""Commands over HTTP."""

from __future__ import annotations

import json
import time
from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.support.runner import TOKEN, alive
from tests.support.waiting import until


def code(answer) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["type"].removeprefix("urn:sandbox-agent:error:")


def run(runner, *argv, **options):
    return runner.http.post("/v1/processes/run", json={"command": argv[0], "args": list(argv[1:]), **options})


def sh(runner, script, **options):
    return run(runner, "sh", "-c", script, **options)


def spawn(runner, *argv, **options):
    answer = runner.http.post("/v1/processes", json={"command": argv[0], "args": list(argv[1:]), **options})
    assert answer.status_code == 200, answer.text
    return answer.json()


def info(runner, id_):
    return runner.http.get(f"/v1/processes/{id_}").json()


def exited(runner, id_):
    return until(lambda: (one := info(runner, id_))["status"] == "exited" and one)


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


def with_argument(argument):
    return [one for one in psutil.process_iter(["cmdline"]) if argument in (one.info["cmdline"] or [])]


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


def text(entries, stream=None):
    data = b"".join(b64decode(entry["data"]) for entry in entries if stream in (None, entry["stream"]))
    return data.decode()


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


def terminal(runner, id_, **options) -> ClientConnection:
    url = f"ws://127.0.0.1:{runner.port}/v1/processes/{id_}/terminal/ws"
    return connect(url, additional_headers={"authorization": f"Bearer {TOKEN}"}, **options)


def read_until(socket, ending: bytes) -> bytes:
    seen = b""
    while not seen.endswith(ending):
        frame = socket.recv(timeout=10)
        assert isinstance(frame, bytes), frame
        seen += frame
    return seen


def send(socket, **frame):
    socket.send(json.dumps(frame))


@pytest.fixture
def shell(runner):
    one = spawn(runner, "sh", tty=True, env={"PS1": "> ", "ENV": ""})
    yield one["id"]
    runner.http.post(f"/v1/processes/{one['id']}/kill?waitMs=5000")


def test_a_terminal(runner, shell):
    with terminal(runner, shell) as socket:
        assert json.loads(socket.recv()) == {"type": "ready", "processId": shell}
        read_until(socket, b"> ")
        send(socket, type="resize", cols=100, rows=30)
        send(socket, type="input", data="stty size; test -t 0 && echo $((6*7)) > /dev/tty\n")
        assert b"30 100\r\n42\r\n" in read_until(socket, b"42\r\n> ")
        send(socket, type="input", data=b64encode(b'echo ba""se\n').decode(), encoding="base64")
        assert b"\nbase\r\n" in read_until(socket, b"base\r\n> ")
        socket.send(b'echo bi""nary\n')
        read_until(socket, b"\nbinary\r\n> ")
        size = runner.http.post(f"/v1/processes/{shell}/terminal/resize", json={"cols": 70, "rows": 20}).json()
        assert size == {"cols": 70, "rows": 20}
        send(socket, type="input", data="stty size\n")
        read_until(socket, b"20 70\r\n> ")
        send(socket, type="input", data="sleep 618\n")
        until(lambda: with_argument("618"))
        send(socket, type="input", data="\x03")
        until(lambda: not with_argument("618"))
        send(socket, type="input", data="exit 4\n")
        frames = list(socket)
    assert json.loads(frames[-1]) == {"type": "exit", "exitCode": 4, "signal": None}
    assert b"exit 4\r\n" in b"".join(frames[:-1])
    assert exited(runner, shell)["exitCode"] == 4
    logs = runner.http.get(f"/v1/processes/{shell}/logs").json()
    assert logs["stream"] == "pty"
    assert "30 100\r\n42\r\n" in text(logs["entries"])
    assert code(runner.http.post(f"/v1/processes/{shell}/terminal/resize", json={"cols": 1, "rows": 1}))[0] == 409


def test_a_second_viewer_sees_what_was_shown(runner, shell):
    with terminal(runner, shell) as first:
        first.recv()
        send(first, type="input", data='echo hi""story\n')
        seen = read_until(first, b"history\r\n> ")
        with terminal(runner, shell) as second:
            second.recv()
            assert read_until(second, b"history\r\n> ") == seen
            send(second, type="input", data='echo bo""th\n')
            assert read_until(first, b"both\r\n> ") == read_until(second, b"both\r\n> ")
        send(first, type="input", data='echo sti""ll\n')
        read_until(first, b"still\r\n> ")


def test_a_viewer_after_the_exit_sees_all(runner, shell):
    runner.http.post(f"/v1/processes/{shell}/input", json={"data": 'echo la""te; exit 3\n', "encoding": "utf8"})
    exited(runner, shell)
    with terminal(runner, shell) as socket:
        frames = list(socket)
    assert b"late\r\n" in frames[1]
    assert json.loads(frames[-1]) == {"type": "exit", "exitCode": 3, "signal": None}


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ('{"type":"bogus"}', "unknown variant `bogus`"),
        ("{bad", "invalid terminal frame"),
        ("[]", "invalid terminal frame"),
        ('{"type":"input"}', "data"),
        ('{"type":"resize","cols":0,"rows":"x"}', "cols and rows"),
        (json.dumps({"type": "input", "data": "x" * 70_000}), "maxInputBytesPerRequest"),
    ],
)
def test_a_bad_frame_is_an_error_and_no_more(runner, shell, frame, words):
    with terminal(runner, shell) as socket:
        socket.recv()
        read_until(socket, b"> ")
        socket.send(frame)
        error = json.loads(socket.recv(timeout=5))
        assert error["type"] == "error"
        assert words in error["message"]
        send(socket, type="close")
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=5)
    assert info(runner, shell)["status"] == "running"


def test_a_terminal_needs_the_token(runner, shell):
    plain = spawn(runner, "sleep", "619")["id"]
    url = f"ws://127.0.0.1:{runner.port}/v1/processes/{shell}/terminal/ws"

    def status(address, **options) -> int:
        with pytest.raises(InvalidStatus) as refused:
            connect(address, **options)
        return refused.value.response.status_code

    assert status(url) == 401
    assert status(f"{url}?access_token=wrong") == 401
    assert status(f"{url}?access_token={TOKEN}", origin="http://evil.example") == 403
    assert status(f"{url.replace(shell, 'proc_99')}?access_token={TOKEN}") == 404
    assert status(f"{url.replace(shell, plain)}?access_token={TOKEN}") == 409
    with connect(f"{url}?access_token={TOKEN}", origin=f"http://127.0.0.1:{runner.port}") as socket:
        assert json.loads(socket.recv())["type"] == "ready"
    runner.http.post(f"/v1/processes/{plain}/kill?waitMs=5000")
