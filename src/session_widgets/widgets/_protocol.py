"""What travels between a widget and its page. `js/src/lib/protocol.ts` is the same in TypeScript.

Kernel to page: `batch` (changes, numbered 1, 2, 3, ...), `snapshot` (the state after batch `n`, which is also the
answer to `hello`), `reply` (of one `rpc`). Page to kernel: `hello` (a new page, or one that saw a gap), `ack`, `ping`,
`rpc`, `cancel`. A request is named by a number, never by a string: ipykernel 7.4 keeps a route for each string id.

Times are milliseconds since 1970 UTC, sizes are bytes, lengths are characters.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

MAX_ITEMS = 500
MAX_BYTES = 256 * 1024
MAX_CHUNK = 4 * 1024 * 1024
CLIP = 64 * 1024
"""Characters of one step that are sent without being asked for."""


class Text(TypedDict):
    """The start of a text and its whole length; `tail` is its end while it grows and its start is all that is sent."""

    text: str
    length: int
    tail: NotRequired[str]


class TextBlock(TypedDict):
    """Output of a tool."""

    type: Literal["text"]
    body: Text


class DiffBlock(TypedDict):
    """A change to one file; `old` is None for a new file."""

    type: Literal["diff"]
    path: str
    old: Text | None
    new: Text


class ImageBlock(TypedDict):
    """An image in a tool's output, fetched by the `image` operation."""

    type: Literal["image"]
    mime: str
    size: int


class NoteBlock(TypedDict):
    """Anything else, said in words."""

    type: Literal["note"]
    label: str


Block = TextBlock | DiffBlock | ImageBlock | NoteBlock


class OptionView(TypedDict):
    """One answer to a permission request."""

    id: str
    name: str
    kind: str


class PermissionView(TypedDict):
    """A permission request; `outcome` is None while it is open."""

    request: str
    options: list[OptionView]
    outcome: str | None
    option: str | None
    by: str | None
    reason: str | None


class ToolView(TypedDict):
    """The parts that only a tool call has.

    `command` is what a shell would run, if it runs one; `input` what the agent's input holds besides it and besides
    the diff; `locations` the files it names, one a line.

    `waited` is for how many milliseconds its permission requests stood open until they were answered: of
    `ended - started` the rest is what it ran. `failure` is "rejected", "error", "interrupted" or None;
    `exit_code` that of a command, where the agent tells it.
    """

    title: str
    kind: str
    command: Text | None
    input: Text | None
    locations: Text | None
    blocks: list[Block]
    permission: PermissionView | None
    waited: int
    failure: str | None
    exit_code: int | None


class EntryView(TypedDict):
    """One line of a plan."""

    content: str
    status: str
    priority: str


class FieldChoiceView(TypedDict):
    """One value of a field that offers some."""

    value: str
    label: str


class FieldView(TypedDict):
    """One field of a question; `kind` is text, number, integer, boolean, choice or choices.

    The value of one that is `secret` is never stored.
    """

    name: str
    title: str
    description: str
    kind: str
    required: bool
    secret: bool
    default: Any
    choices: list[FieldChoiceView]
    least: float | None
    most: float | None


class ValueView(TypedDict):
    """What was answered in one field."""

    name: str
    value: str


class QuestionView(TypedDict):
    """A question of the agent: a form, or an address to open; `action` is None while it is open."""

    request: str
    fields: list[FieldView]
    url: str | None
    action: str | None
    values: list[ValueView]
    by: str | None
    reason: str | None


class StepView(TypedDict):
    """One step, its texts clipped to `CLIP` characters together.

    `nested` says that a subagent did it; `headline` is the line that stands for a compaction or a subagent.
    """

    turn: int
    index: int
    kind: str
    status: str
    started: int
    ended: int
    nested: bool
    headline: NotRequired[str]
    body: NotRequired[Text]
    tool: NotRequired[ToolView]
    entries: NotRequired[list[EntryView]]
    question: NotRequired[QuestionView]


class UsageView(TypedDict):
    """Tokens and cost of a turn; None where the agent said nothing.

    `scope` says what the tokens are the sum of: the "turn", or its last "call" alone; `remark` why a figure is missing.
    """

    input: int | None
    output: int | None
    total: int | None
    context_used: int | None
    context_size: int | None
    cost: float | None
    currency: str | None
    scope: str | None
    remark: str | None


class FileView(TypedDict):
    """A file that a turn changed."""

    path: str
    change: str
    size: int | None


