"""The parts of a live session that a view needs besides its events. A stored session has no control."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from session_widgets._harnesses.harness import Harness
from session_widgets._sessions.cell import FrontendState
from session_widgets._sessions.launching import MissingRequirements
from session_widgets._sessions.permissions import Policy
from session_widgets.transcript.sources import SharedFold


class SessionControl(Protocol):
    """A live session; `sessions.control.SessionControl` implements it."""

    @property
    def fold(self) -> SharedFold:
        """The one fold of the session in this process."""

    @property
    def root(self) -> str:
        """The workspace's path inside the sandbox."""

    @property
    def deleted(self) -> bool:
        """Whether the session was deleted."""

    @property
    def permissions(self) -> Policy:
        """The policy of the session."""

    @property
    def activity(self) -> str | None:
        """The current activity besides the agent's own work."""

    def watch_activity(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` at every change of `activity`; return a function that stops it."""

    @property
    def deadline(self) -> float | None:
        """When the sandbox in use parks or ends in any case, in seconds since 1970 UTC; None if it does not."""

    @property
    def page(self) -> FrontendState:
        """Facts about the page that shows the session."""

    @property
    def harness(self) -> Harness:
        """The agent program."""

    @property
    def missing(self) -> MissingRequirements:
        """Missing requirements of the harness."""
