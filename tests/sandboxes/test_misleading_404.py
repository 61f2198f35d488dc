"""A sandbox or a file is gone only if its lookup says so, and never because some text contains "404"."""

import json
import socketserver
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import httpx
import pytest

from session_widgets._sandboxes.containers import STATE, Containers, _name
from session_widgets._sandboxes.runner_client import problem
from session_widgets.errors import BadPath, NotFound, SandboxAuth, SandboxError, SandboxGone, TransportError
from session_widgets.host.daemon import installation


@contextmanager
def dockerd(path, answers):
    """A daemon of Docker that answers as told: by method and the end of the path."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            place = self.path.partition("?")[0]
            told = (answer for asked, answer in answers.items() if self._is(place, *asked))
            status, body = next(told, (200, {"ApiVersion": "1.44", "MinAPIVersion": "1.24"}))
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _is(self, place, method, end):
            return self.command == method and place.endswith(end)

        do_GET = do_POST = do_DELETE = answer

        def address_string(self):
            return "unix"

        def log_message(self, *_):
            pass

    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def containers(tmp_path, monkeypatch):
    """The containers of a data directory in which one sandbox is recorded."""
    pytest.importorskip("docker")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'd.sock'}")
    found = Containers(tmp_path)
    place = found._home / "one"
    place.mkdir(parents=True)
    made = {"workspace": str(tmp_path), "account": [1000, 1000, ""], "config": {"state": STATE}}
    (place / "sandbox.json").write_text(json.dumps(made))
    return found


def container(home, status):
    labels = {"session_widgets.home": installation(home)}
    return {"Id": "c1", "Name": f"/{_name('one')}", "State": {"Status": status}, "Config": {"Labels": labels}}


def test_a_container_that_is_not_found_is_gone(containers, tmp_path):
    with (
        dockerd(tmp_path / "d.sock", {("GET", "/json"): (404, {"message": f"No such container: {_name('one')}"})}),
        pytest.raises(SandboxGone),
    ):
        containers.start_if_stopped("one")


@pytest.mark.parametrize(
    "answers",
    [
        {("GET", "/json"): (500, {"message": "registry says 404 page not found"})},
        {("GET", "/json"): (400, {"message": "No such container: 404"})},
        {("POST", "/unpause"): (404, {"message": "network one not found"})},
    ],
)
def test_a_404_of_something_else_is_an_error(containers, tmp_path, answers):
    paused = {("GET", "/json"): (200, container(containers._home, "paused"))}
    with dockerd(tmp_path / "d.sock", answers | paused if ("POST", "/unpause") in answers else answers):
        with pytest.raises(SandboxError) as caught:
            containers.start_if_stopped("one")
        assert not isinstance(caught.value, SandboxGone)


def answer(status, body, content_type="application/problem+json"):
    request = httpx.Request("GET", "http://runner/v1/fs/stat")
    content = json.dumps(body).encode() if isinstance(body, dict) else body.encode()
    return httpx.Response(status, headers={"content-type": content_type}, content=content, request=request)


def told(code, detail):
    return {"type": f"urn:sandbox-agent:error:{code}", "title": code, "detail": detail}


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (answer(404, told("not_found", "not found: path not found: a")), NotFound),
        (answer(404, told("invalid_request", "endpoint not found")), SandboxError),
        (answer(404, "<h1>404 Not Found</h1>", "text/html"), TransportError),
        (answer(400, {"statusCode": 400, "message": "sandbox is not running"}, "application/json"), TransportError),
        (answer(403, "<h1>Forbidden</h1>", "text/html"), TransportError),
        (answer(401, "<h1>Unauthorized</h1>", "text/html"), SandboxAuth),
        (answer(502, told("stream_error", "404 not found")), SandboxError),
        (answer(400, told("invalid_request", "no file of the name 404")), BadPath),
    ],
)
def test_a_file_is_missing_only_if_the_runner_says_so(given, kind):
    assert type(problem(given, "/workspace")) is kind
