"""Contents on the direct way between the workspace and an object store, by requests that the kernel has signed.

Each request is signed for one object, one method, one content or version, and a few minutes: no key is here. `size` and
MD5 of a content are checked before a file is put in place; the store checks those of what it receives.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from io import BytesIO
from typing import IO
from urllib.parse import urlsplit, urlunsplit

from session_widgets.host.direct import MOST_TEXT, Outcome, Request
from session_widgets.host.directory import CHUNK, Directory
from session_widgets.host.host_tree import Hashing, HostTree
from session_widgets.host.manifest import Entry, Occupied, Readable
from session_widgets.host.object_metadata import MAX_LINK, entry_of, is_target
from session_widgets.runner.tree_paths import seen_of

PARALLEL = 8
MOST_ANSWER = 2048
SECONDS = 30
"""Until a store that does not answer is given up."""
META = "x-amz-meta-"
_GONE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)
"""How a connection ends that was kept open for too long."""


class Changed(Exception):
    """The content is not the expected one, or cannot be read or written here."""


class Broken(Exception):
    """The store cannot be reached, or the connection to it ended."""


class Transfers:
    """One request of the kernel: several transfers side by side.

    Args:
        tree: the workspace.
        directory: the same.
        tell: called by any thread with the number of a request, and its outcome.
    """

    def __init__(self, tree: HostTree, directory: Directory, tell: Callable[[int, Outcome], None]) -> None:
        self._tree = tree
        self._directory = directory
        self._tell = tell
        self._taking = threading.Lock()
        self._open: set[Connection] = set()
        self._abandoned = False

    def run(self, requests: Iterable[Request]) -> None:
        """Do them all. Blocks."""
        waiting = iter(enumerate(requests))
        threads = [threading.Thread(target=self._take, args=(waiting,), daemon=True) for _ in range(PARALLEL)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def abandon(self) -> None:
        """Break them off; what is written by half does not appear."""
        self._abandoned = True
        with self._taking:
            for connection in self._open:
                connection.cut()

    def _take(self, waiting: Iterator[tuple[int, Request]]) -> None:
        connection = Connection()
        with self._taking:
            self._open.add(connection)
        try:
            while not self._abandoned:
                with self._taking:
                    taken = next(waiting, None)
                if taken is None:
                    return
                number, request = taken
                self._tell(number, self._made(connection, request))
        finally:
            connection.cut()
            with self._taking:
                self._open.discard(connection)

    def _made(self, connection: Connection, request: Request) -> Outcome:
        try:
            try:
                return self._do(connection, request)
            except _GONE:
                if not connection.kept:
                    raise
                connection.cut()
                return self._do(connection, request)
        except Occupied:
            found = Outcome("occupied")
        except Changed:
            found = Outcome("changed")
        except (Broken, OSError, http.client.HTTPException, ValueError) as error:
            found = Outcome("unreachable", text=f"{type(error.__cause__ or error).__name__}: {error}")
        connection.cut()
        return found

    def _do(self, connection: Connection, request: Request) -> Outcome:
        match request.method:
            case "PUT":
                return self._send(connection, request)
            case "GET":
                return self._fetch(connection, request)
            case _:  # HEAD: whether the store is reached
                with BytesIO() as nothing:
                    answer = connection.ask(request, nothing)
                answer.read()
                return Outcome(status=answer.status, etag=_etag(answer))

    def _send(self, connection: Connection, request: Request) -> Outcome:
        with self._content(request) as body:
            answer = connection.ask(request, body)
        if answer.status != http.HTTPStatus.OK:
            return _refused(connection, answer)
        answer.read()
        return Outcome(status=answer.status, etag=_etag(answer))

    def _content(self, request: Request) -> IO[bytes]:
        """Open a file, or the target of a link."""
        try:
            if stat.S_ISLNK(self._directory.stat(request.path).st_mode):
                return BytesIO(self._directory.read_link(request.path))
            return self._directory.open(request.path)
        except (OSError, Occupied) as error:
            raise Changed from error

    def _fetch(self, connection: Connection, request: Request) -> Outcome:
        with BytesIO() as nothing:
            answer = connection.ask(request, nothing)
        if answer.status != http.HTTPStatus.OK:
            return _refused(connection, answer)
        if answer.length != request.size:
            raise Changed
        metadata = {name.lower().removeprefix(META): value for name, value in answer.getheaders()}
        modified = parsedate_to_datetime(answer.getheader("last-modified", "")).timestamp()
        entry = entry_of(request.path, request.size, modified, metadata)
        body = Checked(answer, request)
        if entry.kind == "link":
            target = body.read(MAX_LINK + 1)
            if not is_target(target) or body.read(1):
                raise Changed
            now = self._written(entry, BytesIO(target), request)
        else:
            now = self._written(entry, body, request)
        answer.read()  # nothing, so that the connection can be used again
        return Outcome(status=answer.status, entry=now)

    def _written(self, entry: Entry, body: Readable, request: Request) -> Entry:
        try:
            return self._tree.write(entry, body, seen_of(request.seen))
        except OSError as error:  # such as a full disk
            raise Changed from error


class Connection:
    """A connection that stays open for the next request of a thread, if it goes to the same store."""

    def __init__(self) -> None:
        self._to = ("", "")
        self._http: http.client.HTTPConnection | None = None
        self.kept = False

    def ask(self, request: Request, body: IO[bytes]) -> http.client.HTTPResponse:
        """Send a request with `size` bytes of a body, which are those of `md5` or the store refuses them.

        Raises:
            Changed: the body is shorter.
        """
        place = urlsplit(request.url)
        if (place.scheme, place.netloc) != self._to:
            self.cut()
        self.kept = self._http is not None
        connection = self._http or self._made(place.scheme, place.netloc)
        target = urlunsplit(("", "", place.path, place.query, ""))
        connection.putrequest(request.method, target, skip_accept_encoding=True)
        for name, value in request.headers.items():
            connection.putheader(name, value)
        size = request.size if request.method == "PUT" else 0
        if request.method == "PUT":
            connection.putheader("content-length", str(size))
        connection.endheaders()
        while size:
            piece = body.read(min(CHUNK, size))
            if not piece:
                raise Changed  # the store never receives what it was promised, and keeps nothing
            connection.send(piece)
            size -= len(piece)
        return connection.getresponse()

    def cut(self) -> None:
        """Close it."""
        connection, self._http = self._http, None
        if connection is not None:
            with suppress(OSError, AttributeError):  # it may have no socket yet
                connection.sock.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for it
            connection.close()

    def _made(self, scheme: str, netloc: str) -> http.client.HTTPConnection:
        if scheme == "https":
            self._http = http.client.HTTPSConnection(netloc, timeout=SECONDS, context=ssl.create_default_context())
        elif scheme == "http":
            self._http = http.client.HTTPConnection(netloc, timeout=SECONDS)
        else:
            raise ValueError(f"an address of no store: {scheme!r:.20}")
        self._to = (scheme, netloc)
        return self._http


class Checked(Hashing):
    """The body of an answer, whose end raises `Changed` unless it is the expected content."""

    def __init__(self, answer: http.client.HTTPResponse, request: Request) -> None:
        super().__init__(answer)
        self._left = request.size
        self._expected = request.md5

    def read(self, size: int) -> bytes:
        """Read and hash."""
        if not self._left:
            if self.digest.hexdigest() != self._expected:
                raise Changed
            return b""
        try:
            piece = super().read(min(size, self._left))
        except (OSError, http.client.HTTPException) as error:
            raise Broken(str(error)) from error
        if not piece:
            raise Broken("the store sent a part of the object")
        self._left -= len(piece)
        return piece


def _refused(connection: Connection, answer: http.client.HTTPResponse) -> Outcome:
    text = answer.read(MOST_ANSWER)
    connection.cut()  # there may be more
    return Outcome("refused", answer.status, text=text.decode(errors="replace")[:MOST_TEXT])


def _etag(answer: http.client.HTTPResponse) -> str:
    return (answer.getheader("etag") or "").strip('"')
