"""`/v1/tree/direct`: contents go between the workspace and an object store, without the kernel in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import anyio
import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from session_widgets.host.direct import Method, Outcome
from session_widgets.host.direct import Request as Signed
from session_widgets.host.directory import Directory
from session_widgets.host.host_tree import HostTree
from session_widgets.runner.bodies import read_object
from session_widgets.runner.config import is_text_by_name, is_texts
from session_widgets.runner.problems import invalid
from session_widgets.runner.transfers import Transfers
from session_widgets.runner.tree_paths import check_path, seen_of

MAX_BYTES = 16 << 20
MAX_TRANSFERS = 1_000
MAX_URL = 16 << 10
METHODS = frozenset({"GET", "PUT", "HEAD"})
BEAT_SECONDS = 10.0
"""An empty line is sent after each silence of this length: proxies cut connections that are silent."""


class DirectRoutes:
    """Does the transfers that the kernel has signed."""

    def __init__(self, tree: HostTree, directory: Directory) -> None:
        self._tree = tree
        self._directory = directory
        self.routes = [Route("/v1/tree/direct", self.transfer, methods=["POST"])]

    async def transfer(self, request: Request) -> Response:
        """Make the `requests`, and answer with a line of JSON for each as it ends: its number and its outcome."""
        asked = (await read_object(request, "max_envelope_bytes", MAX_BYTES)).get("requests")
        if not isinstance(asked, list) or len(asked) > MAX_TRANSFERS:
            raise invalid(f"requests must be a list of at most {MAX_TRANSFERS}")
        wanted = [_signed(one) for one in asked]
        return StreamingResponse(self._lines(wanted), media_type="application/x-ndjson")

    async def _lines(self, wanted: list[Signed]) -> AsyncIterator[bytes]:
        loop, told = asyncio.get_running_loop(), asyncio.Queue[bytes]()

        def tell(number: int, what: Outcome) -> None:
            loop.call_soon_threadsafe(told.put_nowait, orjson.dumps([number, what.to_json()]) + b"\n")

        transfers = Transfers(self._tree, self._directory, tell)
        work = asyncio.ensure_future(asyncio.to_thread(transfers.run, wanted))
        work.add_done_callback(lambda _: told.put_nowait(b""))
        try:
            while True:
                try:
                    line = await asyncio.wait_for(told.get(), BEAT_SECONDS)
                except TimeoutError:
                    line = b"\n"
                if not line:
                    break
                yield line
        finally:
            transfers.abandon()
            with anyio.CancelScope(shield=True):
                await asyncio.wait({work})  # no file is put in place after this


def _signed(one: Any) -> Signed:
    if not isinstance(one, dict) or not is_text_by_name(headers := one.get("headers")):
        raise invalid("a request is an object with headers of text")
    size, texts = one.get("size"), [one.get(name) for name in ("method", "url", "path", "md5", "seen")]
    if not is_texts(texts) or texts[0] not in METHODS:
        raise invalid("path, method, url, md5 and seen must be text, and the method GET, PUT or HEAD")
    method, url, path, md5, seen = texts
    if len(url) > MAX_URL or not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise invalid("url is too long, or size no whole number")
    if method != "HEAD":
        check_path(path)
        seen_of(seen)
    return Signed(cast("Method", method), url, headers, path, size, md5, seen)
