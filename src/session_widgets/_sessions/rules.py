"""A session's stored rules: the permission policy, and the limits of a turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast, get_args

from session_widgets._sessions.limits import TurnLimits
from session_widgets._sessions.permissions import Policy
from session_widgets._store import Store
from session_widgets.model import PermissionMode
from session_widgets.transcript.notes import SessionRules

_FUNCTION = "function:"


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a session.

    Attributes:
        permissions: the policy.
        limits: of each turn.
        lost: name of the function that was the policy in another process; empty without one.
    """

    permissions: Policy = "ask"
    limits: TurnLimits = field(default_factory=TurnLimits)
    lost: str = ""

    @classmethod
    def of(cls, store: Store, session_id: str) -> Rules:
        """Return the stored rules of a session; the defaults without any."""
        said = store.last_note(session_id, SessionRules) or SessionRules()
        policy, limits = said.permissions, TurnLimits.restored(said.limits)
        if policy is not None and policy.startswith(_FUNCTION):
            return cls("ask", limits, policy.removeprefix(_FUNCTION))
        return cls(cast("PermissionMode", policy) if policy in get_args(PermissionMode) else "ask", limits)

    def stored(self) -> SessionRules:
        """Return the note of the rules; of a function only its name."""
        policy = self.permissions
        name = policy if isinstance(policy, str) else f"{_FUNCTION}{name_of(policy)}"
        return SessionRules(permissions=name, limits=self.limits.stored())


def name_of(policy: object) -> str:
    """Return the name of a function."""
    return str(getattr(policy, "__name__", type(policy).__name__))[:80]
