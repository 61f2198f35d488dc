"""The current slow operation of a session, as text for waiting people."""

from __future__ import annotations

from collections.abc import Callable

from session_widgets._sessions.loop import private_loop

Watcher = Callable[[], None]


class Activity:
    """The current text; None without one."""

    def __init__(self) -> None:
        self._doing: str | None = None
        self._waiting: str | None = None
        self._watchers: list[Watcher] = []

    @property
    def words(self) -> str | None:
        """The reason of a wait, else the current operation."""
        return self._waiting or self._doing

    def tell(self, words: str | None) -> None:
        """Show an operation, None when it is over; from any thread."""
        private_loop().loop.call_soon_threadsafe(lambda: self._show(words, self._waiting))

    def wait_for(self, words: str | None) -> None:
        """Show the reason of a wait, None when it is over; on the private loop."""
        self._show(self._doing, words)

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Call `watcher` at every change of the text, on the private loop; returns a function that stops it."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def _show(self, doing: str | None, waiting: str | None) -> None:
        before = self.words
        self._doing, self._waiting = doing, waiting
        if before != self.words:
            for watcher in tuple(self._watchers):
                watcher()
