"""What is being done for a session that takes time, in words, for people who wait."""

from __future__ import annotations

from collections.abc import Callable

from session_widgets.sessions.loop import private_loop

Watcher = Callable[[], None]


class Activity:
    """The words of the moment; None when nothing takes time."""

    def __init__(self) -> None:
        self.words: str | None = None
        self._watchers: list[Watcher] = []

    def tell(self, words: str | None) -> None:
        """Show what is being done, None when it is over; from any thread."""
        private_loop().loop.call_soon_threadsafe(self._show, words)

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Call `watcher` whenever the words change, on the private loop; returns what ends it."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def _show(self, words: str | None) -> None:
        if words != self.words:
            self.words = words
            for watcher in tuple(self._watchers):
                watcher()
