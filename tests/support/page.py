"""A page of this machine, at the address that containers with a network reach it by."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.model.serving import bridge_address


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"page")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def page() -> Iterator[str]:
    """Serve it; yields "host:port"."""
    server = http.server.ThreadingHTTPServer((bridge_address(), 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"{server.server_address[0]}:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
