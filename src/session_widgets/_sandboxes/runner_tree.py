"""The workspace behind a runner as a file tree (`workspaces/file_tree.py`, `BulkTree`), over its `/v1/tree`.

The runner may be hostile: what it sends is bounded, names only what was asked for, and is compared with what we know.
"""

from __future__ import annotations

import io
import itertools
import os
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, cast

import httpx
import orjson

from session_widgets._sandboxes.runner_client import MANIFEST_SECONDS, MOST_MANIFEST, broken, problem
from session_widgets.answers import PLAIN, blocking_pieces, blocking_whole, is_far, tls
from session_widgets.errors import BadPath, SandboxError, TransportError
from session_widgets.host.direct import Outcome, Request
from session_widgets.host.manifest import Entry, EntryKind, Manifest, Occupied, Readable, md5
from session_widgets.host.tar_stream import (
    CHUNK,
    END,
    MTIME,
    NOTHING,
    SEEN,
    BadTar,
    Pieces,
    compressed,
    decompressed,
    header,
    members,
    padding,
)
from session_widgets.model import Endpoint

MOST_ANSWER = 64 << 20
MOST_LINK = 4095
MOST_LINE = 64 << 10
MOST_PATHS = 10_000
"""Entries of one request for contents."""
SMALL = 64 << 10
"""Archives of entries of up to this size, on average, are compressed: their headers alone have 1.5 KB each."""
SPARE = 64 << 20
"""Bytes that a compressed archive may have beyond what was listed: files grow."""
BATCH_ENTRIES = 1_000
BATCH_BYTES = 32 << 20
"""An upload ends after so many; what arrived before a connection broke is not sent again."""
TIMEOUT = httpx.Timeout(120, connect=10)


