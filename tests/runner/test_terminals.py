"""Terminals of a runner, over WebSocket: a shell, its viewers, and what they may not do."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.runner.problems import code
from tests.runner.processes import exited, info, spawn, text, with_argument
from tests.support.runner import TOKEN
from tests.support.waiting import until


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
