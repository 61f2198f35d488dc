"""`/v1/fs/entries` and `/v1/fs/stat`."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from session_widgets.host.tree import Found, Order, Walk
from session_widgets.runner.jail import Jail
from session_widgets.runner.limits import Limits
from session_widgets.runner.problems import Problem, invalid
from session_widgets.runner.queries import count, flag, required

SORT_KEYS = {
    "name": lambda entry: entry.name,
    "size": lambda entry: entry.info.st_size,
    "modified": lambda entry: entry.info.st_mtime_ns,
}


class Listing:
    """Listings of the workspace."""

    def __init__(self, jail: Jail, limits: Limits) -> None:
        self._jail = jail
        self._limits = limits

    def entries(self, request: Request) -> Response:
        """List a directory; `X-Total-Count` is the number of entries, `X-Truncated: true` means that there are more."""
        query = request.query_params
        walk = Walk(
            limit=self._limits.max_entries,
            recursive=flag(request, "recursive"),
            order=_order(query.get("sort", "name")),
        )
        offset = count(request, "offset", 0)
        limit = count(request, "limit", self._limits.max_entries)
        with self._jail.locate(query.get("path", "")) as place:
            directory = place.open_directory()
            try:
                walk.run(directory)
            finally:
                os.close(directory)
        page = walk.found[offset : offset + limit]
        body = [self._entry(place.path, found) for found in page]
        headers = {"x-total-count": str(len(walk.found))}
        if walk.truncated:
            headers["x-truncated"] = "true"
        return Response(_dump(body), media_type="application/json", headers=headers)

    def stat(self, request: Request) -> Response:
        """Describe one path, following a link."""
        path = required(request, "path")
        with self._jail.locate(path, follow=False) as place:
            own = place.stat()
        is_link = stat.S_ISLNK(own.st_mode)
        if is_link:
            with self._jail.locate(path) as target:
                own = target.stat()
        return Response(_dump(describe(place.path, own, is_link=is_link)), media_type="application/json")

    def _entry(self, parent: str, found: Found) -> dict[str, Any]:
        path = f"{parent}/{found.path}"
        info = found.info
        is_link = stat.S_ISLNK(info.st_mode)
        if is_link:
            info = self._target(path) or info
        return {"name": found.name, **describe(path, info, is_link=is_link)}

    def _target(self, path: str) -> os.stat_result | None:
        """Return the status of a link's target; None if it dangles or leaves the workspace."""
        try:
            with self._jail.locate(path) as place:
                return place.stat()
        except Problem:
            return None


def describe(path: str, info: os.stat_result, *, is_link: bool) -> dict[str, Any]:
    """Return sandbox-agent's record of a path; `special` marks an entry that is neither file, directory nor link."""
    directory = stat.S_ISDIR(info.st_mode)
    return {
        "path": path,
        "entryType": "directory" if directory else "file",
        "size": info.st_size,
        "modified": rfc3339(info.st_mtime_ns),
        "symlink": is_link,
        "special": not (directory or stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode)),
    }


def rfc3339(nanoseconds: int) -> str:
    """Return a time as text with nanoseconds, in UTC."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}+00:00"


def _order(name: str) -> Order:
    """Return the sort key of a directory: name, size or modified, "-" for descending; directories come first."""
    key = SORT_KEYS.get(name.removeprefix("-"))
    if key is None:
        raise invalid(f"sort must be one of {', '.join(SORT_KEYS)}, with '-' in front for descending: {name!r:.40}")

    def order(entries: list[Found]) -> None:
        entries.sort(key=lambda entry: entry.name)
        entries.sort(key=key, reverse=name.startswith("-"))
        entries.sort(key=lambda entry: not entry.is_directory)

    return order


def _dump(value: object) -> bytes:
    """Return JSON; names that are not UTF-8 show a replacement character."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return orjson.dumps(_printable(value))


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return os.fsencode(value).decode(errors="replace")
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, list) else value
