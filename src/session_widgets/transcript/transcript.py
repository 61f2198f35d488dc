"""A session read back from its events."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from session_widgets.errors import BadValue
from session_widgets.transcript.fold import Fold
from session_widgets.transcript.records import Event, Step


class Transcript:
    """The events of a session, with the records derived from them.

    Example:
        >>> [step.kind for step in session.transcript.steps]
        ['user', 'message']
    """

    def __init__(self, session_id: str, events: Sequence[Event]) -> None:
        self.session_id = session_id
        self.events = tuple(events)

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Messages, thoughts, tool calls and plans in order."""
        fold = Fold(self.session_id)
        for event in self.events:
            fold.feed(event)
        return fold.steps

    def at(self, seq: int) -> Transcript:
        """Return the transcript as it was after event `seq` (from 1)."""
        if not 0 <= seq <= len(self.events):
            raise BadValue(f"seq must be between 0 and {len(self.events)}; got {seq}.")
        return Transcript(self.session_id, self.events[:seq])

    def __len__(self) -> int:
        return len(self.events)

    def __repr__(self) -> str:
        return f"Transcript({self.session_id!r}, {len(self.events)} events, {len(self.steps)} steps)"
