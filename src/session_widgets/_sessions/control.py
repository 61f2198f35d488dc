"""The part of a live session that widgets and the command line use besides its public methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from session_widgets._harnesses.harness import Harness
from session_widgets._harnesses.installing import Installation
from session_widgets._sessions.cell import FrontendState
from session_widgets._sessions.launching import MissingRequirements, missing_requirements
from session_widgets._sessions.permissions import Policy
from session_widgets.host.data_directory import data_directory
from session_widgets.transcript.sources import SharedFold

if TYPE_CHECKING:
    from session_widgets._sessions.controller import SessionController


class SessionControl:
    """A live session for its views. Thread-safe."""

    def __init__(self, controller: SessionController) -> None:
        self._controller = controller

    @property
    def fold(self) -> SharedFold:
        """The one fold of the session in this process."""
        return self._controller.state.fold

    @property
    def root(self) -> str:
        """The workspace's path inside the sandbox."""
        return self._controller.sandboxes.root

    @property
    def deleted(self) -> bool:
        """Whether the session was deleted."""
        return self._controller.status == "deleted"

    @property
    def permissions(self) -> Policy:
        """The policy of the session."""
        return self._controller.permissions.policy

    @property
    def activity(self) -> str | None:
        """The current slow operation, besides the agent's own work."""
        return self._controller.state.activity.words

    def watch_activity(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` on the private loop at every change of `activity`; return a function that stops it."""
        return self._controller.state.activity.watch(callback)

    @property
    def page(self) -> FrontendState:
        """State of the page that shows the session."""
        return self._controller.permissions.page

    @property
    def harness(self) -> Harness:
        """The agent program."""
        return self._controller.sandboxes.harness

    @property
    def missing(self) -> MissingRequirements:
        """Missing requirements of the harness."""
        sandboxes = self._controller.sandboxes
        return missing_requirements(sandboxes.harness, sandboxes.provider, data_directory())

    def install(self) -> None:
        """Install the harness; `activity` shows the progress."""
        try:
            Installation(self._controller.sandboxes.harness, data_directory()).install(
                self._controller.state.activity.tell
            )
        finally:
            self._controller.state.activity.tell(None)