class TurnView(TypedDict):
    """One turn without its steps; `workspace` and `attachment` are where its files went, or are to go.

    `waited` is for how many milliseconds a permission request stood open until it was answered, `outcome` is
    `Turn.outcome`, `model` what the agent said that it used.
    """

    turn: int
    status: str
    started: int
    ended: int | None
    waited: int
    stop_reason: str | None
    outcome: str
    model: str | None
    usage: UsageView
    files: list[FileView]
    tier: str | None
    handed_over: bool
    error: str | None
    saving: bool
    durable_at: int | None
    durability_error: str | None
    workspace: str
    attachment: str


class AgentView(TypedDict):
    """The agent program: its name for people, its version, empty where nobody knows, and prompts to begin with."""

    title: str
    version: str
    suggestions: list[str]


class MissingView(TypedDict):
    """What keeps the harness from starting: it is not installed, or none of these variables holds a key."""

    install: bool
    keys: list[str]


class SessionView(TypedDict):
    """What the header shows.

    `workspace` is where the files are kept, `attachment` how they get there, `remark` what the mount can do, `root`
    where the agent sees them.
    `model`, `mode` and `effort` are what was asked for. `missing` is None for a harness that can start.
    `permissions` is the policy: its name, or "function" and the name of that.
    `awake` says whether a sandbox is in use, as far as the transcript knows.
    """

    id: str
    title: str | None
    harness: str
    sandbox: str
    workspace: str
    attachment: str
    remark: str
    root: str
    model: str | None
    mode: str | None
    effort: str | None
    agent: AgentView
    missing: MissingView | None
    permissions: str
    status: str
    awake: bool
    turns: int


class ChoiceView(TypedDict):
    """One thing that the agent offers, in its own words."""

    id: str
    name: str
    description: str


class SettingView(TypedDict):
    """What the agent lets people choose of a mode, a model or an effort, and what it uses now."""

    name: str
    current: str | None
    choices: list[ChoiceView]


class EntryInfo(TypedDict):
    """One entry of a folder; `modified` is None where nobody knows."""

    path: str
    name: str
    type: str
    size: int
    modified: int | None


class StepItem(TypedDict):
    """A step as it is now."""

    type: Literal["step"]
    step: StepView


class AppendItem(TypedDict):
    """Text that a step gained; `length` is its whole length now, of which only `CLIP` characters are sent."""

    type: Literal["append"]
    turn: int
    index: int
    text: str
    length: int
    tail: NotRequired[str]
    at: int


class TurnItem(TypedDict):
    """A turn as it is now."""

    type: Literal["turn"]
    turn: TurnView


class SessionItem(TypedDict):
    """The session as it is now."""

    type: Literal["session"]
    session: SessionView


class CommandView(TypedDict):
    """A command of the agent, without its "/"; `hint` says what to write behind it, None for nothing."""

    name: str
    description: str
    hint: str | None


class SettingsItem(TypedDict):
    """What the agent offers now; `settings` is None while it was never started."""

    type: Literal["settings"]
    settings: list[SettingView] | None
    commands: list[CommandView]


class ActivityItem(TypedDict):
    """What takes time now, in a few words, apart from the transcript; None for nothing."""

    type: Literal["activity"]
    text: str | None


class CellQuestionView(TypedDict):
    """A permission request that a cell asks about now: the text beside its field, and what to type for each option."""

    request: str
    prompt: str
    answers: dict[str, str]


class CellQuestionItem(TypedDict):
    """What a cell asks now; None for nothing."""

    type: Literal["cell_question"]
    question: CellQuestionView | None


class ListingItem(TypedDict):
    """A folder as it is now; `more` entries are left out. `error` says why it could not be read."""

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
    """A run of steps, oldest first, with the turns they belong to; `earlier` says that older ones exist."""

    turns: list[TurnView]
    steps: list[StepView]
    earlier: bool


class ToldToolView(TypedDict):
    """A tool call, as an agent was told of it; `result` is its start, empty for none."""

    title: str
    status: str
    result: str


class ToldTurnView(TypedDict):
    """An earlier turn, as an agent was told of it; `ended` says how unless it ended well."""

    prompt: str
    answer: str
    ended: str | None
    tools: list[ToldToolView]
    earlier_tools: int
    files: list[FileView]


class HandoverView(TypedDict):
    """What an agent was told of earlier turns, oldest first; `earlier` ones were left out. Pulled by `handover`."""

    turns: list[ToldTurnView]
    earlier: int


class Snapshot(TypedDict):
    """The state after batch `n`. `view` names the page that asked; None is for every page that is not in step.

    `reset` asks the pages that are in step to start again from here, too.
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
    page: Page
    listings: list[ListingItem]


class Failure(TypedDict):
    """Why an operation failed: the class of the error and what it says."""

    type: str
    message: str


class Reply(TypedDict):
    """The answer to an `rpc`, to the page that asked; bytes are beside it in the buffers."""

    kind: Literal["reply"]
    view: str
    id: int
    ok: bool
    value: Any
    error: Failure | None
