"""What a view asks of a live session besides its events. A stored session has no control."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from session_widgets.harnesses.harness import Harness
from session_widgets.sessions.cell import Page
from session_widgets.sessions.launching import Lack
from session_widgets.sessions.permissions import Policy
from session_widgets.transcript.sources import SharedFold


class SessionControl(Protocol):
    """A live session, as `sessions.control.SessionControl` is one."""

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
        """What takes time right now, besides the agent's own work."""

    def watch_activity(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` whenever `activity` changes; return what ends it."""

    @property
    def page(self) -> Page:
        """What is known of the page that draws the session."""

    @property
    def harness(self) -> Harness:
        """The agent program."""

    @property
    def lack(self) -> Lack:
        """What the harness needs and does not have."""
