"""Responses to requests that are refused before they were sent whole."""

from __future__ import annotations

import socket
import time

import pytest

from tests.support.runner import TOKEN

SIZE = 600_000


def head(path: str) -> bytes:
    """Of an upload, as a proxy sends it that keeps no connections."""
    fields = f"host: x\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\ncontent-length: {SIZE}\r\n\r\n"
    return f"PUT /v1/fs/file?path={path} HTTP/1.1\r\n{fields}".encode()


@pytest.mark.parametrize(
    ("path", "status"), [("%2E%2E/out", b"400"), ("x/" * 5000 + "x", b"4")], ids=["outside", "too long"]
)
def test_the_response_arrives_also_at_a_client_that_goes_on_sending(runner, path, status):
    """What arrives after the close would reset the connection."""
    with socket.create_connection(("127.0.0.1", runner.port), timeout=10) as client:
        client.sendall(head(path))
        for _ in range(3):
            time.sleep(0.1)  # a runner that does not wait for the rest has closed by then
            client.sendall(bytes(SIZE // 3))
        assert client.recv(65536).startswith(b"HTTP/1.1 " + status)
        while client.recv(65536):
            pass


def test_a_client_that_sends_nothing_more_is_refused_in_time(runner):
    with socket.create_connection(("127.0.0.1", runner.port), timeout=10) as client:
        client.sendall(head("%2E%2E/out"))
        assert client.recv(65536).startswith(b"HTTP/1.1 400")
