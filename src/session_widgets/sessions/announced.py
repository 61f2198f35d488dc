"""What an agent told of its tool calls before it asks for permission: some requests only name their call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from session_widgets.transcript.envelopes import as_text
from session_widgets.transcript.records import Json

FIELDS = ("title", "kind", "rawInput", "content", "locations")


class AnnouncedCalls:
    """The open tool calls of a turn, as updates told of them."""

    def __init__(self) -> None:
        self._calls: dict[str, dict[str, Any]] = {}

    def take_update(self, update: Json) -> None:
        """Keep what a `tool_call` or a `tool_call_update` tells; forget the call when it is over."""
        id_ = as_text(update.get("toolCallId"))
        if id_ is None or update.get("sessionUpdate") not in {"tool_call", "tool_call_update"}:
            return
        if update.get("status") in {"completed", "failed"}:
            self._calls.pop(id_, None)
        else:
            self._calls.setdefault(id_, {}).update(_told(update))

    def complete(self, tool_call: Json) -> dict[str, Any]:
        """Return a request's `toolCall` with what was told before about that call and is not said again."""
        before = self._calls.get(as_text(tool_call.get("toolCallId")) or "", {})
        return before | {name: value for name, value in tool_call.items() if value is not None}

    def clear(self) -> None:
        """Forget the calls of a turn that has ended."""
        self._calls.clear()


def _told(update: Mapping[str, Any]) -> dict[str, Any]:
    return {name: update[name] for name in FIELDS if update.get(name) is not None}
