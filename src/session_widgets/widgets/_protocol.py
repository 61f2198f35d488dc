"""The messages between a widget and its page. `js/src/lib/protocol.ts` has the same in TypeScript.

Kernel to page: `batch` (changes, numbered 1, 2, 3, ...), `snapshot` (the state after batch `n`, which is also the
answer to `hello`), `reply` (of one `rpc`). Page to kernel: `hello` (a new page, or one that found a gap), `ack`,
`ping`, `rpc`, `cancel`. A request has a number, never a string: ipykernel 7.4 keeps a route for each string id.

Times are milliseconds since 1970 UTC, sizes are bytes, lengths are characters.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from session_widgets.widgets._views import (
    CellQuestionView,
    CommandView,
    EntryInfo,
    SessionView,
    SettingView,
    StepView,
    TurnView,
)

MAX_ITEMS = 500
MAX_BYTES = 256 * 1024
MAX_CHUNK = 4 * 1024 * 1024


class StepItem(TypedDict):
    """The current form of a step."""

    type: Literal["step"]
    step: StepView


class AppendItem(TypedDict):
    """Text added to a step; `length` is its whole length now, of which only `CLIP` characters are sent."""

    type: Literal["append"]
    turn: int
    index: int
    text: str
    length: int
    tail: NotRequired[str]
    at: int


class TurnItem(TypedDict):
    """The current form of a turn."""

    type: Literal["turn"]
    turn: TurnView


class SessionItem(TypedDict):
    """The current form of the session."""

    type: Literal["session"]
    session: SessionView


class SettingsItem(TypedDict):
    """The agent's current options; `settings` is None before its first start."""

    type: Literal["settings"]
    settings: list[SettingView] | None
    commands: list[CommandView]


class ActivityItem(TypedDict):
    """The current activity as a short text, outside the transcript; None without one."""

    type: Literal["activity"]
    text: str | None


class CellQuestionItem(TypedDict):
    """The current question of a cell; None without one."""

    type: Literal["cell_question"]
    question: CellQuestionView | None


class ListingItem(TypedDict):
    """The current content of a folder; `more` entries are omitted. `error` is the reason if it could not be read."""

    type: Literal["listing"]
    path: str
    entries: list[EntryInfo]
    more: int
    error: str | None


Item = StepItem | AppendItem | TurnItem | SessionItem | SettingsItem | ActivityItem | CellQuestionItem | ListingItem


class Batch(TypedDict):
    """Changes since batch `n - 1`; `now` is the kernel's clock."""

    kind: Literal["batch"]
    n: int
    now: int
    items: list[Item]


class Page(TypedDict):
    """A run of steps, oldest first, with their turns."""

    turns: list[TurnView]
    steps: list[StepView]


class Snapshot(TypedDict):
    """The state after batch `n`. `view` names the requesting page; None is for every page that is out of step.

    `counts` has, for each turn in order, its index and its number of steps; `page` has the newest of them.
    `reset` makes the pages that are in step start again from here, too.
    """

    kind: Literal["snapshot"]
    view: str | None
    reset: bool
    n: int
    now: int
    session: SessionView
    settings: list[SettingView] | None
    commands: list[CommandView]
    activity: str | None
    cell_question: CellQuestionView | None
    counts: list[int]
    page: Page
    listings: list[ListingItem]


class Failure(TypedDict):
    """Why an operation failed: the class of the error and its message."""

    type: str
    message: str


class Reply(TypedDict):
    """The answer to an `rpc`, for the requesting page; bytes are beside it in the buffers."""

    kind: Literal["reply"]
    view: str
    id: int
    ok: bool
    value: Any
    error: Failure | None
