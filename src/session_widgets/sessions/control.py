"""The part of a live session that widgets and the command line use besides its public methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from session_widgets.harnesses.harness import Harness
from session_widgets.harnesses.installing import Installation
from session_widgets.host.data_directory import data_directory
from session_widgets.sessions.cell import Page
from session_widgets.sessions.directory_files import WatchedFiles
from session_widgets.sessions.launching import Lack, lack
from session_widgets.sessions.permissions import Policy
from session_widgets.transcript.sources import SharedFold

if TYPE_CHECKING:
    from session_widgets.sessions.core import SessionCore


class SessionControl:
    """A live session for its views. Thread-safe.

    Attributes:
        files: the workspace, for reading: this starts no parked sandbox.
    """

    def __init__(self, core: SessionCore) -> None:
        self._core = core
        self.files = WatchedFiles(core.machine.watched_files)

    @property
    def fold(self) -> SharedFold:
        """The one fold of the session in this process."""
        return self._core.state.fold

    @property
    def root(self) -> str:
        """The workspace's path inside the sandbox."""
        return self._core.machine.root

    @property
    def deleted(self) -> bool:
        """Whether the session was deleted."""
        return self._core.status == "deleted"

    @property
    def permissions(self) -> Policy:
        """The policy of the session."""
        return self._core.asking.policy

    @property
    def activity(self) -> str | None:
        """The current slow operation, besides the agent's own work."""
        return self._core.state.activity.words

    def watch_activity(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` on the private loop at every change of `activity`; return a function that stops it."""
        return self._core.state.activity.watch(callback)

    @property
    def page(self) -> Page:
        """State of the page that shows the session."""
        return self._core.asking.page

    @property
    def harness(self) -> Harness:
        """The agent program."""
        return self._core.machine.harness

    @property
    def lack(self) -> Lack:
        """Missing requirements of the harness."""
        machine = self._core.machine
        return lack(machine.harness, machine.provider, data_directory())

    def install(self) -> None:
        """Install the harness; `activity` shows the progress."""
        try:
            Installation(self._core.machine.harness, data_directory()).install(self._core.state.activity.tell)
        finally:
            self._core.state.activity.tell(None)
