"""Start, door, sleep and death of a runner."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import httpx
import psutil
import pytest

from session_widgets.runner.__main__ import TICK_SECONDS
from session_widgets.runner.newcomers import HEADER_SECONDS
from tests.runner.processes import spawn, text
from tests.support.cores import waited_for_a_core
from tests.support.runner import TOKEN, alive, write_config
from tests.support.waiting import until


def test_healthy_quickly_and_small(start):
    seconds = []
    for name in ("first", "second", "third"):  # the best of three: other programs share this machine
        started, waited = time.monotonic(), waited_for_a_core(os.getpid())
        runner = start(name)
        health = runner.http.get("/v1/health").json()
        others = waited_for_a_core(os.getpid()) - waited + waited_for_a_core(runner.process.pid)
        seconds.append(time.monotonic() - started - others)
    assert min(seconds) < 0.8, seconds
    assert psutil.Process(runner.process.pid).memory_info().rss < 70e6
    assert health["status"] == "ok"
    assert health["nonce"] == runner.nonce
    assert health["pid"] == runner.process.pid
    assert health["features"] == ["async-post", "journal", "ack", "snapshots", "watch", "tools", "changes"]
    assert health["uptimeMs"] >= 0


def test_nothing_heavy_is_imported():
    heavy = {"pydantic", "acp", "duckdb", "pandas", "httpx", "watchfiles"}
    imports = "import sys, session_widgets.runner.__main__, session_widgets.runner.app"
    code = f"{imports}; print([*({heavy} & set(sys.modules))])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_runner_that_ends_refuses_what_comes(start):
    """It still stops a process, which ignores SIGTERM: a request would do half of its work."""
    runner = start("ending")
    process = spawn(runner, "sh", "-c", "trap '' TERM; echo ready; sleep 60")["id"]
    until(lambda: text(runner.http.get(f"/v1/processes/{process}/logs").json()["entries"]) == "ready\n")
    runner.process.send_signal(signal.SIGTERM)
    until(lambda: runner.http.get("/v1/health").status_code == 503)
    refused = runner.http.get("/v1/health")
    assert (refused.json()["type"], refused.json()["accepted"]) == ("urn:sandbox-agent:error:stopping", False)
    assert refused.headers["connection"] == "close"
    assert runner.process.wait(10) == 0


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}, {"authorization": "Bearer"}],
)
@pytest.mark.parametrize("path", ["/", "/v1/health", "/v1/acp", "/v1/fs/entries", "/v1/nope", "/v1/processes"])
def test_no_way_in_without_the_token(runner, path, headers):
    answer = httpx.get(runner.url + path, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["type"] == "urn:sandbox-agent:error:token_invalid"
    assert answer.json()["details"] == {"message": "missing or invalid bearer token"}


def test_a_token_in_the_address_is_for_websockets_alone(runner):
    assert httpx.get(f"{runner.url}/v1/health?access_token={TOKEN}").status_code == 401


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1:1", 403),
        ("http://evil.example:PORT", 403),
        ("http://127.0.0.1:PORT", 200),
    ],
)
def test_pages_of_other_origins_are_refused(runner, origin, status):
    headers = {"origin": origin.replace("PORT", str(runner.port))}
    assert runner.http.get("/v1/health", headers=headers).status_code == status


def test_a_page_that_rebinds_its_name_to_this_machine_is_refused(runner):
    host = f"evil.example:{runner.port}"
    assert runner.http.get("/v1/health", headers={"host": host, "origin": f"http://{host}"}).status_code == 403


def test_no_secret_in_arguments_log_or_ready_file(start):
    runner = start()
    runner.open("c")
    runner.http.get("/v1/acp/none")
    runner.stop(signal.SIGTERM)
    again = start()
    assert TOKEN not in " ".join(psutil.Process(again.process.pid).cmdline())
    assert TOKEN not in again.ready.read_text()
    assert TOKEN not in again.log.read_text()


@pytest.mark.parametrize(
    ("settings", "mode", "words"),
    [
        ({}, 0o644, "chmod 600"),
        ({"token": ""}, 0o600, "token"),
        ({"nonsense": 1}, 0o600, "nonsense"),
        ({"limits": {"maxNonsense": 1}}, 0o600, "maxNonsense"),
        ({"limits": {"maxAgents": "many"}}, 0o600, "maxAgents"),
        ({"root": "/nowhere/at/all"}, 0o600, "/nowhere/at/all"),
        ({"user": [0, 0]}, 0o600, "other than root's"),
    ],
)
def test_a_bad_config_is_refused_with_the_reason(tmp_path, settings, mode, words):
    config = write_config(tmp_path, **settings)
    config.chmod(mode)
    command = [sys.executable, "-m", "session_widgets.runner", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_configuration_is_removed_once_it_is_read_and_missed_at_the_next_start(start):
    config = start().directory / "config.json"
    assert not config.exists()
    command = [sys.executable, "-m", "session_widgets.runner", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr.count("each start needs a new one")) == (2, 1)


def test_two_runners_do_not_share_a_state_directory(start):
    runner = start()
    config = write_config(runner.directory)
    command = [sys.executable, "-m", "session_widgets.runner", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert "another runner uses" in done.stderr
    assert runner.http.get("/v1/health").status_code == 200


HIDE = "env -i setsid sh -c 'sleep 611 >/dev/null 2>&1 & echo $!'"


def family(runner) -> list[int]:
    """Start every sort of process below a runner and return their ids."""
    runner.open("c")
    runner.prompt("c", "children", "a")
    stubborn, strayed = map(int, runner.texts("c", last=3)[0].split())
    runner.prompt("c", "stubborn", "b")
    shell = runner.http.post("/v1/processes", json={"command": "sh", "args": ["-c", "sleep 601 & sleep 602"]}).json()
    bare = runner.http.post("/v1/processes", json={"command": "env", "args": ["-i", "sleep", "603"]}).json()
    terminal = runner.http.post("/v1/processes", json={"command": "sleep", "args": ["604"], "tty": True}).json()
    until(lambda: psutil.Process(bare["pid"]).cmdline()[0] == "sleep")
    pids = {stubborn, strayed, shell["pid"], bare["pid"], terminal["pid"], *runner.carriers()}
    assert len(pids) >= 8
    return sorted(pids)


def test_ctrl_c_stops_it(start):
    runner = start()
    runner.open("c")
    assert runner.stop(signal.SIGINT) < 2
    assert runner.process.returncode == 0
    assert not runner.carriers()


def test_a_stopped_runner_leaves_no_process(start):
    runner = start()
    pids = family(runner)
    with runner.stream("/v1/acp/c", last_event_id="4") as stream:
        runner.process.send_signal(signal.SIGTERM)
        last = [json.loads(data) for event, _, data in stream if event == "message"]
    assert last[-1]["method"] == "_adapter/agent_exited"
    assert runner.process.wait(10) == 0
    assert not [pid for pid in pids if alive(pid)]
    assert not runner.ready.exists()


def test_a_stopped_runner_leaves_no_process_that_hid_from_it(start):
    """Without its mark, in a session of its own, its parent gone."""
    runner = start()
    pid = int(runner.http.post("/v1/processes/run", json={"command": "sh", "args": ["-c", HIDE]}).json()["stdout"])
    assert not any("SESSION_WIDGETS" in name for name in psutil.Process(pid).environ())
    assert alive(pid)
    runner.stop(signal.SIGTERM)
    assert not alive(pid)


def test_a_killed_runner_leaves_no_process(start):
    runner = start()
    pids = family(runner)
    runner.stop(signal.SIGKILL)
    until(lambda: not [pid for pid in pids if alive(pid)], seconds=5, what="the end of all processes")


def test_it_sleeps_when_nothing_happens_and_only_then(start):
    with ExitStack() as stack:
        runners = {}
        for name in ("stream", "agent", "process", "nothing"):
            runners[name] = runner = start(name, idle_seconds=2)
            runner.open("c")
            if name == "stream":
                stack.enter_context(runner.stream("/v1/acp/c"))
            elif name == "agent":
                runner.prompt("c", "hang", wait=False)
            elif name == "process":
                runner.http.post("/v1/processes", json={"command": "sleep", "args": ["60"]})
        asleep = runners.pop("nothing")
        assert asleep.process.wait(20) == 0
        assert not asleep.carriers()
        with pytest.raises(subprocess.TimeoutExpired):
            runners["process"].process.wait(1.5)
        for name, runner in runners.items():
            assert runner.process.poll() is None, name


def test_a_prompt_that_never_ends_does_not_keep_it_awake_for_ever(start):
    runner = start(idle_seconds=1, limits={"maxSilenceMs": 2_000})
    runner.open("c")
    assert runner.prompt("c", "hang", wait=False).status_code == 202
    assert runner.process.wait(15) == 0
    again = start()
    (_, error), (_, exit_) = again.events("c", 1, method="_adapter/agent_exited")
    assert (error["id"], error["error"]["code"]) == ("p", -32603)
    assert exit_["params"]["signal"] == signal.SIGTERM


def test_orphans_are_collected(start):
    """A container's first process inherits every orphan; none may stay as a zombie."""
    runner = start()
    code = "import subprocess; print(subprocess.Popen(['sleep', '0.1'], stdout=-3, start_new_session=True).pid)"
    body = {"command": sys.executable, "args": ["-c", code]}
    pid = int(runner.http.post("/v1/processes/run", json=body).json()["stdout"])
    until(lambda: not psutil.pid_exists(pid), what="the end of the orphan")


