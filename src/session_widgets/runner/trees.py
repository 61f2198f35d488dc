"""`/v1/tree`: the workspace for the other side of a synchronisation. No operation follows a link.

Contents travel as tar archives, in both directions while they are read. What tar does not know is in its extended
headers: the modification time in nanoseconds, and, on the way in, what the entry may replace.
"""

from __future__ import annotations

import io
import os
import stat
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import IO

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from session_widgets.host.directory import Directory
from session_widgets.host.host_tree import HostTree
from session_widgets.host.manifest import Entry, Occupied, Readable
from session_widgets.host.tar_stream import (
    CHUNK,
    END,
    MTIME,
    NOTHING,
    SEEN,
    BadTar,
    Member,
    Pieces,
    compressed,
    decompressed,
    header,
    members,
    padding,
)
from session_widgets.runner.bodies import BlockingBody, in_thread, read_object
from session_widgets.runner.config import Config, is_texts
from session_widgets.runner.direct_routes import DirectRoutes
from session_widgets.runner.problems import Problem, invalid, over_limit, telling
from session_widgets.runner.queries import required
from session_widgets.runner.tree_paths import check_path, number_of, seen_of

MAX_PATHS_BYTES = 64 << 20
MAX_LINK_BYTES = 4095
AT_ONCE = 256 << 10
"""Bytes of an archive that are collected before they are sent."""


class TreeRoutes:
    """Reads, writes and deletes entries of the workspace."""

    def __init__(self, config: Config) -> None:
        self._limits = config.limits
        self._directory = Directory(config.root)
        self._tree = HostTree(config.root)
        for opened in (self._directory, self._tree):
            weakref.finalize(self, opened.close)  # after the last thread that uses it
        self.routes = [
            *DirectRoutes(self._tree, self._directory).routes,
            Route("/v1/tree", self.write, methods=["PUT"]),
            Route("/v1/tree", self.delete, methods=["DELETE"]),
            Route("/v1/tree/read", self.read, methods=["POST"]),
            Route("/v1/tree/mkdir", self.mkdir, methods=["POST"]),
        ]

    async def read(self, request: Request) -> Response:
        """Send the entries of `paths` as an archive, without those that are not there; with `gzip` compressed."""
        asked = await read_object(request, "max_envelope_bytes", MAX_PATHS_BYTES)
        paths = asked.get("paths")
        if not is_texts(paths):
            raise invalid("paths must be a list of text")
        if len(paths) > self._limits.max_entries:
            raise over_limit(413, "max_entries", self._limits.max_entries, f"{len(paths)} paths")
        for path in paths:
            check_path(path)
        archive = _collected(self._archive(paths))
        if asked.get("gzip") is True:
            headers = {"content-encoding": "gzip"}
            return StreamingResponse(compressed(archive), media_type="application/x-tar", headers=headers)
        return StreamingResponse(archive, media_type="application/x-tar")

    async def write(self, request: Request) -> Response:
        """Put the members of an archive in place as they arrive, each atomically, if they may replace what is there.

        Answers with the new entry of each member, or null where something else was in the way.
        """
        encoding = request.headers.get("content-encoding", "identity")
        if encoding not in ("identity", "gzip"):
            raise Problem(415, "unsupported_media_type", f"an archive is plain or gzip: {encoding:.40}")
        body = BlockingBody(request, "max_file_bytes", self._limits.max_file_bytes)
        results = await in_thread(self._receive_packed if encoding == "gzip" else self._receive, body)
        return Response(orjson.dumps({"results": results}), media_type="application/json")

    async def delete(self, request: Request) -> Response:
        """Delete a file, a link or an empty directory, if it is as `seen`, and the parents that become empty."""
        path, seen = check_path(required(request, "path")), seen_of(required(request, "seen"))
        await run_in_threadpool(_telling, self._tree.delete, path, seen)
        return Response(status_code=204)

    async def mkdir(self, request: Request) -> Response:
        """Create a directory and its parents; an existing one is not changed."""
        await run_in_threadpool(_telling, self._tree.mkdir, check_path(required(request, "path")))
        return Response(status_code=204)

    def _receive_packed(self, body: BlockingBody) -> list[object]:
        return self._receive(Pieces(decompressed(body.pieces, self._limits.max_file_bytes)))

    def _receive(self, body: Readable) -> list[object]:
        results: list[object] = []
        try:
            for member, content in members(body):
                if len(results) >= self._limits.max_entries:
                    raise over_limit(413, "max_entries", self._limits.max_entries, "too many archive members")
                entry, seen = _entry(member), seen_of(member.headers.get(SEEN, NOTHING))
                source = io.BytesIO(os.fsencode(member.target)) if member.kind == "link" else content
                with telling(entry.path):
                    try:
                        now = self._tree.write(entry, source, seen)
                    except Occupied:
                        results.append(None)
                    else:
                        results.append([now.size, now.mode, now.mtime_ns, now.md5, now.stamp])
        except BadTar as error:
            raise invalid(str(error)) from error
        return results

    def _archive(self, paths: Sequence[str]) -> Iterator[bytes]:
        for path in paths:
            try:
                info = self._directory.stat(path)
                if stat.S_ISLNK(info.st_mode):
                    target = os.fsdecode(self._directory.read_link(path))
                    yield header(path, mode=0o777, target=target, headers={MTIME: str(info.st_mtime_ns)})
                elif stat.S_ISREG(info.st_mode):
                    file = self._directory.open(path)
                    yield from _content(file, path)
            except (OSError, Occupied):
                continue
        yield END


def _content(file: IO[bytes], path: str) -> Iterator[bytes]:
    """Yield a file as a member. What cannot be read any more is zeros: the reader compares MD5s."""
    with file:
        info = os.fstat(file.fileno())
        left = info.st_size
        yield header(path, mode=info.st_mode & 0o7777, size=left, headers={MTIME: str(info.st_mtime_ns)})
        while left:
            try:
                piece = file.read(min(CHUNK, left))
            except OSError:
                piece = b""
            piece = piece or bytes(min(CHUNK, left))
            left -= len(piece)
            yield piece
        yield padding(info.st_size)


def _collected(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Join small pieces."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        if len(waiting) >= AT_ONCE:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


def _entry(member: Member) -> Entry:
    """Return the entry that a member asks for; its size and MD5 are those of its content."""
    if member.kind == "directory":
        raise invalid(f"only files and links have a content: {member.name}")
    if member.kind == "link" and not 0 < len(os.fsencode(member.target)) <= MAX_LINK_BYTES:
        raise invalid(f"the target of a link has 1 to {MAX_LINK_BYTES} bytes: {member.name}")
    time = number_of(member.headers.get(MTIME, "0"))
    return Entry(check_path(member.name), member.kind, member.size, member.mode & 0o777, time, "")


def _telling(call: Callable[..., None], path: str, *rest: Entry | None) -> None:
    """Call, with errors as problems."""
    with telling(path):
        try:
            call(path, *rest)
        except Occupied as error:
            raise Problem(409, "occupied", f"something else is there: {path}") from error
