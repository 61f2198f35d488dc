"""Sessions: their life cycle, their turns, and the policy that answers for the user. Loaded on use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from session_widgets._sessions.embedded import local_s3
    from session_widgets._sessions.limits import TurnLimits
    from session_widgets._sessions.opening import open_session
    from session_widgets._sessions.permissions import PermissionRequest
    from session_widgets._sessions.questions import QuestionRequest
    from session_widgets._sessions.session import Session
    from session_widgets._sessions.turn import Turn

_HOMES = {
    "PermissionRequest": "permissions",
    "QuestionRequest": "questions",
    "Session": "session",
    "Turn": "turn",
    "TurnLimits": "limits",
    "local_s3": "embedded",
    "open_session": "opening",
}

__all__ = [
    "PermissionRequest",
    "QuestionRequest",
    "Session",
    "Turn",
    "TurnLimits",
    "local_s3",
    "open_session",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
