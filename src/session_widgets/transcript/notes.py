"""The notes of session_widgets in a session's events: one dataclass each, the only definition of their fields.

`encode` makes the payload of an event. `decode` reads any payload: a value of the wrong type counts as absent, unknown
fields are ignored, as `read_note` ignores unknown notes; the event keeps both. `make docs` makes tables of this file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, ClassVar, Literal, Self

from session_widgets.transcript.envelopes import as_number, as_object, as_objects, as_text, as_texts
from session_widgets.transcript.records import FileChange, Json, Tier, TurnStatus

SandboxEnd = Literal["parked", "switched", "changed", "gone", "deleted"]
AgentEnd = Literal["ended", "exited", "lost", "killed"]


class Unsaid(Enum):
    """The value of an absent field, if null has a meaning of its own."""

    UNSAID = "unsaid"


UNSAID = Unsaid.UNSAID
Changed = str | Unsaid | None


def _field(read: Callable[[Any], Any], about: str = "", default: Any = None) -> Any:
    """Return a field: the reader of its value, a remark for the documentation, and the value of an absent one."""
    return field(default_factory=lambda: default, metadata={"read": read, "about": about})


def _text(about: str = "") -> Any:
    return _field(as_text, about)


def _said(about: str = "") -> Any:
    """Return a required text."""
    return _field(lambda value: as_text(value) or "", about, "")


def _object(about: str = "") -> Any:
    return _field(as_object, about, {})


def _objects(about: str = "") -> Any:
    return _field(as_objects, about, ())


def _texts(about: str = "") -> Any:
    return _field(as_texts, about, ())


def _whole(value: object) -> int | None:
    return value if type(value) is int else None


def _whole_numbers(value: object) -> tuple[int, ...]:
    return tuple(one for one in value if type(one) is int) if isinstance(value, list | tuple) else ()


def _wholes(about: str = "") -> Any:
    return _field(_whole_numbers, about, ())


def _number(about: str = "") -> Any:
    return _field(as_number, about)


def _flag(about: str = "") -> Any:
    return _field(lambda value: value is True, about, False)


def _json(about: str = "") -> Any:
    return _field(lambda value: value, about)


def _changed() -> Any:
    return _field(as_text, "", UNSAID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """The base of all notes: `kind` is that of the event. The first line of a docstring goes into the documentation."""

    kind: ClassVar[str]

    def encode(self) -> dict[str, Any]:
        """Return the payload of the event."""
        said = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in said.items() if value is not UNSAID}

    @classmethod
    def decode(cls, payload: Json) -> Self:
        """Read the payload of an event."""
        return cls(**{one.name: one.metadata["read"](payload[one.name]) for one in fields(cls) if one.name in payload})


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened(Note):
    """The first event of a session."""

    kind: ClassVar[str] = "session_opened"
    harness: str = _said()
    sandbox: str = _said()
    workspace: str = _said("its location")
    attachment: str = _said()
    title: str | None = _text()
    model: str | None = _text()
    mode: str | None = _text()
    effort: str | None = _text()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRules(Note):
    """The permission policy and the limits of a turn; the latest applies when a session is opened."""

    kind: ClassVar[str] = "session_rules"
    permissions: str | None = _text("a mode, or `function:NAME`")
    limits: Json = _object("of a turn")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionChanged(Note):
    """Changed settings of a session; null removes a value."""

    kind: ClassVar[str] = "session_changed"
    harness: Changed = _changed()
    sandbox: Changed = _changed()
    workspace: Changed = _changed()
    attachment: Changed = _changed()
    title: Changed = _changed()
    model: Changed = _changed()
    mode: Changed = _changed()
    effort: Changed = _changed()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSandbox(Note):
    """The options of a session's sandbox."""

    kind: ClassVar[str] = "session_sandbox"
    name: str = _said()
    image: str | None = _text()
    cpus: float | None = _number()
    memory: int | None = _number("bytes")
    env: Sequence[str] = _texts("names alone")
    mounts: Json = _object("paths inside by paths of this machine")
    gpu: str | None = _text()
    setup: Sequence[str] = _texts()
    ports: Sequence[int] = _wholes()
    idle: int | None = _field(_whole, "seconds")
    lifetime: int | None = _field(_whole, "seconds")
    network: Any = _json('"none" or names of hosts; null: open')
    confine: bool = _flag()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceAttached(Note):
    """A workspace was mounted."""

    kind: ClassVar[str] = "workspace_attached"
    location: str = _said()
    attachment: str = _said()
    mount_report: str = _said("capabilities of the mount")


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxStarted(Note):
    """A sandbox is being created or started; stored before it is awaited."""

    kind: ClassVar[str] = "sandbox_started"
    ref: str | None = _text()
    launch: str | None = _text("fingerprint of its launch entry")
    model_hosts: Sequence[str] = _texts("of the model's API, which it reaches besides the network of its options")


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxStopped(Note):
    """A sandbox stopped."""

    kind: ClassVar[str] = "sandbox_stopped"
    ref: str | None = _text()
    reason: SandboxEnd | None = _text(
        "`parked`, `switched` to another, `changed`: recreated with other options, `gone`: removed by others, `deleted`"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStarted(Note):
    """An agent process is ready for prompts."""

    kind: ClassVar[str] = "agent_started"
    connection: str = _said()
    agent_session_id: str | None = _text()
    tier: Tier | None = _text()
    harness: str | None = _text()
    cwd: str | None = _text("its path of the workspace")
    agent_info: Json = _object()
    capabilities: Json = _object()
    config: Sequence[Json] = _objects("its `configOptions`")
    modes: Json = _object()
    models: Json = _object()
    commands: Sequence[Json] = _objects()
    model: str | None = _text("of its settings file")
    offered: str | None = _text("fingerprint of its tools")
    skills: Sequence[str] = _texts("their folders in the workspace")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStopped(Note):
    """An agent process exited, or its connection was lost."""

    kind: ClassVar[str] = "agent_stopped"
    connection: str = _said()
    reason: AgentEnd | None = _text("`ended` by us, `exited` by itself, `lost`, `killed`: it did not stop on request")
    error: str | None = _text()


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnStarted(Note):
    """A prompt was accepted; stored before it is sent."""

    kind: ClassVar[str] = "turn_started"
    prompt: Sequence[Json] = _objects("ACP content blocks, the user's own words")
    idempotency_key: str | None = _text()
    owner: Json | None = _field(lambda value: as_object(value) or None, "`pid, host, process, started`")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptNotDelivered(Note):
    """The agent had exited before it received this prompt, which is sent to another one."""

    kind: ClassVar[str] = "prompt_not_delivered"
    request: str = _said("id of the request")
    reason: str = _said()


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRestored(Note):
    """How the agent of a turn regained the session's memory."""

    kind: ClassVar[str] = "memory_restored"
    tier: Tier | None = _text()
    handed_over: bool = _flag("whether earlier turns were sent with the prompt")


@dataclass(frozen=True, slots=True, kw_only=True)
class PermissionDecision(Note):
    """The answer to a permission request; stored before it is sent."""

    kind: ClassVar[str] = "permission_decision"
    request_id: str = _said()
    outcome: Literal["selected", "cancelled"] = _field(
        lambda value: "selected" if value == "selected" else "cancelled", "`selected`, `cancelled`", "cancelled"
    )
    option_id: str | None = _text()
    option_kind: str | None = _text()
    decided_by: str | None = _text()
    reason: str | None = _text()


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionAnswered(Note):
    """The answer to a question of the agent."""

    kind: ClassVar[str] = "question_answered"
    request_id: str = _said()
    action: str | None = _text("`accept`, `decline`, `cancel`, `refused`")
    content: Json | None = _field(lambda value: None if value is None else as_object(value), "without secrets")
    secrets: Sequence[str] = _texts("names of the omitted fields")
    answered_by: str | None = _text()
    reason: str | None = _text()


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookToolCalled(Note):
    """A call of a notebook function ended."""

    kind: ClassVar[str] = "notebook_tool_called"
    name: str = _said()
    arguments: Any = _json("cut if long")
    ok: bool = _flag()
    seconds: float | None = _number()
    error: str | None = _text()


@dataclass(frozen=True, slots=True, kw_only=True)
class PersistStarted(Note):
    """Saving the workspace to durable storage takes more than 0.5 s."""

    kind: ClassVar[str] = "persist_started"
    attachment: str = _said()


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnEnded(Note):
    """A turn ended, in any way."""

    kind: ClassVar[str] = "turn_ended"
    status: TurnStatus = _field(lambda value: value if value in ("completed", "cancelled") else "failed", "", "failed")
    stop_reason: str | None = _text("ACP's")
    error: str | None = _text()
    files: Sequence[FileChange] = _field(
        lambda value: tuple(map(_file_change, as_objects(value))), "`path, change, size` each", ()
    )
    durable_at: str | None = _text("ISO 8601")
    durability_error: str | None = _text()

    def encode(self) -> dict[str, Any]:
        """Return the payload of the event."""
        files = [{"path": one.path, "change": one.change, "size": one.size} for one in self.files]
        return Note.encode(self) | {"files": files}


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesKept(Note):
    """The files at the end of a turn, or before a restore, were kept."""

    kind: ClassVar[str] = "files_kept"
    turn: int | None = _field(_whole, "null: before a restore")
    snapshot: str = _said("MD5 and size of the list of files")
    files: int | None = _number("how many")
    size: int | None = _number("their bytes")
    left_out: Sequence[Json] = _objects("the first of them, `path, reason` each")
    left_out_count: int | None = _number()
    process: str = _said("`source` of the process's own events")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesDropped(Note):
    """Kept files were deleted to make room for newer ones; stored before their deletion."""

    kind: ClassVar[str] = "files_dropped"
    snapshots: Sequence[str] = _texts("of earlier `files_kept`")


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreStarted(Note):
    """Earlier files are being put back; stored before the first one."""

    kind: ClassVar[str] = "restore_started"
    snapshot: str = _said("of the wanted files")
    path: str = _said("of the file or folder; empty for all")
    previous: str = _said("snapshot of the files before it")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionForked(Note):
    """All earlier events were copied from another session."""

    kind: ClassVar[str] = "session_forked"
    session: str = _said("the other session")
    turn: int | None = _field(_whole, "its last copied turn")
    workspace: str = _said("location of the new session's files")
    attachment: str = _said()


NOTES: tuple[type[Note], ...] = (
    SessionOpened,
    SessionRules,
    SessionChanged,
    SessionSandbox,
    WorkspaceAttached,
    SandboxStarted,
    SandboxStopped,
    AgentStarted,
    AgentStopped,
    TurnStarted,
    PromptNotDelivered,
    MemoryRestored,
    PermissionDecision,
    QuestionAnswered,
    NotebookToolCalled,
    PersistStarted,
    TurnEnded,
    FilesKept,
    FilesDropped,
    RestoreStarted,
    SessionForked,
)
_BY_KIND = {note.kind: note for note in NOTES}


def read_note(kind: str, payload: Json) -> Note | None:
    """Return the note of an event whose direction is "note"; None for an unknown one."""
    note = _BY_KIND.get(kind)
    return None if note is None else note.decode(payload)


def _file_change(value: Json) -> FileChange:
    change, size = as_text(value.get("change")), value.get("size")
    return FileChange(
        path=as_text(value.get("path")) or "",
        change="created" if change == "created" else "deleted" if change == "deleted" else "modified",
        size=size if isinstance(size, int) else None,
    )
