"""Servers that other people run: their addresses, and the tokens that grant access to them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import httpx

from session_widgets.errors import BadValue
from session_widgets.host.daemon import read_json, write_private
from session_widgets.model import Endpoint


def checked_url(address: str, example: str) -> str:
    """Return the URL of a server in normal form.

    Raises:
        BadValue: it is no URL, or contains a secret.
    """
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host:
        raise BadValue(f"an address such as {example!r} was expected; got {address!r:.80}.")
    if url.userinfo or url.query or url.fragment:
        raise BadValue("an address is stored with the session, so it carries no secret: pass token=.")
    return str(url).rstrip("/")


class Tokens:
    """Tokens by URL, each in a file that only its owner can read.

    Args:
        root: directory of the files.
        variable: the environment variable for servers without a stored token.
    """

    def __init__(self, root: Path, variable: str) -> None:
        self._root = root
        self._variable = variable

    def store(self, url: str, token: str) -> None:
        """Store a token."""
        self._root.mkdir(parents=True, mode=0o700, exist_ok=True)
        write_private(self._file(url), {"url": url, "token": token})

    def endpoint(self, url: str) -> Endpoint:
        """Return the endpoint of a server, with its token if one is known."""
        stored = read_json(self._file(url))
        token = stored["token"] if stored else os.environ.get(self._variable)
        return Endpoint(url, {"authorization": f"Bearer {token}"} if token else {})

    def _file(self, url: str) -> Path:
        return self._root / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.token"
