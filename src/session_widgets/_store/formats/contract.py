"""What a format of foreign transcripts implements: see `docs/formats.md`, the author's guide.

A format is pure: it opens no file and knows nothing of the store. It turns the records of one file into entries.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar, Literal

from session_widgets.transcript.records import (
    Event,
    Json,
    SessionRecord,
    Step,
    StepFailure,
    StepKind,
    TurnRecord,
    UsageQuality,
    UsageScope,
)

Layout = Literal["lines", "document", "archive"]
Relation = Literal["subagent", "fork", "resume", "continuation", "copy"]
Severity = Literal["info", "warning"]
Change = Literal["created", "modified", "deleted"]


@dataclass(slots=True)
class Record:
    """A record of a file: `line` counts from 1 (of a document always 1), `value` is its JSON."""

    line: int
    value: Any


@dataclass(frozen=True, slots=True)
class Source:
    """What is known of the file besides its content.

    Attributes:
        stem: its name without the extension.
        folders: the names of the directories above it, the nearest last.
    """

    stem: str
    folders: tuple[str, ...] = ()


class Head:
    """The beginning of a file, to recognise its format by content.

    Args:
        start: the first bytes.
        values: the JSON values of its first lines, without lines that are no JSON.
        parse: decodes the whole file as one JSON document; called at most once.
        names: names of the members, for a zip archive.
    """

    def __init__(
        self, start: bytes, values: Sequence[Any], parse: Callable[[], Any], names: Sequence[str] = ()
    ) -> None:
        self.start, self.values, self.names, self._parse = start, values, names, parse

    @cached_property
    def document(self) -> Any:
        """The file as one JSON document; None if it is none."""
        return self._parse()

    @property
    def objects(self) -> list[Mapping[str, Any]]:
        """The JSON objects among `values`."""
        return [value for value in self.values if isinstance(value, dict)]


@dataclass(slots=True, kw_only=True)
class Entry:
    """Something that a record says; `line` is the record's, `at` its time if it has one.

    Entries are never changed. They are not frozen because that triples the time to make one.
    """

    line: int
    at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class SessionFacts(Entry):
    """Facts of a session; the following entries belong to it. Later facts replace earlier ones; None changes nothing.

    Attributes:
        native_id: the program's own id of the session.
        parent: the program's own id of the session that this one comes from, with `relation`.
        agent_id: of a subagent, in its parent.
        status: "unfinished" if the file says that the session did not end by itself.
    """

    native_id: str
    harness: str | None = None
    harness_version: str | None = None
    title: str | None = None
    model: str | None = None
    cwd: str | None = None
    git_branch: str | None = None
    parent: str | None = None
    relation: Relation | None = None
    agent_id: str | None = None


@dataclass(slots=True, kw_only=True)
class _Placed(Entry):
    """An entry in the program's own tree.

    Attributes:
        uid: the program's own id of the record.
        parent_uid: of the record before it.
        copied: whether it was copied from another session, and belongs to that.
        agent: key of the subagent within this session that it belongs to, see `Delegated`.
    """

    uid: str | None = None
    parent_uid: str | None = None
    copied: bool = False
    agent: str | None = None


@dataclass(slots=True, kw_only=True)
class Prompt(_Placed):
    """The user's prompt, which begins a turn; `blocks` are ACP content blocks, none if the file does not have it."""

    blocks: Sequence[Json]


@dataclass(slots=True, kw_only=True)
class Said(_Placed):
    """A message, thought, notice, error, compaction or plan; `entries` are those of a plan, as in ACP."""

    kind: StepKind
    text: str | None = None
    entries: Sequence[Json] = ()
    content: Sequence[Json] = ()
    call_id: str | None = None


@dataclass(slots=True, kw_only=True)
class Delegated(_Placed):
    """A subagent within this session begins: `agent` is its key, `text` its task."""

    text: str


@dataclass(slots=True, kw_only=True)
class ToolCall(_Placed):
    """A tool call; `kind` is ACP's, `name` the program's."""

    tool_call_id: str
    name: str
    kind: str = "other"
    title: str | None = None
    raw_input: Any = None
    paths: Sequence[str] = ()
    content: Sequence[Json] = ()
    call_id: str | None = None


@dataclass(slots=True, kw_only=True)
class ToolResult(_Placed):
    """The result of a tool call; unknown fields are None. `content` replaces that of the call if it is not empty.

    Attributes:
        status: if it does not follow from `failure`.
    """

    tool_call_id: str
    status: Literal["completed", "failed", "cancelled", "unfinished"] | None = None
    content: Sequence[Json] = ()
    raw_output: Any = None
    failure: StepFailure | None = None
    exit_code: int | None = None


@dataclass(slots=True, kw_only=True)
class ModelCall(_Placed):
    """Usage of one model call; a repeat of its id counts once, with the maximum of each field.

    Attributes:
        call_id: the provider's id of the message or response, else a derived id that copies of the call share.
        scope: "call", or "turn" or "session" if the file has only such a total.
        quality: "partial" if the figures were written before the answer was complete.
        uncached: input tokens that were not read from a cache and not written to one.
        written: input tokens written to a cache; `written_5m` and `written_1h` are its parts by lifetime, if known.
        output: including `reasoning`.
        last_only: whether its turn had other calls that the file does not have.
    """

    call_id: str
    last_only: bool = False
    provider: str | None = None
    model: str | None = None
    model_requested: str | None = None
    scope: UsageScope = "call"
    quality: UsageQuality = "final"
    remark: str | None = None
    uncached: int | None = None
    read: int | None = None
    written: int | None = None
    written_5m: int | None = None
    written_1h: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cost: Decimal | None = None
    currency: str | None = None
    stop_reason: str | None = None
    ttft_s: float | None = None
    duration_s: float | None = None


