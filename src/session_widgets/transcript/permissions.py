"""The permission requests of one turn, and its waiting time for answers to these and to questions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from session_widgets.transcript.records import PermissionState


@dataclass(frozen=True, slots=True)
class PermissionRecord:
    """A permission request with its tool step; `asked_seq` is the seq of its event, which is unique."""

    turn: int
    step: int
    asked_seq: int
    requested_at: datetime
    state: PermissionState
    decided_at: datetime | None = None


@dataclass(slots=True)
class _Watch:
    """Runs while at least one request is open."""

    open: int = 0
    since: datetime | None = None
    until: datetime | None = None
    total: timedelta = timedelta()

    def start(self, ts: datetime) -> None:
        self.since = self.since if self.open else ts
        self.open += 1

    def stop(self, ts: datetime, *, counts: bool) -> None:
        self.open -= 1
        self.until = ts if counts else self.until
        if not self.open and self.since is not None and self.until is not None:
            self.total += max(self.until - self.since, timedelta())
            self.until = None

    @property
    def seconds(self) -> float:
        return round(self.total.total_seconds(), 3)


class Asked:
    """Requests in the order of arrival. An agent may reuse an id after the answer.

    Attributes:
        records: all of them.
        touched: indices of those created or answered since this was last emptied.
    """

    def __init__(self) -> None:
        self.records: list[PermissionRecord] = []
        self.touched: list[int] = []
        self._open: dict[int, None] = {}
        self._open_by_id: dict[str, dict[int, None]] = {}
        self._open_of_step: dict[int, dict[int, None]] = {}
        self._latest_of_step: dict[int, int] = {}
        self._watch = _Watch()
        self._watches: dict[int, _Watch] = {}

    @property
    def waited_s(self) -> float:
        """Seconds in which a person was asked, up to the last answer; a policy's decisions do not count."""
        return self._watch.seconds

    def waited_for(self, step: int) -> float:
        """Return the same for one step."""
        return self._watches[step].seconds if step in self._watches else 0.0

    def ask(self, record: PermissionRecord) -> None:
        """Add a request."""
        place = len(self.records)
        self.records.append(record)
        self.touched.append(place)
        self._open[place] = None
        self._open_by_id.setdefault(record.state.request_id, {})[place] = None
        self._open_of_step.setdefault(record.step, {})[place] = None
        self._latest_of_step[record.step] = place
        self.hold(record.step, record.requested_at)

    def hold(self, step: int, ts: datetime) -> None:
        """A step waits for an answer; several steps may wait, and one step for several answers."""
        for watch in (self._watch, self._watches.setdefault(step, _Watch())):
            watch.start(ts)

    def release(self, step: int, ts: datetime, *, counts: bool = True) -> None:
        """A step received an answer; `counts` says whether the time until then was a person's."""
        for watch in (self._watch, self._watches[step]):
            watch.stop(ts, counts=counts)

    def open(self, request_id: str | None = None) -> list[int]:
        """Return the indices of the open requests: those of an id, or all."""
        return list(self._open if request_id is None else self._open_by_id.get(request_id, ()))

    def close(self, place: int, state: PermissionState, ts: datetime) -> int:
        """Apply the answer to an open request; return its step."""
        record = self.records[place]
        self.records[place] = replace(record, state=state, decided_at=ts)
        self.touched.append(place)
        del self._open[place], self._open_of_step[record.step][place], self._open_by_id[state.request_id][place]
        self.release(record.step, ts, counts=not state.by_policy)
        return record.step

    def shown_on(self, step: int) -> PermissionState:
        """Return the oldest open request of a step, else its latest."""
        return self.records[next(iter(self._open_of_step[step]), self._latest_of_step[step])].state
