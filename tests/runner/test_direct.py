"""`/v1/tree/direct`: signed requests to an object store, which here is a server that answers as a test wants."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.runner.problems import code
from tests.support.waiting import until

BODY = b"the content of an object"
DATE = "Sat, 28 Nov 2026 20:00:00 GMT"


class Store(BaseHTTPRequestHandler):
    """Answers by the path of a request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        server.asked.append((self.client_address[1], self.path))
        if self.path == "/hangs":
            self.send_response(200)
            self.send_header("content-length", str(len(BODY)))
            self.send_header("last-modified", DATE)
            self.end_headers()
            self.wfile.write(BODY[:5])
            self.wfile.flush()
            server.begun.set()
            server.over.wait(30)
            self.close_connection = True
            return
        answers = {"/moved": (302, b""), "/short": (200, BODY[:5]), "/other": (200, b"T" + BODY[1:])}
        status, body = answers.get(self.path, (200, BODY))
        self.send_response(status)
        length = len(BODY) if self.path == "/short" else len(body)
        headers = {"content-length": length, "last-modified": DATE, "location": "/moved-to", "etag": '"e"'}
        if self.path == "/script":
            headers |= {"x-amz-meta-mode": 0o100755, "x-amz-meta-mtime": 1_700_000_000}
        if self.path == "/link":
            headers |= {"x-amz-meta-mode": 0o120777}
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.path == "/short"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if len(body) < int(self.headers["content-length"]):
            self.close_connection = True
            return
        self.server.stored[self.path] = body
        self.send_response(200)
        self.send_header("etag", '"stored"')
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def store():
    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        server.asked, server.stored, server.begun, server.over = [], {}, threading.Event(), threading.Event()
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.over.set()
        server.shutdown()


def wanted(store, path: str, place: str, **more) -> dict:
    known = {"size": len(BODY), "md5": hashlib.md5(BODY).hexdigest(), "seen": "nothing"}
    return {"method": "GET", "url": f"{store.url}/{place}", "headers": {}, "path": path, **known, **more}


def asked(runner, *requests) -> dict[int, list]:
    answer = runner.http.post("/v1/tree/direct", json={"requests": requests})
    assert answer.status_code == 200, answer.text
    return dict(json.loads(line) for line in answer.text.split("\n") if line)


def test_contents_are_put_in_place_as_their_metadata_say(runner, folder, store):
    one = asked(runner, wanted(store, f"{folder}/a/script", "script"), wanted(store, f"{folder}/link", "link"))
    script, link = runner.root / folder / "a/script", runner.root / folder / "link"
    assert (script.read_bytes(), script.stat().st_mode & 0o777) == (BODY, 0o755)
    assert script.stat().st_mtime == 1_700_000_000
    assert str(link.readlink()) == BODY.decode()
    assert one[0][3][:4] == [f"{folder}/a/script", "file", len(BODY), 0o755]
    assert one[1][3][1] == "link"
    again = asked(runner, wanted(store, f"{folder}/a/script", "script"))
    assert again[0][0] == "occupied", "nothing was seen there"
    sent = wanted(store, f"{folder}/a/script", "kept", method="PUT")
    assert asked(runner, sent)[0][:3] == ["", 200, "stored"]
    assert store.stored == {"/kept": BODY}


@pytest.mark.parametrize(
    ("place", "failed"), [("other", "changed"), ("short", "unreachable"), ("moved", "refused"), ("sized", "changed")]
)
def test_another_content_is_not_put_in_place(runner, folder, store, place, failed):
    size = {"size": 5} if place == "sized" else {}
    found = asked(runner, wanted(store, f"{folder}/f", place, **size))
    assert found[0][0] == failed
    assert not (runner.root / folder).exists() or list((runner.root / folder).iterdir()) == []
    assert [path for _, path in store.asked] == [f"/{place}"], "no redirection is followed"


def test_a_shorter_file_is_not_sent(runner, folder, store):
    (runner.root / folder).mkdir(parents=True, exist_ok=True)
    (runner.root / folder / "f").write_bytes(BODY[:5])
    (runner.root / folder / "outside").symlink_to("/etc")
    paths = (f"{folder}/f", f"{folder}/gone", f"{folder}/outside/passwd")
    found = asked(runner, *(wanted(store, path, "put", method="PUT") for path in paths))
    assert [found[number][0] for number in range(3)] == ["changed"] * 3
    assert store.stored == {}


def test_a_thread_keeps_its_connection(runner, folder, store):
    asked(runner, *(wanted(store, f"{folder}/{number}", "x") for number in range(40)))
    assert len({port for port, _ in store.asked}) <= 8
    assert len(store.asked) == 40


def test_a_client_that_leaves_ends_its_transfers(runner, folder, store):
    body = {"requests": [wanted(store, f"{folder}/f", "hangs")]}
    with runner.http.stream("POST", "/v1/tree/direct", json=body):
        assert store.begun.wait(30)
    until(lambda: list((runner.root / folder).iterdir()) == [], seconds=20, what="the removal of the partial file")


@pytest.mark.parametrize(
    "change",
    [
        {"path": "../f"},
        {"path": ""},
        {"method": "DELETE"},
        {"size": -1},
        {"headers": None},
        {"seen": "x"},
        {"url": "u" * 20_000},
    ],
)
def test_a_request_in_another_form_is_refused(runner, store, change):
    answer = runner.http.post("/v1/tree/direct", json={"requests": [wanted(store, "f", "x") | change]})
    assert code(answer) == (400, "invalid_request")
    assert store.asked == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "http://127.0.0.1:9/x", "nothing"])
def test_an_address_of_no_store_is_out_of_reach(runner, folder, store, url):
    assert asked(runner, wanted(store, f"{folder}/f", "x", url=url))[0][0] == "unreachable"
