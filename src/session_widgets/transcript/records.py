"""Records derived from events: steps, turns, sessions. Frozen values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Json = Mapping[str, Any]
Direction = Literal["out", "in", "note"]
TurnStatus = Literal["running", "completed", "cancelled", "failed"]
StepKind = Literal[
    "user", "message", "thought", "tool_call", "plan", "question", "compaction", "subagent", "notice", "error"
]
Tier = Literal["warm", "resume", "load", "replay", "fresh"]
UsageScope = Literal["call", "turn", "session"]
UsageQuality = Literal["final", "partial", "placeholder", "none"]
StepFailure = Literal["rejected", "error", "interrupted"]
Verdict = Literal["allowed", "rejected", "cancelled"]


@dataclass(frozen=True, slots=True)
class Draft:
    """An event without its `seq`.

    `payload` is the JSON text as it was sent or received. `(source, source_seq)` is its unique key:
    the store ignores a draft that it already has.
    """

    direction: Direction
    kind: str
    payload: str
    source: str
    source_seq: int
    turn: int | None
    ts: datetime
    method: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """An envelope or a note, with its place in the session.

    Attributes:
        seq: 1, 2, 3, ... within the session, without gaps.
        turn: index of its turn (from 1), or None outside turns.
        ts: when this side sent or received it, UTC.
        direction: "out" to the agent, "in" from the agent, "note" by session_widgets.
        method: JSON-RPC method; for a response, that of the request it answers; None for a note.
        kind: the `sessionUpdate` value of an update, else "request", "response", "error",
            "notification", or the name of the note (see `docs/transcripts.md`).
        payload: the whole envelope, or the note's fields.
    """

    session_id: str
    seq: int
    turn: int | None
    ts: datetime
    direction: Direction
    method: str | None
    kind: str
    payload: Json


@dataclass(frozen=True, slots=True)
class PermissionOption:
    """One option of a permission request; `kind` is ACP's (allow_once, allow_always, reject_once, reject_always)."""

    id: str
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class PermissionState:
    """A permission request in the transcript; `outcome` is None while it is open."""

    request_id: str
    options: tuple[PermissionOption, ...]
    outcome: Literal["selected", "cancelled"] | None = None
    option_id: str | None = None
    decided_by: str | None = None
    reason: str | None = None

    @property
    def by_policy(self) -> bool:
        """Whether the session's policy decided, and no person was asked."""
        return (self.decided_by or "").startswith(("policy:", "function:"))

    @property
    def verdict(self) -> Verdict | None:
        """Effect of the answer on the call: a policy that finds no option to reject with cancels, which rejects."""
        if self.outcome is None:
            return None
        if self.outcome == "cancelled":
            return "rejected" if self.by_policy else "cancelled"
        kind = next((option.kind for option in self.options if option.id == self.option_id), "")
        return "rejected" if kind.startswith("reject") else "allowed"


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the transcript, as a person reads it.

    Attributes:
        turn: turn index, from 1.
        index: place within the turn, from 0.
        text: of a message, thought, question, notice or error; the summary of a compaction; the task of a subagent; a
            plan that is a text or names a file; else None.
        status: ACP's tool call status; "running" for a text step that still grows, else "completed". A plan that the
            agent removed is "cancelled".
        content: ACP tool call content blocks (text, diff, terminal).
        entries: plan entries, each with content, status and priority.
        raw_input: of a tool call; of a question its `request_id`, `mode`, and `schema` or `url`; of a notice its
            `severity`, or an update that this release does not know.
        raw_output: of a tool call; of a question its `action`, `content` without secrets, `answered_by` and `reason`;
            of a compaction its `error`; of a subagent its `stop_reason`, `error`, and `usage`, which is its own.
        waited_s: of a tool call, seconds in which a person was asked for a permission; of a question, seconds until
            its answer; None for other kinds. The rest of `ended_at - started_at` is run time.
        failure: of an unsuccessful tool call: "rejected" by a person or a policy, "error" if the agent reports one,
            or "interrupted" if its turn failed or was cancelled first.
        exit_code: of a command, if the agent reports it; negative for a signal.
        tool_name: of a tool call, the name of the tool in a program, where the agent tells it.
        parent: index of the `subagent` step that it belongs to; None for what the agent itself does.
    """

    session_id: str
    turn: int
    index: int
    kind: StepKind
    first_seq: int
    last_seq: int
    started_at: datetime
    ended_at: datetime
    status: str
    text: str | None = None
    tool_call_id: str | None = None
    title: str | None = None
    tool_kind: str | None = None
    content: Sequence[Json] = ()
    locations: Sequence[Json] = ()
    raw_input: Any = None
    raw_output: Any = None
    entries: Sequence[Json] = ()
    permission: PermissionState | None = None
    waited_s: float | None = None
    failure: StepFailure | None = None
    exit_code: int | None = None
    tool_name: str | None = None
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one turn as the agent reported them; None if it reported none.

    Attributes:
        context_used: tokens in the context window, as last reported.
        cost: cost of the turn, in `currency`; also None if it had costs in several currencies.
        scope: scope of the tokens: all model calls of the "turn", only the last "call", or the "session".
        quality: "final"; "partial" if calls are missing, or the turn runs or did not complete; "placeholder" if
            the agent reported 0 for a turn in which a model answered, stored as None; "none" if it reported nothing.
        remark: the reason for a missing figure.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_read_tokens: int | None = None
    cached_write_tokens: int | None = None
    thought_tokens: int | None = None
    total_tokens: int | None = None
    context_used: int | None = None
    context_size: int | None = None
    cost: float | None = None
    currency: str | None = None
    scope: UsageScope | None = None
    quality: UsageQuality | None = None
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that differs between the start and the end of a turn; `size` in bytes, None if deleted."""

    path: str
    change: Literal["created", "modified", "deleted"]
    size: int | None = None


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """A turn in the store.

    Attributes:
        status: "unfinished" is a turn of an import whose file ends within it.
        saving: known only for a running turn that was folded from its events.
        harness: the session's harness when the turn began.
        model: the model that the agent last reported in the turn, by its own id; None if it reports none.
        waited_s: seconds in which a person was asked for a permission or an answer; None for an import.
        failure: of a turn that the agent reports as completed: "model_error" or "no_answer".
    """

    session_id: str
    index: int
    status: TurnStatus | Literal["unfinished"]
    prompt: Sequence[Json]
    started_at: datetime
    ended_at: datetime | None = None
    text: str = ""
    stop_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    files: tuple[FileChange, ...] = ()
    tier: Tier | None = None
    saving: bool = False
    durable_at: datetime | None = None
    durability_error: str | None = None
    error: str | None = None
    idempotency_key: str | None = None
    owner: Json | None = None
    harness: str | None = None
    model: str | None = None
    waited_s: float | None = 0.0
    failure: Literal["model_error", "no_answer"] | None = None


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session in the store.

    Attributes:
        workspace: location of the files: "/a/directory" or "s3://bucket/prefix".
        attachment: connection of the sandbox to them: "directory", "sync", "direct" or "fuse:<mounter>".
        title: the user's, else the agent's.
        title_by_agent: whether it is the agent's.
        mount_report: capabilities of a mount.
        sandbox_ref: current sandbox, if any.
        sandbox_running: whether the sandbox was started and not stopped since, according to the notes.
        forked_from: id of the session that it was forked from, if any.
        forked_at_turn: its last turn that was copied from there.
        confine: the latest stored option of that name; it applies if `sandbox` is "local".
    """

    id: str
    harness: str
    sandbox: str
    workspace: str
    created_at: datetime
    updated_at: datetime
    title: str | None = None
    model: str | None = None
    mode: str | None = None
    effort: str | None = None
    sandbox_ref: str | None = None
    sandbox_running: bool = False
    launch: str | None = None
    connection: str | None = None
    agent_session_id: str | None = None
    turns: int = 0
    status: str = "new"
    attachment: str = "directory"
    mount_report: str = ""
    title_by_agent: bool = False
    forked_from: str | None = None
    forked_at_turn: int | None = None
    confine: bool = False
