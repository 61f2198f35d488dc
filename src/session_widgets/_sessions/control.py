"""The part of a live session that widgets and the command line use besides its public methods."""

from __future__ import annotations

from collections.abc import Callable

from session_widgets._harnesses.harness import Harness
from session_widgets._harnesses.installing import Installation
from session_widgets._sessions.cell import FrontendState
from session_widgets._sessions.launching import MissingRequirements, missing_requirements
from session_widgets._sessions.permission_broker import PermissionBroker
from session_widgets._sessions.permissions import Policy
from session_widgets._sessions.sandbox_manager import SandboxManager
from session_widgets._sessions.state import SessionState
from session_widgets.host.data_directory import data_directory
from session_widgets.transcript.sources import SharedFold


class SessionControl:
    """A live session for its views. Thread-safe."""

    def __init__(self, state: SessionState, permissions: PermissionBroker, sandboxes: SandboxManager) -> None:
        self._state = state
        self._permissions = permissions
        self._sandboxes = sandboxes

    @property
    def fold(self) -> SharedFold:
        """The one fold of the session in this process."""
        return self._state.fold

    @property
    def root(self) -> str:
        """The workspace's path inside the sandbox."""
        return self._sandboxes.root

    @property
    def deleted(self) -> bool:
        """Whether the session was deleted."""
        return self._state.deleted

    @property
    def permissions(self) -> Policy:
        """The policy of the session."""
        return self._permissions.policy

    @property
    def activity(self) -> str | None:
        """The current slow operation, besides the agent's own work."""
        return self._state.activity.words

    def watch_activity(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` on the private loop at every change of `activity`; return a function that stops it."""
        return self._state.activity.watch(callback)

    @property
    def deadline(self) -> float | None:
        """When the sandbox in use parks or ends in any case, in seconds since 1970 UTC; None if it does not."""
        return self._sandboxes.deadline

    @property
    def page(self) -> FrontendState:
        """State of the page that shows the session."""
        return self._permissions.page

    @property
    def harness(self) -> Harness:
        """The agent program."""
        return self._sandboxes.harness

    @property
    def missing(self) -> MissingRequirements:
        """Missing requirements of the harness."""
        return missing_requirements(self._sandboxes.harness, self._sandboxes.provider, data_directory())

    def install(self) -> None:
        """Install the harness; `activity` shows the progress."""
        try:
            Installation(self._sandboxes.harness, data_directory()).install(self._state.activity.tell)
        finally:
            self._state.activity.tell(None)