def test_too_many_requests_name_the_limit(start):
    runner = start(limits={"maxRequests": 2})
    runner.open("c")
    with runner.stream("/v1/acp/c"), runner.stream("/v1/acp/c"):
        answer = runner.http.get("/v1/health")
        assert answer.status_code == 503
        assert answer.json()["limit"] == "maxRequests"
    until(lambda: runner.http.get("/v1/health").status_code == 200)


def test_idle_strangers_block_no_client(start):
    """1,100 connections without a token, at the usual limit of 1,024 open files."""
    runner = start()
    resource.prlimit(runner.process.pid, resource.RLIMIT_NOFILE, (1024, 1024))
    with _strangers(runner, 1_100) as strangers:
        assert runner.http.get("/v1/health").json()["pid"] == runner.process.pid
        runner.open("c")
        assert runner.prompt("c", "say hi").status_code == 200
        assert psutil.Process(runner.process.pid).num_fds() < 700
        assert _hung_up(strangers[0])
    assert runner.process.poll() is None


def test_an_idle_connection_is_closed(start):
    runner = start()
    with _strangers(runner, 1) as (stranger,):
        stranger.settimeout(HEADER_SECONDS + 10)
        started = time.monotonic()
        assert stranger.recv(1) == b""
        assert time.monotonic() - started > HEADER_SECONDS - 3


