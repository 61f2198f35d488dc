"""What a prompt costs while its agent runs: requests and commits."""

from collections.abc import Iterator

import httpx
import pytest


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The requests of this process."""
    made: list[str] = []
    sent = httpx.AsyncHTTPTransport.handle_async_request

    async def handle(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        made.append(f"{request.method} {request.url.path.rpartition('/')[0]}")
        return await sent(transport, request)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handle)
    return made


def test_the_runner_sends_the_changed_files_with_the_answer(session, requests):
    turn = session.send("write new.txt <<EOT\nx\nEOT")
    assert [(change.path, change.change, change.size) for change in turn.files] == [("new.txt", "created", 2)]
    turn = session.send("run rm new.txt")
    assert [(change.path, change.change) for change in turn.files] == [("new.txt", "deleted")]
    assert not [made for made in requests if "snapshots" in made]


def test_many_changed_files_are_requested(session, requests):
    turn = session.send("run for n in $(seq 1001); do : > $n; done")
    assert len(turn.files) == 1001
    assert "GET /v1/fs/snapshots/turn-" + str(turn.index) in requests
