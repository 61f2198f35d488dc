"""Permission requests of an agent, and their answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from session_widgets.errors import ProtocolError
from session_widgets.transcript.envelopes import as_object, as_objects, as_text
from session_widgets.transcript.records import Json, PermissionOption


@dataclass(frozen=True, slots=True)
class PermissionRequest:
    """A `session/request_permission` of an agent.

    Attributes:
        options: the possible answers. Choose by `kind`: ids, names and order differ between agents.
        tool_call: the complete tool call as the agent describes it; the transcript may contain
            no other update of it.
        message: the whole envelope, needed for the answer.
    """

    options: tuple[PermissionOption, ...]
    tool_call: Json
    message: Json = field(repr=False)

    @classmethod
    def parse(cls, message: Json) -> PermissionRequest:
        """Read the envelope; invalid options are dropped.

        Raises:
            ProtocolError: it has no options or no tool call at all.
        """
        params = as_object(message.get("params"))
        tool_call, options = params.get("toolCall"), params.get("options")
        if not isinstance(tool_call, Mapping) or not isinstance(options, list):
            raise ProtocolError("the agent asked for permission without a tool call or without options")
        return cls(tuple(option for raw in as_objects(options) if (option := _option(raw))), tool_call, message)

    @property
    def title(self) -> str:
        """The agent's title of the tool call; "" if it has none."""
        return as_text(self.tool_call.get("title")) or ""

    @property
    def tool_kind(self) -> str | None:
        """ACP's ToolKind (read, edit, delete, move, search, execute, think, fetch, switch_mode, other)."""
        return as_text(self.tool_call.get("kind"))


def selected(option: PermissionOption) -> dict[str, Any]:
    """Result that chooses `option`."""
    return {"outcome": {"outcome": "selected", "optionId": option.id}}


def cancelled() -> dict[str, Any]:
    """Result that chooses no option because the turn is being cancelled."""
    return {"outcome": {"outcome": "cancelled"}}


def _option(raw: Json) -> PermissionOption | None:
    id_, kind = as_text(raw.get("optionId")), as_text(raw.get("kind"))
    return None if id_ is None or kind is None else PermissionOption(id_, as_text(raw.get("name")) or id_, kind)
