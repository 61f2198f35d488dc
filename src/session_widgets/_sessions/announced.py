"""Earlier updates of an agent's tool calls: some permission requests only name their call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from session_widgets.transcript.envelopes import as_text
from session_widgets.transcript.records import Json

FIELDS = ("title", "kind", "rawInput", "content", "locations")


class AnnouncedCalls:
    """The open tool calls of a turn, from their updates."""

    def __init__(self) -> None:
        self._calls: dict[str, dict[str, Any]] = {}

    def take_update(self, update: Json) -> None:
        """Keep the content of a `tool_call` or a `tool_call_update`; drop the call at its end."""
        id_ = as_text(update.get("toolCallId"))
        if id_ is None or update.get("sessionUpdate") not in {"tool_call", "tool_call_update"}:
            return
        if update.get("status") in {"completed", "failed"}:
            self._calls.pop(id_, None)
        else:
            self._calls.setdefault(id_, {}).update(_told(update))

    def complete(self, tool_call: Json) -> dict[str, Any]:
        """Return a request's `toolCall`, completed by the earlier updates of that call."""
        before = self._calls.get(as_text(tool_call.get("toolCallId")) or "", {})
        return before | {name: value for name, value in tool_call.items() if value is not None}

    def clear(self) -> None:
        """Drop the calls of an ended turn."""
        self._calls.clear()


def _told(update: Mapping[str, Any]) -> dict[str, Any]:
    return {name: update[name] for name in FIELDS if update.get(name) is not None}
