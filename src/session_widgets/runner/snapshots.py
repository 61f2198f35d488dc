"""Changes of files: snapshots of the workspace, and a watch that uses the same scan.

A file's identity is its size, modification time and inode. A scan costs about 10 µs a file, works on every
file system (network mounts do not report changes made elsewhere) and never follows a link.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import orjson
from starlette.requests import Request
from starlette.responses import Response

from session_widgets.host.tree import Walk
from session_widgets.runner.envelopes import notification
from session_widgets.runner.jail import Jail
from session_widgets.runner.limits import Limits
from session_widgets.runner.problems import Problem, invalid, over_limit
from session_widgets.runner.sse import HEARTBEAT, HEARTBEAT_SECONDS, event_stream, frame

SKIPPED = frozenset({".git", "node_modules", "__pycache__", ".venv", ".harness"})
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
WATCH_SECONDS = 0.25
WATCH_SHARE = 20
MOST_CHANGES = 1_000
"""Changes that are sent with an answer; the client requests a longer list."""

Identities = dict[str, list[int]]


class Snapshots:
    """Stores snapshots by name, in the state directory."""

    def __init__(self, jail: Jail, limits: Limits, directory: Path) -> None:
        self._jail = jail
        self._limits = limits
        self._directory = directory
        self._directory.mkdir(parents=True, exist_ok=True)
        self._watches = 0

    def put(self, request: Request) -> Response:
        """Store the identity of every file of the workspace."""
        return _json(self.take(request.path_params["name"]))

    def take(self, name: str) -> dict[str, Any]:
        """Store the identity of every file of the workspace; return the number of files."""
        path = self._path(name)
        files, truncated = self._look("")
        partial = path.with_suffix(".tmp")
        partial.write_bytes(orjson.dumps({"files": files, "truncated": truncated}))
        partial.replace(path)
        kept = sorted(self._directory.glob("*.json"), key=lambda one: one.stat().st_mtime_ns)
        for old in kept[: -self._limits.max_snapshots]:
            old.unlink(missing_ok=True)
        return {"files": len(files), "truncated": truncated}

    def changes(self, request: Request) -> Response:
        """Compare the workspace with a snapshot."""
        return _json(self.compare(request.path_params["name"]))

    def compare(self, name: str) -> dict[str, Any]:
        """Return the changes since a snapshot."""
        path = self._path(name)
        try:
            before = orjson.loads(path.read_bytes())
        except FileNotFoundError:
            raise Problem(404, "not_found", f"snapshot {path.stem}") from None
        now, truncated = self._look("")
        changes = _compare(before["files"], now, self._jail.root)
        return {"changes": changes, "truncated": truncated or before["truncated"]}

    def delete(self, request: Request) -> Response:
        """Delete a snapshot, if it exists."""
        self._path(request.path_params["name"]).unlink(missing_ok=True)
        return Response(status_code=204)

    async def watch(self, request: Request) -> Response:
        """Send the changes below a directory: `ready` once, then `changes`."""
        path = request.query_params.get("path", "")
        limit = self._limits.max_watches
        if self._watches >= limit:
            raise over_limit(409, "max_watches", limit, f"{limit} directories are watched")
        with self._jail.locate(path) as place:
            root = place.path.removesuffix("/.")
        before = await asyncio.to_thread(self._look, path)
        return event_stream(self._follow(path, root, before))

    async def _follow(self, path: str, root: str, before: tuple[Identities, bool]) -> AsyncIterator[bytes]:
        self._watches += 1
        try:
            yield frame("ready", orjson.dumps({"path": root, "truncated": before[1]}))
            files, pause, spoke = before[0], WATCH_SECONDS, time.monotonic()
            while True:
                await asyncio.sleep(pause)
                started = time.monotonic()
                try:
                    now, truncated = await asyncio.to_thread(self._look, path)
                except Problem:
                    now, truncated = {}, False
                ended = time.monotonic()
                pause = max(WATCH_SECONDS, WATCH_SHARE * (ended - started))
                if changes := _compare(files, now, root):
                    yield frame("changes", orjson.dumps({"changes": changes, "truncated": truncated}))
                    spoke = ended
                elif ended - spoke > HEARTBEAT_SECONDS:
                    yield HEARTBEAT
                    spoke = ended
                files = now
        finally:
            self._watches -= 1

    def _look(self, path: str) -> tuple[Identities, bool]:
        walk = Walk(limit=self._limits.max_snapshot_files, skip=SKIPPED)
        with self._jail.locate(path) as place:
            directory = place.open_directory()
            try:
                walk.run(directory)
            finally:
                os.close(directory)
        files = {
            os.fsencode(found.path).decode(errors="replace"): [info.st_size, info.st_mtime_ns, info.st_ino]
            for found in walk.found
            if stat.S_ISREG((info := found.info).st_mode) or stat.S_ISLNK(info.st_mode)
        }
        return files, walk.truncated

    def _path(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise invalid(f"a snapshot name is 1 to 128 characters of A-Z, a-z, 0-9, '.', '_' and '-': {name!r:.80}")
        return self._directory / f"{name}.json"


class RequestSnapshot:
    """A snapshot that is taken before a request is sent to the agent; its changes are sent with the answer."""

    def __init__(self, snapshots: Snapshots, name: str) -> None:
        self._snapshots = snapshots
        self._name = name

    async def take(self) -> None:
        """Store the snapshot."""
        await asyncio.to_thread(self._snapshots.take, self._name)

    async def changes(self) -> list[bytes]:
        """Return the notification of the changes; none if they are too many, or the workspace cannot be read."""
        try:
            found = await asyncio.to_thread(self._snapshots.compare, self._name)
        except (Problem, OSError, ValueError):
            return []
        if len(found["changes"]) > MOST_CHANGES:
            return []
        return [notification("_adapter/changes", {"snapshot": self._name, **found})]


def _compare(before: Identities, now: Identities, root: str) -> list[dict[str, Any]]:
    def change(path: str, what: Literal["created", "modified", "deleted"]) -> dict[str, Any]:
        return {"path": f"{root}/{path}", "change": what, "size": now[path][0] if path in now else None}

    changes = [change(path, "created") for path in now.keys() - before.keys()]
    changes += [change(path, "deleted") for path in before.keys() - now.keys()]
    changes += [change(path, "modified") for path in now.keys() & before.keys() if now[path] != before[path]]
    return sorted(changes, key=lambda one: str(one["path"]))


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")