@dataclass(slots=True, kw_only=True)
class Changed(Entry):
    """A file that the turn changed."""

    path: str
    change: Change


@dataclass(slots=True, kw_only=True)
class TurnEnd(Entry):
    """The turn ended."""

    status: Literal["completed", "cancelled", "failed"] = "completed"
    stop_reason: str | None = None
    error: str | None = None


@dataclass(slots=True, kw_only=True)
class Abandoned(Entry):
    """Records, by uid, on a branch that the user left: their steps stay, and are not active."""

    uids: frozenset[str]


@dataclass(slots=True, kw_only=True)
class Problem(Entry):
    """Something that the format could not keep or had to guess; it appears in `v_import_issues`."""

    code: str
    detail: str
    severity: Severity = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeSession:
    """A session to be written in a format; steps on branches that the user left are not part of it.

    Attributes:
        session: its record.
        turns: all turns, in order.
        steps: all steps, in order; the prompt is the step of kind "user".
        calls: model calls, by id: rows of `v_llm_calls`.
        call_ids: the model call of a step, by turn and index of the step, where it is known.
        events: of a live session as they were stored, of an import made from its steps.
        harness_version: of the program, if known.
        git_branch: of an import, if known.
    """

    session: SessionRecord
    turns: Sequence[TurnRecord]
    steps: Sequence[Step]
    calls: Mapping[str, Mapping[str, Any]]
    call_ids: Mapping[tuple[int, int], str]
    events: Sequence[Event]
    harness_version: str | None = None
    git_branch: str | None = None


class Format(ABC):
    """One kind of file.

    Attributes:
        name: as in `v_sessions.format`.
        layout: "lines" of JSON, one JSON "document", or a zip "archive".
        writes: whether it implements `write`.
    """

    name: ClassVar[str]
    layout: ClassVar[Layout] = "lines"
    writes: ClassVar[bool] = False

    @abstractmethod
    def sniff(self, head: Head) -> bool:
        """Whether a file that begins like this has this format; by content, never by name."""

    def kind(self, value: Any) -> str | None:
        """Return the kind of a record, for `v_raw_records`."""
        kind = value.get("type") if isinstance(value, dict) else None
        return kind if isinstance(kind, str) else None

    def records(self, data: bytes) -> Iterator[Any]:
        """Return the values in an archive; the store keeps the archive as one record.

        Raises:
            ValueError: with the reason why it cannot be read.
        """
        raise ValueError("it is no archive")

    @abstractmethod
    def read(self, records: Iterable[Record], source: Source) -> Iterator[Entry]:
        """Turn records into entries, in order; the first entry is `SessionFacts`."""

    def write(self, session: WholeSession) -> Iterator[bytes]:
        """Yield the bytes of a file with this session, for `Store.export`; optional, see `writes`."""
        raise NotImplementedError(self.name)


@dataclass(slots=True)
class Tree:
    """The tree of a file's records: which branches the user left.

    A branch counts as abandoned if it begins with a prompt that is no ancestor of the last record: parallel tool
    calls fork a tree too.
    """

    parents: dict[str, str | None] = field(default_factory=dict)
    prompts: set[str] = field(default_factory=set)
    last: str | None = None

    def add(self, uid: str | None, parent: str | None, *, prompt: bool = False, leaf: bool = True) -> None:
        """Add a record."""
        if uid is None or uid in self.parents:
            return
        self.parents[uid] = parent
        if prompt:
            self.prompts.add(uid)
        if leaf:
            self.last = uid

    def abandoned(self) -> frozenset[str]:
        """Return the uids of the records on abandoned branches."""
        chain: set[str] = set()
        place = self.last
        while place is not None and place not in chain:  # a cycle ends it
            chain.add(place)
            place = self.parents.get(place)
        left = self.prompts - chain
        if not left:
            return frozenset()
        known: dict[str, bool] = dict.fromkeys(chain, False)
        for uid in self.parents:
            path: list[str] = []
            at: str | None = uid
            while at is not None and at not in known and at not in left and len(path) <= len(self.parents):
                path.append(at)
                at = self.parents.get(at)
            gone = at is not None and known.get(at, True)
            known.update(dict.fromkeys([*path, *([at] if at is not None else [])], gone))
        return frozenset(uid for uid in self.parents if known.get(uid))


def time_of(value: object) -> datetime | None:
    """Return the time in an ISO 8601 text or in seconds or milliseconds since 1970; None for anything else."""
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            return at if at.tzinfo else at.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e14:
            return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
    except (ValueError, OverflowError):
        pass
    return None


def count_of(value: object) -> int | None:
    """Return a number of tokens; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62 else None


def text_block(text: str) -> Json:
    """Return ACP tool call content of a text."""
    return {"type": "content", "content": {"type": "text", "text": text}}