class RunnerTree:
    """See `workspaces/file_tree.py`. Every method blocks and may be called from any thread.

    Args:
        endpoint: of the runner.
        workspace: its absolute path there.
        identity: of the sandbox, for `Manifest.root`: a new sandbox is another directory, whatever its inode.
        transport: sends the requests; None: over HTTP.
        snapshots: whether the same directory may have another inode later, as in a machine made of a snapshot.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        workspace: str,
        identity: int,
        transport: httpx.BaseTransport | None = None,
        *,
        snapshots: bool = False,
    ) -> None:
        self._workspace = workspace
        self._identity = identity
        self._foreign = transport is not None
        self._snapshots = snapshots
        headers = {**PLAIN, **endpoint.headers}
        self._http = httpx.Client(
            base_url=endpoint.url,
            headers=headers,
            timeout=TIMEOUT,
            verify=tls(endpoint.url),
            trust_env=is_far(endpoint.url),
            transport=transport,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def manifest(self, known: Mapping[str, Entry]) -> Manifest:
        """List it with hashes. The runner knows the files that it has hashed before."""
        timeout = httpx.Timeout(MANIFEST_SECONDS, connect=10)
        answer = self._ask("POST", "/v1/fs/manifest", most=MOST_MANIFEST, timeout=timeout)
        try:
            found = Manifest.from_json(orjson.loads(answer.content))
            root = (self._identity, 0 if self._snapshots else found.root[1])
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise TransportError("the runner's list of files is unreadable") from error
        for path, entry in found.entries.items():
            if not _is_entry(entry):
                raise TransportError(f"the runner lists a path that no workspace has: {path!r:.200}")
        return replace(found, root=root)

    @contextmanager
    def read(self, entry: Entry) -> Iterator[Readable]:
        """Open the content of a file, or the target of a link."""
        with closing(self._read({entry.path: entry})) as found:
            opened = next(found, None)
            if opened is None:
                raise FileNotFoundError(entry.path)
            yield opened[1]

    def write(self, entry: Entry, body: Readable, seen: Entry | None) -> Entry:
        """Put a file or a link in place."""
        (result,) = self.write_many([(entry, body, seen)])
        if isinstance(result, Occupied):
            raise result
        return result

    def mkdir(self, path: str) -> None:
        """Create a directory and its parents."""
        self._change("POST", "/v1/tree/mkdir", {"path": path})

    def delete(self, path: str, seen: Entry | None) -> None:
        """Delete an entry."""
        self._change("DELETE", "/v1/tree", {"path": path, "seen": _seen(seen)})

    def read_many(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Readable]]:
        """Open the contents of many files and links, in their order."""
        for start in range(0, len(entries), MOST_PATHS):
            yield from self._read({entry.path: entry for entry in entries[start : start + MOST_PATHS]})

    def write_many(self, items: Iterable[tuple[Entry, Readable, Entry | None]]) -> Iterator[Entry | Occupied]:
        """Do `write` for many entries."""
        source = iter(items)
        while (first := next(source, None)) is not None:
            batch = _Batch(itertools.chain([first], source))
            headers = {"content-type": "application/x-tar"}
            archive = batch.archive()
            start = next(archive)
            content: Iterator[bytes] = itertools.chain([start], archive)
            if not self._foreign and len(start) <= SMALL * len(batch.sent):
                content, headers = compressed(content), {**headers, "content-encoding": "gzip"}
            answer = self._ask("PUT", "/v1/tree", content=content, headers=headers)
            yield from batch.results(answer)

    def transfer(self, requests: Sequence[Request]) -> Iterator[tuple[int, Outcome]]:
        """Have the sandbox make requests to an object store."""
        if self._foreign:
            raise SandboxError("only a runner of session-widgets makes requests to an object store by itself")
        asked = orjson.dumps({"requests": [request.to_json() for request in requests]})
        headers = {"content-type": "application/json"}
        try:
            with self._http.stream("POST", "/v1/tree/direct", content=asked, headers=headers) as answer:
                if answer.is_error:
                    raise problem(blocking_whole(answer, MOST_ANSWER), self._workspace)
                yield from _outcomes(blocking_pieces(answer), len(requests))
        except httpx.HTTPError as error:
            raise broken(error) from error

    def _read(self, wanted: dict[str, Entry]) -> Generator[tuple[Entry, Readable], None, None]:
        size = sum(entry.size for entry in wanted.values())
        small = not self._foreign and size <= SMALL * len(wanted)
        asked = {"paths": list(wanted), **({"gzip": True} if small else {})}
        headers = {"accept-encoding": "gzip"} if small else None
        try:
            with self._http.stream("POST", "/v1/tree/read", json=asked, headers=headers) as answer:
                if answer.is_error:
                    raise problem(blocking_whole(answer, MOST_ANSWER), self._workspace)
                if small and answer.headers.get("content-encoding") == "gzip":
                    content = decompressed(answer.iter_raw(), size + SMALL * len(wanted) + SPARE)
                else:
                    content = blocking_pieces(answer)
                yield from _asked_for(Pieces(content), wanted)
        except BadTar as error:
            raise TransportError(f"the runner sent no archive of the files: {error}") from error
        except httpx.HTTPError as error:
            raise broken(error) from error

    def _change(self, method: str, url: str, params: Mapping[str, str]) -> None:
        try:
            self._ask(method, url, params=params)
        except BadPath as error:
            raise Occupied(params["path"]) from error

    def _ask(self, method: str, url: str, *, most: int | None = None, **options: Any) -> httpx.Response:
        try:
            with self._http.stream(method, url, **options) as stream:
                answer = blocking_whole(stream, most or MOST_ANSWER)
        except httpx.HTTPError as error:
            raise broken(error) from error
        if answer.is_error:
            raise problem(answer, self._workspace)
        return answer


def _outcomes(pieces: Iterator[bytes], count: int) -> Iterator[tuple[int, Outcome]]:
    """Yield the outcome of each request, once, from lines of JSON."""
    left, rest = set(range(count)), b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > MOST_LINE:
            raise TransportError("the runner answered with a line without an end")
        for line in filter(None, lines):
            try:
                number, told = orjson.loads(line)
                left.remove(number)
                outcome = Outcome.from_json(told)
            except (LookupError, TypeError, ValueError) as error:
                raise TransportError("the runner's answer does not fit to the requests that it was sent") from error
            if outcome.entry is not None and not _is_entry(outcome.entry):
                raise TransportError("the runner has put another entry in place than it was asked for")
            yield number, outcome
    if left:
        raise TransportError("the runner's answer has no end")


def _asked_for(archive: Readable, wanted: dict[str, Entry]) -> Iterator[tuple[Entry, Readable]]:
    """Yield the members that were asked for, each once. One of another kind or size has changed since it was listed."""
    for member, content in members(archive):
        entry = wanted.pop(member.name, None)
        if entry is None:
            raise TransportError(f"the runner sent a file that was not asked for: {member.name!r:.200}")
        if member.kind != entry.kind:
            continue
        if member.kind == "link":
            target = os.fsencode(member.target)
            if 0 < len(target) <= MOST_LINK and b"\0" not in target:
                yield entry, io.BytesIO(target)
        elif member.size == entry.size:
            yield entry, content


@dataclass(slots=True)
class _Batch:
    """The items of one upload, taken from `source` as they are sent."""

    source: Iterator[tuple[Entry, Readable, Entry | None]]
    sent: list[Entry] = field(default_factory=list)

    def archive(self) -> Iterator[bytes]:
        """Yield the archive, a piece at a time."""
        size = 0
        waiting = bytearray()
        for entry, body, seen in self.source:
            for piece in self._member(entry, body, seen):
                size += len(piece)
                waiting += piece
                if len(waiting) >= CHUNK:
                    yield bytes(waiting)
                    waiting.clear()
            if len(self.sent) >= BATCH_ENTRIES or size >= BATCH_BYTES:
                break
        yield bytes(waiting) + END

    def results(self, answer: httpx.Response) -> Iterator[Entry | Occupied]:
        """Yield the result of each, if it agrees with what was sent."""
        told = orjson.loads(answer.content).get("results")
        if not isinstance(told, list) or len(told) != len(self.sent):
            raise TransportError("the runner's answer does not fit to the files that it was sent")
        for sent, row in zip(self.sent, told, strict=True):
            yield Occupied(sent.path) if row is None else _written(sent, row)

    def _member(self, entry: Entry, body: Readable, seen: Entry | None) -> Iterator[bytes]:
        headers = {MTIME: str(entry.mtime_ns), SEEN: _seen(seen)}
        hashed = md5()
        start = _up_to(body, CHUNK)
        if entry.kind == "link":
            hashed.update(start)
            yield header(entry.path, mode=0o777, target=os.fsdecode(start), headers=headers)
            self.sent.append(replace(entry, size=len(start), md5=hashed.hexdigest()))
            return
        with _sized(start, body, entry.size) as (size, pieces):
            yield header(entry.path, mode=entry.mode & 0o777, size=size, headers=headers)
            for piece in pieces:
                hashed.update(piece)
                yield piece
        yield padding(size)
        self.sent.append(replace(entry, size=size, md5=hashed.hexdigest()))


@contextmanager
def _sized(start: bytes, body: Readable, announced: int) -> Iterator[tuple[int, Iterator[bytes]]]:
    """Give the size of a body and its pieces. A long one of an unknown size goes through a temporary file."""
    if len(start) < CHUNK:
        yield len(start), iter([start])
    elif announced > len(start):
        yield announced, _exactly(start, body, announced)
    else:
        with tempfile.TemporaryFile() as spool:
            spool.write(start)
            for piece in _pieces(body):
                spool.write(piece)
            size = spool.tell()
            spool.seek(0)
            yield size, _pieces(spool)


def _exactly(start: bytes, body: Readable, size: int) -> Iterator[bytes]:
    """Yield a content, its last piece only if the size is right: with it the runner puts the file in place."""
    waiting, left = start, size - len(start)
    for piece in _pieces(body):
        left -= len(piece)
        if left < 0:
            break
        yield waiting
        waiting = piece
    if left:
        raise OSError(f"the content does not have the announced {size:,} bytes")
    yield waiting


def _pieces(body: Readable) -> Iterator[bytes]:
    return iter(lambda: body.read(CHUNK), b"")


def _up_to(body: Readable, size: int) -> bytes:
    start = b""
    while len(start) < size and (piece := body.read(size - len(start))):
        start += piece
    return start


def _written(sent: Entry, row: object) -> Entry:
    """Return the entry that the runner has now; raise `TransportError` if it is not what was sent."""
    with suppress(ValueError, TypeError):
        size, mode, mtime_ns, digest, stamp = cast("list[Any]", row)
        kind: EntryKind = sent.kind
        if (digest, size) == (sent.md5, sent.size) and all(isinstance(one, int) for one in (mode, mtime_ns)):
            return Entry(sent.path, kind, sent.size, mode & 0o7777, mtime_ns, sent.md5, str(stamp))
    raise TransportError(f"the runner has received another content of {sent.path!r:.200}")


def _seen(seen: Entry | None) -> str:
    return NOTHING if seen is None else f"{seen.size}.{seen.mtime_ns}"


def _is_entry(entry: Entry) -> bool:
    """Whether an entry, which a runner made, is one of a workspace."""
    texts, numbers = (entry.path, entry.md5, entry.stamp), (entry.size, entry.mode, entry.mtime_ns)
    if not all(isinstance(one, str) for one in texts) or not all(isinstance(one, int) for one in numbers):
        return False
    inside = "\0" not in entry.path and not any(part in ("", ".", "..") for part in entry.path.split("/"))
    return inside and entry.kind in ("file", "link", "directory")