def test_strangers_do_not_keep_it_awake(start):
    runner = start(idle_seconds=2)
    started = time.monotonic()
    while runner.process.poll() is None and time.monotonic() - started < 15:
        with contextlib.suppress(httpx.TransportError):  # it has ended
            httpx.get(f"{runner.url}/v1/health")
        time.sleep(0.2)
    assert runner.process.poll() == 0


def test_a_refused_connection_is_closed(runner):
    with _strangers(runner, 1, b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n") as (stranger,):
        stranger.settimeout(10)
        answer = b"".join(iter(lambda: stranger.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 401 ")


def test_a_runner_without_a_free_file_goes_on_when_there_is_one(start):
    runner = start()
    pid = runner.process.pid
    used = psutil.Process(pid).num_fds()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, 1024))
    with pytest.raises(subprocess.TimeoutExpired):
        runner.process.wait(2 * TICK_SECONDS + 0.5)  # each tick looks for orphans, which takes a file
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (1024, 1024))
    assert runner.http.get("/v1/health").status_code == 200


@contextmanager
def _strangers(runner, number, said=b"GET / HTTP/1.1\r\n"):
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(number + 512, _FILES[0]), _FILES[1]))
    sockets = [socket.create_connection(("127.0.0.1", runner.port)) for _ in range(number)]
    try:
        for one in sockets:
            with contextlib.suppress(OSError):  # it may have been cut off already
                one.sendall(said)
        yield sockets
    finally:
        for one in sockets:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, _FILES)


def _hung_up(stranger):
    stranger.settimeout(10)
    try:
        return stranger.recv(1) == b""
    except ConnectionResetError:
        return True


_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)
