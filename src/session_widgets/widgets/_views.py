"""The parts of a session as a page draws them. `js/src/lib/protocol.ts` has the same in TypeScript.

Times are milliseconds since 1970 UTC, sizes are bytes, lengths are characters.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

CLIP = 64 * 1024
"""Characters of one step that are sent without a request."""


class Text(TypedDict):
    """The start of a text and its whole length; `tail` is its end while it grows and only its start is sent."""

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
    """Any other block, as text."""

    type: Literal["note"]
    label: str


Block = TextBlock | DiffBlock | ImageBlock | NoteBlock


class OptionView(TypedDict):
    """One option of a permission request."""

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
    """The parts of a tool call.

    `command` is the shell command, if any; `input` the agent's input without the command and the diff; `locations` its
    files, one a line.

    `waited` is the milliseconds with an open permission request; the rest of `ended - started` is run time.
    `failure` is "rejected", "error", "interrupted" or None; `exit_code` that of a command, if the agent
    reports it.
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
    """One choice of a field."""

    value: str
    label: str


class FieldView(TypedDict):
    """One field of a question; `kind` is text, number, integer, boolean, choice or choices.

    The value of a `secret` field is never stored.
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
    """The answer in one field."""

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

    `nested` says that a subagent did it; `headline` is the line that stands for a compaction or a subagent;
    `severity` is that of a notice, "warning" or "error".
    """

    turn: int
    index: int
    kind: str
    status: str
    started: int
    ended: int
    nested: bool
    headline: NotRequired[str]
    severity: NotRequired[str]
    body: NotRequired[Text]
    tool: NotRequired[ToolView]
    entries: NotRequired[list[EntryView]]
    question: NotRequired[QuestionView]


class UsageView(TypedDict):
    """Tokens and cost of a turn; None if the agent reported none.

    `scope` is the scope of the tokens: the "turn", or only its last "call"; `remark` the reason for a missing figure.
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
    """One turn without its steps; `workspace` and `attachment` are the location of its files.

    `waited` is the milliseconds with an open permission request, `outcome` is
    `Turn.outcome`, `model` the model that the agent reported.
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
    """The harness: its title, its version, empty if unknown, and first prompts."""

    title: str
    version: str
    suggestions: list[str]


class MissingView(TypedDict):
    """Missing requirements of the harness: it is not installed, or none of these variables contains a key."""

    install: bool
    keys: list[str]


class SessionView(TypedDict):
    """The content of the header.

    `workspace` is the location of the files, `attachment` their connection to it, `mount_report` the capabilities of
    the mount, `root` the workspace's path for the agent.
    `model`, `mode` and `effort` are the user's choices. `missing` is None if the harness can start.
    `permissions` is the policy: its name, or "function" and the function's name.
    `sandbox_running` says whether a sandbox is in use, according to the transcript, `deadline` when the one in use by
    this kernel parks or ends in any case, `confined` whether a
    local one sees nothing but the workspace and programs.
    """

    id: str
    title: str | None
    harness: str
    sandbox: str
    workspace: str
    attachment: str
    mount_report: str
    root: str
    model: str | None
    mode: str | None
    effort: str | None
    agent: AgentView
    missing: MissingView | None
    permissions: str
    status: str
    sandbox_running: bool
    deadline: int | None
    confined: bool
    turns: int


class ChoiceView(TypedDict):
    """One option of the agent, with its own label."""

    id: str
    name: str
    description: str


class SettingView(TypedDict):
    """The agent's options for a mode, a model or an effort, and the current one."""

    name: str
    current: str | None
    choices: list[ChoiceView]


class EntryInfo(TypedDict):
    """One entry of a folder; `modified` is None if unknown."""

    path: str
    name: str
    type: str
    size: int
    modified: int | None


class CommandView(TypedDict):
    """A command of the agent, without its "/"; `hint` describes its input, None without one."""

    name: str
    description: str
    hint: str | None


class CellQuestionView(TypedDict):
    """The permission request that a cell asks about: the text beside its field, and the input for each option."""

    request: str
    prompt: str
    answers: dict[str, str]


class ToldToolView(TypedDict):
    """A tool call in a history; `result` is its start, empty without one."""

    title: str
    status: str
    result: str


class ToldTurnView(TypedDict):
    """An earlier turn in a history; `ended` says how it ended, unless it completed."""

    prompt: str
    answer: str
    ended: str | None
    tools: list[ToldToolView]
    earlier_tools: int
    files: list[FileView]


class HandoverView(TypedDict):
    """The history that a prompt carried, oldest turn first; `earlier` turns were omitted. Fetched by `handover`."""

    turns: list[ToldTurnView]
    earlier: int
