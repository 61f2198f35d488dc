"""A registry of npm packages on this machine, with a made-up package, that can be made to misbehave."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from session_widgets._harnesses.harness import Harness
from session_widgets.host.machine import this_platform

VERSION = "1.0.0"
NATIVE, OTHER, LIBRARY = "tiny-native", "tiny-elsewhere", "tiny-library"
TINY = Harness(
    command=("{modules}/{native}/bin/tiny",),
    id="tiny",
    title="Tiny",
    version=VERSION,
    platform_packages={this_platform(): NATIVE, "plan9-mips": OTHER},
    installs=True,
)


class Registry:
    """Attributes: `asked` are paths, oldest first; `status` answers everything; `gate` holds tarballs back."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 200
        self.gate = threading.Event()
        self.gate.set()
        self.tarballs = {name: _tarball(name) for name in (NATIVE, OTHER, LIBRARY)}
        self.url = ""

    @property
    def downloads(self) -> list[str]:
        return [path for path in self.asked if path.endswith(".tgz")]

    def write_lock(self, folder: Path, integrity: str | None = None) -> None:
        """Write the lock of the harness TINY; `integrity` in place of the right one of its program."""
        place = folder / TINY.id
        place.mkdir(parents=True, exist_ok=True)
        natives = {NATIVE: VERSION, OTHER: VERSION}
        manifest = {"private": True, "dependencies": {LIBRARY: VERSION}, "optionalDependencies": natives}
        packages: dict[str, object] = {"": {name: value for name, value in manifest.items() if name != "private"}}
        for name, data in self.tarballs.items():
            digest = integrity if integrity and name == NATIVE else _integrity(data)
            optional = {} if name == LIBRARY else {"optional": True}
            packages[f"node_modules/{name}"] = {"version": VERSION, "integrity": digest, **optional}
        lock = {"name": "tiny", "lockfileVersion": 3, "requires": True, "packages": packages}
        (place / "package.json").write_text(json.dumps(manifest))
        (place / "package-lock.json").write_text(json.dumps(lock))


@contextmanager
def serving() -> Iterator[Registry]:
    registry = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(self.path)
            registry.asked.append(path)
            name = path.strip("/").partition("/")[0]
            data = registry.tarballs.get(name)
            if registry.status != 200 or data is None:
                self._send(registry.status if registry.status != 200 else 404, b"{}")
            elif path.endswith(".tgz"):
                registry.gate.wait(30)
                self._send(200, data)
            else:
                dist = {"tarball": f"{registry.url}/{name}/-/{name}.tgz", "integrity": _integrity(data)}
                version = {"name": name, "version": VERSION, "dist": dist}
                found = {"name": name, "dist-tags": {"latest": VERSION}, "versions": {VERSION: version}}
                self._send(200, json.dumps(found).encode())

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    registry.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield registry
    finally:
        registry.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _integrity(data: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


def _tarball(name: str) -> bytes:
    script = {"postinstall": "touch was-run"}
    files = {
        "package.json": json.dumps({"name": name, "version": VERSION, "scripts": script}),
        "bin/tiny": "#!/bin/sh\n",
    }
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as tar:
        for path, text in files.items():
            member = tarfile.TarInfo(f"package/{path}")
            member.size, member.mode = len(text), 0o600
            tar.addfile(member, io.BytesIO(text.encode()))
    return target.getvalue()
