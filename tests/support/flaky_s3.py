"""A way to a real object store on which things go wrong: late answers, 503, refused keys, cut connections."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

REFUSED = b"""<?xml version="1.0"?><Error><Code>%s</Code><Message>injected</Message></Error>"""


@dataclass(frozen=True)
class Fault:
    """What happens instead of, or before, the real answer; `headers` replace its own.

    `garbled`: the store gets another first byte than was sent. `halfway` is called when the store has got the first
    half of what is sent.
    """

    status: int | None = None
    code: str = "InternalError"
    delay: float = 0
    cut: bool = False
    garbled: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    halfway: Callable[[], object] = lambda: None


Rule = Callable[[str, str], Fault | None]
"""Takes method and path (without the query) of a request."""


@dataclass
class Flaky:
    """The way; set `rule` to make it go wrong. `answered` has the store's own answers: method, path, status."""

    endpoint: str
    rule: Rule = lambda _method, _path: None
    seen: list[tuple[str, str]] = field(default_factory=list)
    answered: list[tuple[str, str, int]] = field(default_factory=list)


@contextmanager
def flaky(backend: str, tls: ssl.SSLContext | None = None) -> Iterator[Flaky]:
    """Stand between a client and the store at `backend`; with `tls`, the client has to come by HTTPS."""
    target = urlsplit(backend).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = unquote(urlsplit(self.path).path)
            way.seen.append((self.command, path))
            fault = way.rule(self.command, path) or Fault()
            if stopping.wait(fault.delay) or fault.cut:
                self.close_connection = True
                return
            if fault.status is not None:
                self.respond(fault.status, {}, REFUSED % fault.code.encode())
                return
            connection = http.client.HTTPConnection(target, timeout=60)
            try:
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in {"expect", "connection"}:
                        connection.putheader(name, value)
                if fault.garbled:
                    body = bytes([body[0] ^ 1]) + body[1:]
                half = len(body) // 2
                connection.endheaders(body[:half] or None)
                fault.halfway()
                connection.send(body[half:])
                answer = connection.getresponse()
                data = answer.read()
                way.answered.append((self.command, path, answer.status))
                self.respond(answer.status, {**dict(answer.getheaders()), **fault.headers}, data)
            except OSError:
                self.close_connection = True
            finally:
                connection.close()

        def respond(self, status: int, headers: dict[str, str], data: bytes) -> None:
            self.send_response_only(status)
            length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(data))
            kept = {k: v for k, v in headers.items() if k.lower() not in {"content-length", "transfer-encoding"}}
            for name, value in {**kept, "Content-Length": length}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                return

    stopping = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    way = Flaky(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield way
    finally:
        stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()


def once(fault: Fault, matches: Callable[[str, str], bool] = lambda _m, _p: True, times: int = 1) -> Rule:
    """Make the first `times` matching requests go wrong."""
    left = [times]

    def rule(method: str, path: str) -> Fault | None:
        if left[0] and matches(method, path):
            left[0] -= 1
            return fault
        return None

    return rule


def wait_for_request(way: Flaky, method: str, part: str, seconds: float = 20) -> None:
    """Wait until a matching request has come."""
    deadline = time.monotonic() + seconds
    while not any(m == method and part in p for m, p in way.seen):
        assert time.monotonic() < deadline, f"no {method} of {part}; seen {way.seen[-5:]}"
        time.sleep(0.01)
