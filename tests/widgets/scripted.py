"""A session controlled by a test: its events are made here, its files are in a directory."""

from __future__ import annotations

import queue
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from session_widgets._harnesses.harness import Harness
from session_widgets._sessions.cell import FrontendState
from session_widgets._sessions.launching import MissingRequirements
from session_widgets._sessions.permissions import check_policy
from session_widgets.acp.questions import METHOD
from session_widgets.errors import NotFound
from session_widgets.model import FileInfo
from session_widgets.transcript.question_form import check_answer, fields_of
from session_widgets.transcript.records import Event, PermissionOption, SessionRecord
from session_widgets.transcript.sources import SharedFold

OPTIONS = [
    {"optionId": "once", "name": "Allow", "kind": "allow_once"},
    {"optionId": "always", "name": "Always allow", "kind": "allow_always"},
    {"optionId": "no", "name": "Reject", "kind": "reject_once"},
]


class LocalFiles:
    """`Session.files` over a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def list(self, path: str = "", recursive: bool = False) -> list[FileInfo]:
        folder = self.root / path
        if not folder.is_dir():
            raise NotFound(f"no directory {path!r}")
        return [self._info(entry) for entry in folder.iterdir()]

    def stat(self, path: str) -> FileInfo:
        if not (self.root / path).exists():
            raise NotFound(f"no file {path!r}")
        return self._info(self.root / path)

    def read_bytes(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        with (self.root / path).open("rb") as file:
            file.seek(offset)
            return file.read(-1 if length is None else length)

    def upload(self, local: str, path: str) -> None:
        shutil.copy(local, self.root / path)

    def delete(self, path: str, recursive: bool = False) -> None:
        target = self.root / path
        shutil.rmtree(target) if recursive else target.unlink()

    def _info(self, path: Path) -> FileInfo:
        stat = path.stat()
        kind = "directory" if path.is_dir() else "file"
        name = str(path.relative_to(self.root))
        return FileInfo(name, path.name, kind, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))


class Scripted:
    """The part of `Session` that the widgets use, and methods that make events."""

    def __init__(self, root: Path, *, id: str = "scripted", title: str | None = None) -> None:
        self.id, self.title, self.harness, self.sandbox = id, title or id, "demo", "local"
        self.files = LocalFiles(root)
        self.workspace = root
        self.attachment = "directory"
        self.activity: str | None = None
        self.deadline: float | None = None
        self.events: list[Event] = []
        self.prompts: list[str] = []
        self.answers: list[tuple[str, str]] = []
        self.replies: list[tuple[str, Any]] = []
        self.cancelled = 0
        self.turn = 0
        self.clock = timedelta()
        self.stands: datetime | None = None  # the time, where only `clock` moves it
        self.told: dict[int, Any] = {}
        self.status = "idle"
        self.pending: list[Any] = []
        self.questions: list[Any] = []
        self.permissions: Any = "ask"
        self.control = Control(self)
        self.installs: queue.SimpleQueue[str | Exception] = queue.SimpleQueue()
        self.chosen: list[tuple[str, str]] = []
        self._watchers: list[Callable[[list[Event]], None]] = []
        self.note("session_opened", harness="demo", sandbox="local", workspace=str(root), title=title)

    def subscribe(self, callback: Callable[[list[Event]], None], after: int = 0) -> Callable[[], None]:
        self._watchers.append(callback)
        callback(self.events[after:])
        return lambda: self._watchers.remove(callback)

    @property
    def record(self) -> SessionRecord:
        return self.control.fold.fold.session()

    def work(self, activity: str | None) -> None:
        self.activity = activity
        for watcher in list(self.control.activity_watchers):
            watcher()

    def live(self, workspace: str, attachment: str) -> None:
        """Move to another place."""
        self.attachment = attachment
        self.note("session_changed", workspace=workspace, attachment=attachment)

    def start(self, prompt: str, *, idempotency_key: str | None = None) -> SimpleNamespace:
        self.prompts.append(prompt)
        return SimpleNamespace(index=self.begin(prompt))

    def set_permissions(self, policy: Any) -> None:
        self.permissions = check_policy(policy)
        self.control.page.tell()

    def set_mode(self, id: str) -> None:
        self._set("mode", id)

    def set_model(self, id: str) -> None:
        self._set("model", id)

    def set_effort(self, id: str) -> None:
        self._set("effort", id)

    def _set(self, name: str, value: str) -> None:
        self.chosen.append((name, value))
        self.note("session_changed", **{name: value})

    def offer(self, **settings: list[str]) -> None:
        """Start an agent that offers these ids, the first of each its current one."""
        categories = {"effort": "thought_level"}
        config = [
            {
                "type": "select", "id": name, "category": categories.get(name, name), "currentValue": ids[0],
                "options": [{"value": id, "name": id.title(), "description": f"About {id}"} for id in ids],
            }
            for name, ids in settings.items()
        ]  # fmt: skip
        self.note("agent_started", config=config, connection="", agent_session_id="a")

    def cancel(self) -> None:
        self.cancelled += 1
        self.end("cancelled", stop_reason="cancelled")

    def emit(self, direction: str, kind: str, payload: Any, *, method: str | None = None, count: int = 1) -> None:
        events = []
        for _ in range(count):
            seq = len(self.events) + 1
            at = (self.stands or datetime.now(UTC)) + self.clock
            events.append(Event(self.id, seq, self.turn or None, at, direction, method, kind, payload))
            self.events.append(events[-1])
        self.control.fold.feed(events)
        for watcher in list(self._watchers):
            watcher(events)

    def note(self, kind: str, **payload: Any) -> None:
        self.emit("note", kind, payload)

    def update(self, kind: str, /, *, count: int = 1, **fields: Any) -> None:
        payload = {"method": "session/update", "params": {"update": {"sessionUpdate": kind, **fields}}}
        self.emit("in", kind, payload, method="session/update", count=count)

    def begin(self, prompt: str) -> int:
        self.turn += 1
        self.note("turn_started", prompt=[{"type": "text", "text": prompt}])
        return self.turn

    def hand_over(self, told: Any, prompt: str = "go on", tier: str = "replay") -> int:
        """Begin a turn whose prompt carries a history."""
        self.begin(prompt)
        self.told[self.turn] = told
        self.note("memory_restored", tier=tier, handed_over=True)
        return self.turn

    @property
    def turns(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(index=index, handed_over=self.told.get(index)) for index in range(1, self.turn + 1)]

    def say(self, text: str, *, count: int = 1) -> None:
        self.update("agent_message_chunk", count=count, content={"type": "text", "text": text})

    def think(self, text: str) -> None:
        self.update("agent_thought_chunk", content={"type": "text", "text": text})

    def plan(self, *entries: tuple[str, str]) -> None:
        self.update("plan", entries=[{"content": c, "status": s, "priority": "medium"} for c, s in entries])

    def tool(self, id: str, *, first: bool = True, **fields: Any) -> None:
        self.update("tool_call" if first else "tool_call_update", toolCallId=id, **fields)

    def ask(self, number: int, **tool_call: Any) -> None:
        params = {"toolCall": tool_call, "options": OPTIONS}
        payload = {"id": number, "method": "session/request_permission", "params": params}
        self.emit("in", "request", payload, method="session/request_permission")
        options = tuple(PermissionOption(o["optionId"], o["name"], o["kind"]) for o in OPTIONS)
        request = SimpleNamespace(id=f"/{number}", options=options)
        request.choose = lambda option: self._choose(request, option)
        self.pending.append(request)

    def _choose(self, request: Any, option: str) -> bool:
        self.answers.append((request.id, option))
        self.pending.remove(request)
        self.note("permission_decision", request_id=request.id, outcome="selected", option_id=option, decided_by="user")
        return True

    def question(self, number: int, message: str, *, url: str | None = None, **properties: Any) -> None:
        """Ask a person; `required` names the fields that need an answer."""
        schema = {"properties": properties, "required": properties.pop("required", [])}
        asked = {"mode": "form", "requestedSchema": schema} if url is None else {"mode": "url", "url": url}
        payload = {"id": number, "method": METHOD, "params": {"message": message, **asked}}
        self.emit("in", "request", payload, method=METHOD)
        fields = fields_of(schema) if url is None else ()

        def over(action: str, content: Any = None) -> bool:
            content = check_answer(fields, content or {}) if action == "accept" and url is None else None
            self.questions.remove(request)
            self.replies.append((action, content))
            self.note("question_answered", request_id=f"/{number}", action=action, content=content, answered_by="user")
            return True

        request = SimpleNamespace(id=f"/{number}", accept=lambda content=None: over("accept", content))
        request.decline, request.cancel = (lambda: over("decline")), (lambda: over("cancel"))
        self.questions.append(request)

    def end(self, status: str = "completed", *, usage: Any = None, **fields: Any) -> None:
        if usage is not None:
            self.emit("in", "response", {"result": {"stopReason": "end_turn", "usage": usage}}, method="session/prompt")
        self.note("turn_ended", status=status, **({"stop_reason": "end_turn"} | fields))


class Control:
    """Its `SessionControl`."""

    def __init__(self, session: Scripted) -> None:
        self._session = session
        self.fold = SharedFold(session.id)
        self.files, self.root, self.page, self.missing = (
            session.files,
            str(session.workspace),
            FrontendState(),
            MissingRequirements(),
        )
        self.harness = Harness(
            ("demo",), title="Demo", version="1.2.3", suggestions=("Do the one", "Do <b>the</b> other")
        )
        self.activity_watchers: list[Callable[[], None]] = []

    @property
    def deleted(self) -> bool:
        return self._session.status == "deleted"

    @property
    def permissions(self) -> Any:
        return self._session.permissions

    @property
    def activity(self) -> str | None:
        return self._session.activity

    @property
    def deadline(self) -> float | None:
        return self._session.deadline

    def watch_activity(self, callback: Callable[[], None]) -> Callable[[], None]:
        self.activity_watchers.append(callback)
        return lambda: self.activity_watchers.remove(callback)

    def install(self) -> None:
        """Tell each text of `installs` until "" ends it well or an error ends it badly."""
        while step := self._session.installs.get(timeout=20):
            if isinstance(step, Exception):
                self._session.work(None)
                raise step
            self._session.work(step)
        self.missing = MissingRequirements(keys=self.missing.keys)
        self._session.work(None)


def text(value: str) -> dict[str, Any]:
    return {"type": "content", "content": {"type": "text", "text": value}}


def diff(path: str, old: str | None, new: str) -> dict[str, Any]:
    return {"type": "diff", "path": path, "oldText": old, "newText": new}
