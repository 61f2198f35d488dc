"""What an agent asks before it acts, and how to answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from session_widgets.errors import ProtocolError
from session_widgets.model import Json, PermissionOption


@dataclass(frozen=True, slots=True)
class PermissionRequest:
    """A `session/request_permission` of an agent.

    Attributes:
        options: the ways to answer. Choose by `kind`: ids, names and order differ between agents.
        tool_call: the tool call in question as the agent describes it, complete; the transcript may
            never see another word of it.
        message: the whole envelope, needed for the answer.
    """

    options: tuple[PermissionOption, ...]
    tool_call: Json
    message: Json = field(repr=False)

    @classmethod
    def parse(cls, message: Json) -> PermissionRequest:
        """Read the envelope; options that cannot be chosen are left out.

        Raises:
            ProtocolError: it has no options or no tool call at all.
        """
        params = message.get("params")
        if not isinstance(params, Mapping):
            raise ProtocolError("the agent asked for permission without saying for what")
        tool_call, options = params.get("toolCall"), params.get("options")
        if not isinstance(tool_call, Mapping) or not isinstance(options, list):
            raise ProtocolError("the agent asked for permission without a tool call or without options")
        return cls(tuple(option for raw in options if (option := _option(raw)) is not None), tool_call, message)

    @property
    def title(self) -> str:
        """What the agent wants to do, in its words; "" if it has none."""
        return _text(self.tool_call, "title") or ""

    @property
    def tool_kind(self) -> str | None:
        """ACP's ToolKind (read, edit, delete, move, search, execute, think, fetch, switch_mode, other)."""
        return _text(self.tool_call, "kind")

    @property
    def tool_call_id(self) -> str | None:
        """Id that links it to the tool call's other updates."""
        return _text(self.tool_call, "toolCallId")

    def option(self, option_id: str) -> PermissionOption | None:
        """The option with this id."""
        return next((option for option in self.options if option.id == option_id), None)

    def option_of_kind(self, *kinds: str) -> PermissionOption | None:
        """The first option of the first of `kinds` that there is one of."""
        return next((option for kind in kinds for option in self.options if option.kind == kind), None)


def selected(option: PermissionOption) -> dict[str, Any]:
    """Result that chooses `option`."""
    return {"outcome": {"outcome": "selected", "optionId": option.id}}


def cancelled() -> dict[str, Any]:
    """Result that chooses nothing because the turn is being cancelled."""
    return {"outcome": {"outcome": "cancelled"}}


def _option(raw: object) -> PermissionOption | None:
    if not isinstance(raw, Mapping):
        return None
    id_, kind = _text(raw, "optionId"), _text(raw, "kind")
    return None if id_ is None or kind is None else PermissionOption(id_, _text(raw, "name") or id_, kind)


def _text(values: Json, key: str) -> str | None:
    value = values.get(key)
    return value if isinstance(value, str) else None
