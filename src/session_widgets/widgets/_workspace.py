"""The operations of the file browser, and the folders that it keeps up to date."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from session_widgets.errors import BadValue, LimitExceeded, SessionWidgetsError
from session_widgets.model import FileInfo
from session_widgets.transcript.notes import PermissionDecision, TurnEnded
from session_widgets.transcript.records import Event
from session_widgets.widgets._protocol import MAX_CHUNK, ListingItem
from session_widgets.widgets._rpc import Answer, Buffers, Operation
from session_widgets.widgets._text import safe
from session_widgets.widgets._views import EntryInfo
from session_widgets.widgets._wire import millis

if TYPE_CHECKING:
    from session_widgets._sessions import Session
    from session_widgets._sessions.files import Files

_MAX_ENTRIES = 1000
_MAX_FOLDERS = 40
_MAX_UPLOAD = 512 * 1024 * 1024
_REFRESH_PAUSE = 0.5
_PLUMBING = (".harness", ".session-widgets")
_TOUCHING = frozenset({"tool_call", "tool_call_update", TurnEnded.kind, PermissionDecision.kind})


class Workspace:
    """The operations of the file browser over one session.

    Folders that a page has listed are listed again after possible changes and pushed to every page:
    a kernel that runs a cell receives no request, and the tree must follow nevertheless.

    Args:
        push: sends a new listing to every page.
        running: whether a turn is running; meanwhile, open folders are listed every two seconds.
    """

    def __init__(self, session: Session, push: Callable[[ListingItem], None], running: Callable[[], bool]) -> None:
        self._session = session
        self._push = push
        self._running = running
        self._lock = threading.Lock()
        self._folders: dict[str, list[EntryInfo] | None] = {}  # None: not listed yet
        self._dirty = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._uploads: dict[str, Path] = {}

    def operations(self) -> dict[str, Operation]:
        """Return the page's operations, by name."""
        return {
            "list": self._list,
            "close": self._close_folder,
            "read": self._read,
            "upload": self._upload,
            "delete": self._delete,
        }

    def watch(self, events: list[Event]) -> None:
        """List the open folders again if an event may have changed them."""
        if any(event.kind in _TOUCHING for event in events):
            self._dirty.set()

    def open(self) -> None:
        """Start following the root folder."""
        with self._lock:
            if self._thread is not None:
                return
            self._thread = threading.Thread(target=self._follow, name=f"files-{self._session.id}", daemon=True)
            self._folders.setdefault("", None)
        self._dirty.set()
        self._thread.start()

    def close(self) -> None:
        """Stop, and drop unfinished uploads."""
        self._closed = True
        self._dirty.set()
        with self._lock:
            left, self._uploads = list(self._uploads.values()), {}
        for path in left:
            path.unlink(missing_ok=True)

    def _follow(self) -> None:
        while not self._closed:
            self._dirty.wait(timeout=2 if self._running() else 30)
            if self._closed:
                return
            changed = self._dirty.is_set()
            self._dirty.clear()
            if changed or self._running():
                with self._lock:
                    folders = list(self._folders)
                for path in folders:
                    self._look(path)
            time.sleep(_REFRESH_PAUSE)

    def _look(self, path: str) -> None:
        if self._is_out_of_sight():
            return
        item = self.listing(path, self._session.files)
        with self._lock:
            if path not in self._folders or (self._folders[path] == item["entries"] and not item["error"]):
                return
            self._folders[path] = item["entries"]
            if item["error"] and path:
                del self._folders[path]
        self._push(item)

    def _is_out_of_sight(self) -> bool:
        """Whether the workspace cannot be listed."""
        return self._session.status in ("detached", "deleted")

    def listing(self, path: str, files: Files) -> ListingItem:
        """List one folder: folders first, then by name, internal files last; a failure is part of the result."""
        try:
            found = files.list(path)
        except (SessionWidgetsError, OSError) as error:
            return {"type": "listing", "path": path, "entries": [], "more": 0, "error": str(error)[:500]}
        found = sorted(
            found, key=lambda info: (info.path in _PLUMBING, info.type != "directory", info.name.casefold(), info.name)
        )
        entries = [_entry(info) for info in found[:_MAX_ENTRIES]]
        return {
            "type": "listing",
            "path": path,
            "entries": entries,
            "more": max(0, len(found) - _MAX_ENTRIES),
            "error": None,
        }

    def _list(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        path = str(args.get("path", ""))
        item = self.listing(path, self._session.files)
        with self._lock:
            if not item["error"] and (path in self._folders or len(self._folders) < _MAX_FOLDERS):
                self._folders[path] = item["entries"]
        return Answer(item)

    def _close_folder(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        with self._lock:
            if args.get("path"):
                self._folders.pop(str(args["path"]), None)
        return Answer()

    def _read(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        path, offset, length = str(args["path"]), int(args.get("offset", 0)), int(args.get("length", MAX_CHUNK))
        if offset < 0 or not 0 < length <= MAX_CHUNK:
            raise LimitExceeded(f"one read gives 1 to {MAX_CHUNK:,} bytes; got length {length}, offset {offset}")
        files = self._session.files
        info = files.stat(path)
        if info.type != "file":
            raise BadValue(f"{path!r:.200} is a {info.type}, not a file")
        data = bytes(files.read_bytes(path, offset=offset, length=length)) if info.size > offset else b""
        return Answer(_entry(info), (data,))

    def _upload(self, args: Mapping[str, Any], buffers: Buffers) -> Answer:
        path, key, offset = str(args["path"]), str(args["upload"]), int(args["offset"])
        chunk = bytes(buffers[0]) if buffers else b""
        if len(chunk) > MAX_CHUNK or offset + len(chunk) > _MAX_UPLOAD:
            raise LimitExceeded(f"an upload may have {_MAX_UPLOAD // 2**20} MB. Use session.files.upload() for more.")
        part = self._part(key, offset)
        with part.open("ab") as file:
            file.write(chunk)
        if not args.get("last"):
            return Answer()
        try:
            self._session.files.upload(str(part), path)
        finally:
            with self._lock:
                self._uploads.pop(key, None)
            part.unlink(missing_ok=True)
        self._dirty.set()
        return Answer()

    def _part(self, key: str, offset: int) -> Path:
        with self._lock:
            if offset == 0:
                file = tempfile.NamedTemporaryFile(prefix="session-widgets-upload-", delete=False)  # noqa: SIM115 - outlives this call
                file.close()
                self._uploads[key] = Path(file.name)
            part = self._uploads.get(key)
        if part is None or part.stat().st_size != offset:
            raise BadValue("this upload is not known, or a part of it is missing. Upload the file again.")
        return part

    def _delete(self, args: Mapping[str, Any], _: Buffers) -> Answer:
        self._session.files.delete(str(args["path"]), recursive=bool(args.get("recursive")))
        self._dirty.set()
        return Answer()


def _entry(info: FileInfo) -> EntryInfo:
    return {
        "path": info.path,
        "name": safe(info.name),
        "type": info.type,
        "size": info.size,
        "modified": millis(info.modified) if info.modified else None,
    }
