"""The program itself: `/v1/health`, and a page for a person."""

from __future__ import annotations

import os
import time

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from session_widgets.runner.config import Config
from session_widgets.version import __version__

FEATURES = ["async-post", "journal", "ack", "snapshots", "watch", "tools", "changes"]
PAGE = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>session-widgets runner</title>
<h1>session-widgets runner {__version__}</h1>
<p>The sessions of this sandbox are in the notebook that opened them: its panel shows conversations and files.
<p>The API below <code>/v1</code> is that of sandbox-agent 0.4; each request needs the bearer token of this runner.
"""
PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}


class AboutRoutes:
    """Names the program, and reports its health."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._started = time.monotonic()
        self.routes = [
            Route("/", self.about, methods=["GET"]),
            Route("/v1/health", self.health, methods=["GET"]),
            Route("/ui", self.page, methods=["GET"]),
            Route("/ui/", self.page, methods=["GET"]),
        ]

    async def about(self, _: Request) -> Response:
        """Name the program."""
        return Response(orjson.dumps({"name": "session-widgets runner"}), media_type="application/json")

    async def health(self, _: Request) -> Response:
        """Report the runner's health and nonce."""
        body = {
            "status": "ok",
            "nonce": self._config.nonce,
            "version": __version__,
            "pid": os.getpid(),
            "uptimeMs": round((time.monotonic() - self._started) * 1000),
            "features": FEATURES,
        }
        return Response(orjson.dumps(body), media_type="application/json")

    async def page(self, _: Request) -> Response:
        """Describe the runner to a person: sandbox-agent's clients link to this page, where theirs shows sessions."""
        return Response(PAGE, media_type="text/html; charset=utf-8", headers=PAGE_HEADERS)
