"""Permissions: the policy, and the requests that wait for a person."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import get_args

from session_widgets._sessions.loop import private_loop
from session_widgets.errors import BadValue
from session_widgets.model import PermissionMode
from session_widgets.transcript.envelopes import as_objects
from session_widgets.transcript.records import Json, PermissionOption

Policy = PermissionMode | Callable[["PermissionRequest"], str | None]

READS = frozenset({"read", "search", "think"})
EDITS = READS | {"edit", "move"}
COMMANDS = frozenset({"command", "commands", "cmd", "script", "code", "shell", "argv", "args", "stdin"})
"""Keys of commands in a `rawInput`, in lower case: a call with one is not a mere read, whatever its kind."""
CHANGES = frozenset(
    [
        "diff",
        "patch",
        "edits",
        "changes",
        "content",
        "contents",
        "new_string",
        "old_string",
        "new_str",
        "old_str",
        "newtext",
        "oldtext",
        "new_text",
    ]
)
"""Keys of written content in a `rawInput`, in lower case."""
DEPTH = 4
"""Depth in a `rawInput` at which these keys are searched."""


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer to a permission request; `option` None means cancelled."""

    option: PermissionOption | None
    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PermissionRequest:
    """A tool call that waits for an answer.

    Attributes:
        id: unique over the session's life.
        title: the agent's. Agent text: show it escaped.
        tool_kind: ACP's ToolKind ("read", "edit", "execute", ...), or None if the agent sent none.
        tool_call: the `toolCall` of the request, with the earlier updates of that call. `content` may contain
            diffs, `rawInput` the command.
        options: the possible answers, in the agent's order.
    """

    id: str
    session_id: str
    turn: int
    title: str
    tool_kind: str | None
    tool_call: Json
    options: tuple[PermissionOption, ...]
    _answer: Callable[[PermissionRequest, Decision], Awaitable[bool]]

    def allow(self) -> bool:
        """Allow this once. Returns False if it was already answered."""
        return self._choose_kind("allow_once")

    def reject(self) -> bool:
        """Reject this once. Returns False if it was already answered."""
        return self._choose_kind("reject_once")

    def choose(self, option_id: str) -> bool:
        """Answer with the option of this id. Returns False if it was already answered."""
        option = next((option for option in self.options if option.id == option_id), None)
        if option is None:
            known = ", ".join(repr(option.id) for option in self.options)
            raise BadValue(f"option_id must be one of {known}; got {option_id!r:.80}.")
        return self.answer(Decision(option, "user"))

    def answer(self, decision: Decision) -> bool:
        """Answer with a given decision. Returns False if it was already answered."""
        return private_loop().run(self.answer_async(decision))

    async def answer_async(self, decision: Decision) -> bool:
        """Answer from the private loop itself."""
        return await self._answer(self, decision)

    def of_kind(self, kind: str) -> PermissionOption | None:
        """Return the first option of an ACP kind, if the agent offers one."""
        return next((option for option in self.options if option.kind == kind), None)

    def rejection(self, by: str, reason: str) -> Decision:
        """Return the mildest rejection that the agent offers: reject once, else always, else cancelled."""
        return Decision(self.of_kind("reject_once") or self.of_kind("reject_always"), by, reason)

    def _choose_kind(self, kind: str) -> bool:
        option = self.of_kind(kind)
        if option is None:
            offered = ", ".join(f"{option.id!r} ({option.kind})" for option in self.options)
            raise BadValue(
                f"the agent offers no option of kind {kind!r}, but {offered}. Answer with choose(option_id)."
            )
        return self.answer(Decision(option, "user"))


def check_policy(value: object) -> Policy:
    """Return `value` if it is a permission policy, else raise `BadValue`."""
    if callable(value) or value in get_args(PermissionMode):
        return value  # type: ignore[return-value]  # narrowed by the line above
    names = ", ".join(repr(name) for name in get_args(PermissionMode))
    raise BadValue(f"permissions must be one of {names} or a function(request) -> option id; got {value!r:.80}.")


def decide(policy: Policy, request: PermissionRequest) -> Decision | None:
    """Return the policy's answer, or None if a person has to answer. May block while a function runs."""
    if callable(policy):
        return _ask_function(policy, request)
    by = f"policy:{policy}"
    if policy == "deny":
        return request.rejection(by, "the policy rejects everything")
    if (policy == "allow_all" or _is_granted(policy, request)) and (option := request.of_kind("allow_once")):
        return Decision(option, by)
    return None


def _is_granted(policy: str, request: PermissionRequest) -> bool:
    """Whether a policy allows this kind of call, and the call contains nothing that contradicts its kind."""
    kinds = {"allow_reads": READS, "allow_edits": EDITS}.get(policy, frozenset())
    if request.tool_kind not in kinds:
        return False
    blocks = {block.get("type") for block in as_objects(request.tool_call.get("content"))}
    names = set(_names(request.tool_call.get("rawInput"), DEPTH))
    if "terminal" in blocks or names & COMMANDS:
        return False
    return policy == "allow_edits" or not ("diff" in blocks or names & CHANGES)


def _names(value: object, depth: int) -> Iterator[str]:
    """Yield the keys in a JSON value, in lower case."""
    if depth and isinstance(value, dict):
        for name, inner in value.items():
            yield str(name).lower()
            yield from _names(inner, depth - 1)
    elif depth and isinstance(value, list):
        for inner in value:
            yield from _names(inner, depth - 1)


def _ask_function(function: Callable[[PermissionRequest], str | None], request: PermissionRequest) -> Decision | None:
    by = f"function:{getattr(function, '__name__', type(function).__name__)}"
    try:
        answer = function(request)
    except Exception as error:  # any error of the user's code must not allow the call
        return request.rejection(by, f"it raised {type(error).__name__}: {error}")
    if answer is None:
        return None
    option = next((option for option in request.options if option.id == answer), None)
    if option is None:
        return request.rejection(by, f"it answered {answer!r:.80}, which is not one of the options")
    return Decision(option, by)
