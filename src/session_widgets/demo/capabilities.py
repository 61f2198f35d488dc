"""The client's capabilities that this agent reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_OPTIONAL = {
    "notice": ("session", "notices"),
    "compaction_update": ("session", "compaction"),
    "compaction_summary_chunk": ("session", "compaction"),
    "plan_update": ("plan",),
    "plan_removed": ("plan",),
    "subagent_update": ("subagents",),
    "session_message": ("subagents",),
}
"""Kinds of session updates that need a capability, and where the client declares it."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The client's capabilities.

    Attributes:
        questions: modes of elicitation, "form" and "url".
        terminal_login: whether it can carry out authentication methods of type `terminal`.
        declared: the optional kinds of session updates that it takes.
    """

    questions: frozenset[str] = frozenset()
    terminal_login: bool = False
    declared: frozenset[str] = frozenset()

    @classmethod
    def of(cls, given: object) -> Capabilities:
        """Read `clientCapabilities`; a value of another type counts as absent."""
        return cls(
            questions=frozenset(mode for mode in ("form", "url") if _value(given, "elicitation", mode) is not None),
            terminal_login=_value(given, "auth", "terminal") is True,
            declared=frozenset(kind for kind, path in _OPTIONAL.items() if _value(given, *path) is not None),
        )

    def takes(self, kind: str) -> bool:
        """Whether this kind of session update may be sent."""
        return kind not in _OPTIONAL or kind in self.declared


def _value(given: object, *path: str) -> Any:
    for name in path:
        given = given.get(name) if isinstance(given, Mapping) else None
    return given
