"""`/v1/config`: MCP servers and skills of a directory, stored in its files like sandbox-agent's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from session_widgets.runner.bodies import read_json_object
from session_widgets.runner.jail import Jail
from session_widgets.runner.problems import Problem, invalid, unprocessable
from session_widgets.runner.queries import required
from session_widgets.runner.writing import Upload

MAX_ENTRY_BYTES = 64 << 10
MAX_FILE_BYTES = 4 << 20

Check = Callable[[dict[str, Any]], dict[str, Any]]


class ConfigRoutes:
    """Entries by name in `<directory>/.sandbox-agent/config/{mcp,skills}.json`. Agents do not read them."""

    def __init__(self, jail: Jail) -> None:
        self._jail = jail
        self._writing = asyncio.Lock()
        self.routes: list[Route] = []
        for kind, name, check in (("mcp", "mcpName", _mcp_server), ("skills", "skillName", _skills)):
            self.routes += _Entries(jail, kind, name, check, self._writing).routes


class _Entries:
    """One of the two files of a directory."""

    def __init__(self, jail: Jail, kind: str, name: str, check: Check, writing: asyncio.Lock) -> None:
        self._jail = jail
        self._kind = kind
        self._name = name
        self._check = check
        self._writing = writing
        path = f"/v1/config/{kind}"
        self.routes = [
            Route(path, self.get, methods=["GET"]),
            Route(path, self.put, methods=["PUT"]),
            Route(path, self.delete, methods=["DELETE"]),
        ]

    async def get(self, request: Request) -> Response:
        """Return an entry."""
        path, name = self._asked(request)
        entries = await run_in_threadpool(self._read, path)
        if name not in entries:
            id_ = f"{self._kind}:{name}"
            raise Problem(404, "session_not_found", id_, sessionId=id_)
        return Response(orjson.dumps(entries[name]), media_type="application/json")

    async def put(self, request: Request) -> Response:
        """Create or replace an entry."""
        path, name = self._asked(request)
        entry = self._check(await read_json_object(request, "max_envelope_bytes", MAX_ENTRY_BYTES))
        async with self._writing:
            await run_in_threadpool(self._change, path, name, entry)
        return Response(status_code=204)

    async def delete(self, request: Request) -> Response:
        """Remove an entry, if it exists."""
        path, name = self._asked(request)
        async with self._writing:
            await run_in_threadpool(self._change, path, name, None)
        return Response(status_code=204)

    def _asked(self, request: Request) -> tuple[str, str]:
        directory, name = required(request, "directory"), required(request, self._name)
        for value, parameter in ((directory, "directory"), (name, self._name)):
            if not value:
                raise invalid(f"missing required '{parameter}' query parameter")
        return f"{directory.rstrip('/')}/.sandbox-agent/config/{self._kind}.json", name

    def _read(self, path: str) -> dict[str, Any]:
        try:
            with self._jail.locate(path) as place:
                fd, info = place.open_file()
        except Problem as problem:
            if problem.status == 404:
                return {}
            raise
        with os.fdopen(fd, "rb") as file:
            if info.st_size > MAX_FILE_BYTES:
                raise invalid(f"{path} is larger than {MAX_FILE_BYTES} bytes")
            text = file.read(MAX_FILE_BYTES)
        try:
            entries = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise invalid(f"{path} is no JSON: {error}") from error
        if not isinstance(entries, dict):
            raise invalid(f"{path} must hold a JSON object")
        return entries

    def _change(self, path: str, name: str, entry: dict[str, Any] | None) -> None:
        entries = self._read(path)
        if entry is None and name not in entries:
            return
        entries.pop(name, None)
        if entry is not None:
            entries[name] = entry
        data = orjson.dumps(entries, option=orjson.OPT_INDENT_2)
        if len(data) > MAX_FILE_BYTES:
            raise invalid(f"{path} would be larger than {MAX_FILE_BYTES} bytes")
        upload = Upload(self._jail, path, 0o600)
        try:
            upload.write(data)
            upload.finish()
        finally:
            upload.discard()


_ANY = {"enabled": bool, "timeoutMs": int}
_LOCAL = {"command": str, "args": list, "cwd": str, "env": dict, **_ANY}
_REMOTE = {
    "url": str,
    "bearerTokenEnvVar": str,
    "envHeaders": dict,
    "headers": dict,
    "oauth": (dict, bool),
    "transport": str,
    **_ANY,
}
_SOURCE = {"type": str, "source": str, "ref": str, "skills": list, "subpath": str}


def _mcp_server(body: dict[str, Any]) -> dict[str, Any]:
    kind = {"stdio": "local", "http": "remote"}.get(str(body.get("type")), body.get("type"))
    if kind == "local":
        return {"type": kind, **_fields(body, _LOCAL, "command")}
    if kind == "remote":
        return {"type": kind, **_fields(body, _REMOTE, "url")}
    raise unprocessable("type must be 'local' or 'remote'")


def _skills(body: dict[str, Any]) -> dict[str, Any]:
    sources = body.get("sources")
    if not isinstance(sources, list) or not all(isinstance(source, dict) for source in sources):
        raise unprocessable("sources must be a list of objects")
    return {"sources": [_fields(source, _SOURCE, "type", "source") for source in sources]}


def _fields(body: dict[str, Any], known: dict[str, Any], *needed: str) -> dict[str, Any]:
    """Return the known fields, validated; the others are dropped, as in sandbox-agent."""
    for name in needed:
        if name not in body:
            raise unprocessable(f"missing field '{name}'")
    kept = {name: body[name] for name in known if body.get(name) is not None}
    for name, value in kept.items():
        if not isinstance(value, known[name]):
            raise unprocessable(f"field '{name}' has the wrong type")
        texts = value if isinstance(value, list) else value.values() if name in _TEXTS_BY_NAME else ()
        if not all(isinstance(text, str) for text in texts):
            raise unprocessable(f"field '{name}' must hold text")
    return kept


_TEXTS_BY_NAME = {"env", "envHeaders", "headers"}
