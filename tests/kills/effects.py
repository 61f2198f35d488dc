"""Names every external effect of this process just before it happens, and kills the process at the chosen one.

Audit hooks see files, processes and signals; requests are seen in httpx, http.client and obstore, waits in
`time.sleep`, commits in the store: so later additions to the program are seen as well. Names contain no
id, so that they are the same in each run. A second effect on a file or a process is "... (2)"; requests are
reported once, because some are repeated until their answer is right, and so are removals inside a folder.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import orjson

from session_widgets.transcript.records import Draft

WAITING = ("session_widgets.host.daemon", "session_widgets._sandboxes", "session_widgets.workspaces")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
REQUEST = re.compile(rb"(PUT|POST|DELETE) (\S+) HTTP/1.1")
FOLDERS = (
    r"(?:sandboxes|containers|sandbox-agent)/\*/(?:state|data)",
    "workspaces/S",
    "sync/S",
    "mounts/S/(?:workspace|cache)",
    r"/lab/\*/S",
    "skills/S",
    "contents/S",
    r"/lab/\*/\.contents/S(?:-fork)?",
    r"/lab/\*/S-fork",
    "workspaces/S-fork",
    "contents/S-fork",
)
"""Entries below these have one name."""
IDS = (
    (re.compile(r"[0-9a-f]{32,64}"), "*"),
    (re.compile(r"(?<![0-9a-z])[0-9a-f]{12}(?![0-9a-z])"), "*"),
    (re.compile(r"^/lab/[0-9a-f]{8}/"), "/lab/*/"),
    (re.compile(rf"({'|'.join(FOLDERS)})/.*"), r"\1/**"),
)
UNTOLD = re.compile(
    r"transcripts\.duckdb.*|(.*[/.])?lock|(?!mounts/).*/\.session-widgets-upload-.*|.*/log|.*\.partial|/dev/null|/dev/urandom|.*__pycache__.*|/proc/.*"
)
"""Commits stand for the store's own files; a lock ends with its process, a log is no record, and a
partial file does not count before its rename. On a mount, such a name is that of a folder for trying its abilities."""
REMOVALS = {"remove", "rmdir"}
FOLLOWED = {"os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.symlink"}


class _Here(threading.local):
    """The state of one thread.

    Attributes:
        unseen: whether its effects are ignored.
        sending: the request that it has sent, until it waits for the answer.
    """

    unseen = False
    sending = ""


class Effects:
    """Watches this process from `begin` on.

    Args:
        home: the data directory; paths below it are reported relative to it. It need not exist yet.
        session: the session's id, told as "S".
        told: called with each name when it is met for the first time.
        last: the process kills itself just before the effect of this name.
    """

    def __init__(self, home: str, session: str, told: Callable[[str], None], last: str | None) -> None:
        self._home = home
        self._session = session
        self._told = told
        self._last = last
        self._met: Counter[str] = Counter()
        self._watching = False
        self._telling = threading.Lock()
        self._here = _Here()

    def begin(self) -> None:
        """Watch from now on; an audit hook cannot be taken away, so one object is all that a process may have."""
        self._watching = True
        sys.addaudithook(self._audit)
        self._wrap_requests()
        self._wrap_obstore()
        self._wrap_waits()
        self._wrap_store()

    def end(self) -> None:
        """The operation is over; later effects are not reported."""
        self._watching = False

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """Let the test itself do something, in this thread."""
        self._here.unseen = True
        try:
            yield
        finally:
            self._here.unseen = False

    def meet(self, name: str, *, again: bool = False) -> None:
        """Tell an effect that is about to happen, or die instead of it.

        Args:
            name: without ids.
            again: whether its second time counts, too.
        """
        if not self._sees():
            return
        with self.unseen(), self._telling:
            self._met[name] += 1
            if (times := self._met[name]) > 1:
                if not again:
                    return
                name = f"{name} ({times})"
            self._told(name)
            if name == self._last:
                os.kill(os.getpid(), signal.SIGKILL)

    def _sees(self) -> bool:
        return self._watching and not self._here.unseen

    # Files, processes, signals, and what speaks by http.client

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if not self._sees():
            return
        if event == "open":
            path, _, flags = args
            if isinstance(path, str | bytes) and flags & WRITING:
                self._file("write", path)
        elif event == "os.rename":
            self._file("rename", args[1], args[3])
        elif event in {"os.link", "os.truncate"}:
            self._file(event[3:], args[1] if event == "os.link" else args[0])
        elif event in FOLLOWED:
            directory = args[-1] if event != "os.symlink" else args[2]
            self._file(event[3:], args[1] if event == "os.symlink" else args[0], -1 if directory is None else directory)
        elif event == "os.chown":
            self._file("chown", args[0], args[3])
        elif event == "subprocess.Popen":
            self.meet(f"start {_program(args[1])}", again=True)
        elif event in {"os.kill", "os.killpg"} and args[1] != 0:
            self.meet(f"signal {signal.Signals(args[1]).name}")
        elif event == "http.client.send" and isinstance(args[1], bytes) and (found := REQUEST.match(args[1])):
            self._here.sending = self._request(found[1].decode(), found[2].decode())
            self.meet(self._here.sending)

    def _wrap_waits(self) -> None:
        """Tell where it waits for something that it has begun; the store's waiting has no effect of its own."""
        sleep = time.sleep

        def sleeping(seconds: float) -> None:
            frame = sys._getframe(1)
            module = str(frame.f_globals["__name__"])
            if module.startswith(WAITING):
                self.meet(f"wait in {module.rpartition('.')[2]}.{frame.f_code.co_name}")
            sleep(seconds)

        time.sleep = sleeping

    def _file(self, what: str, path: str | bytes | int | os.PathLike[Any], directory: int = -1) -> None:
        if isinstance(path, int):
            path = _open_as(path)
        text = os.fsdecode(path)
        if not text.startswith("/"):
            text = f"{_open_as(directory) if directory >= 0 else Path.cwd()}/{text}"
        there = os.path.lexists(text)
        if what == "mkdir" and (there or not Path(text).parent.is_dir()):
            return  # it fails
        if what in REMOVALS and not there:
            return
        text = "home" if text == self._home else text.removeprefix(f"{self._home}/")
        if not UNTOLD.fullmatch(text):
            name = self._bare(text)
            self.meet(f"{what} {name}", again=not name.endswith("**"))

    def _bare(self, text: str) -> str:
        text = text.replace(self._session, "S")
        for pattern, put in IDS:
            text = pattern.sub(put, text)
        return text

    def _request(self, method: str, target: str, body: bytes = b"") -> str:
        parts = urlsplit(target)
        path = self._bare(unquote(re.sub(r"^/v1\.\d+/", "/docker/", parts.path)))
        if "session-widgets-*" in path:
            path = path.replace("session-widgets-", "")
        said = f"{method} {path}"
        if body[:1] == b"{" and (rpc := orjson.loads(body).get("method")):
            said += f" {rpc}"
        return said

    def _wrap_requests(self) -> None:
        sent = httpx.AsyncHTTPTransport.handle_async_request
        request_of = self._request

        async def handle(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
            body = request.content if hasattr(request, "_content") else b""
            if request.method != "GET":
                self.meet(request_of(request.method, request.url.raw_path.decode(), body))
            return await sent(transport, request)

        httpx.AsyncHTTPTransport.handle_async_request = handle  # type: ignore[method-assign]
        sent_blocking = httpx.HTTPTransport.handle_request

        def handle_blocking(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
            if request.method != "GET":
                self.meet(request_of(request.method, request.url.raw_path.decode()))
            return sent_blocking(transport, request)

        httpx.HTTPTransport.handle_request = handle_blocking  # type: ignore[method-assign]
        answered = http.client.HTTPConnection.getresponse

        def waiting(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
            if self._here.sending:
                name, self._here.sending = self._here.sending, ""
                self.meet(f"answer to {name}")
            return answered(connection)

        http.client.HTTPConnection.getresponse = waiting  # type: ignore[method-assign]

    def _wrap_obstore(self) -> None:
        """Python sees none of its requests. The step of the answer follows the answer, before the kernel uses it."""
        from obstore.store import S3Store

        put = S3Store.put

        def putting(store: S3Store, path: str, *args: Any, **named: Any) -> Any:
            name = self._request("PUT", f"/{store.config['bucket']}/{path}")
            self.meet(name)
            try:
                return put(store, path, *args, **named)
            finally:
                self.meet(f"answer to {name}")

        S3Store.put = putting  # type: ignore[method-assign]  # obstore has no hook, so the class itself is changed

    # The store

    def _wrap_store(self) -> None:
        from session_widgets._store.database import Store

        append, start, delete, compact = Store.append, Store.start_turn, Store.delete_session, Store.compact
        fork = Store.fork_session

        def appending(store: Store, session_id: str, drafts: Any) -> Any:
            self.meet(f"commit {_said(drafts)}")
            return append(store, session_id, drafts)

        def starting(store: Store, *args: Any, **named: Any) -> Any:
            self.meet("commit turn_started")
            return start(store, *args, **named)

        def deleting(store: Store, session_id: str) -> None:
            self.meet("commit the deletion")
            delete(store, session_id)

        def forking(store: Store, *args: Any) -> None:
            self.meet("commit the fork")
            fork(store, *args)

        def compacting(store: Store, **named: Any) -> None:
            self.meet("write the store again")  # `tests/store/test_rewriting.py` kills it in the middle of that
            compact(store, **named)

        Store.append, Store.start_turn = appending, starting  # type: ignore[method-assign]
        Store.delete_session, Store.compact = deleting, compacting  # type: ignore[method-assign]
        Store.fork_session = forking  # type: ignore[method-assign]


def _open_as(file: int) -> str:
    return str(Path(f"/proc/self/fd/{file}").readlink())


def _said(drafts: Sequence[Draft]) -> str:
    """Name a commit; what an agent says may come in one or in several."""
    first = drafts[0]
    if first.direction == "note":
        return first.kind
    if first.direction == "out":
        return f"out {first.method}"
    for draft in drafts:
        if draft.kind == "response":
            return f"in response to {draft.method}"
    return "in request" if any(draft.kind == "request" for draft in drafts) else "in updates"


def _program(argv: Any) -> str:
    words = [os.fsdecode(word) for word in ([argv] if isinstance(argv, str | bytes) else argv)]
    if "-m" in words:
        return words[words.index("-m") + 1]
    return Path(words[0]).name
