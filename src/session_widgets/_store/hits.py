"""What a search found: steps with the place of the match, drawn as text and as HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from html import escape
from typing import Any, overload

from session_widgets.printing import one_line, plural

replay: Callable[[Any, str, str], Any] | None = None
"""Shows a session at a step, given a store, the session's id and "turn/step"; set by the package."""
CONTEXT = 80
"""Characters shown before and after a match."""
LONGEST = 400
"""Characters of a match that are kept."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A step that matches.

    Attributes:
        session_id: of the session.
        turn: of the step.
        step: its index in the turn.
        step_uid: as in `v_steps`.
        kind: `message`, `tool_call` and so on.
        tool: kind of the tool, of a tool call.
        title: of a tool call.
        field: where it matched: `text`, `title`, `input`, `output`, `plan`.
        before: the text before the match.
        match: the matched text, cut if it is long.
        after: the text after the match.
        at: when the step began, UTC; of an import without times, the session's latest time.
        harness: of the turn.
        model: of the turn.
    """

    session_id: str
    turn: int
    step: int
    step_uid: str
    kind: str
    tool: str | None
    title: str | None
    field: str
    before: str
    match: str
    after: str
    at: datetime
    harness: str | None
    model: str | None

    @property
    def place(self) -> str:
        """Session, turn and step."""
        return f"{self.session_id}/{self.turn}/{self.step}"

    @property
    def what(self) -> str:
        """Kind and field in words: "execute, output"."""
        return f"{self.tool or self.kind}, {self.field}"

    def __str__(self) -> str:
        before, match, after = parts(self)
        about = f"{one_line(self.place)}  {one_line(self.what, 60)}  {self.at:%Y-%m-%d %H:%M}"
        return f"{about}\n    {before}[{match}]{after}"


class Hits(Sequence[Hit]):
    """The hits of a search, newest first.

    Attributes:
        complete: whether everything that the filters allow was searched, and every hit is here.
        reason: why it is not complete: the limit of hits, or of time; None if it is.
        sessions: number of sessions that the filters allow, as far as they were searched.
        steps: number of their steps.
        seconds: that it took.
    """

    def __init__(
        self,
        hits: Sequence[Hit],
        *,
        reason: str | None,
        sessions: int,
        steps: int,
        seconds: float,
        store: Any = None,
    ) -> None:
        self._hits = tuple(hits)
        self._store = store
        self.reason = reason
        self.sessions, self.steps, self.seconds = sessions, steps, seconds

    @property
    def complete(self) -> bool:
        """Whether every hit is here."""
        return self.reason is None

    @overload
    def __getitem__(self, index: int) -> Hit: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Hit]: ...

    def __getitem__(self, index: int | slice) -> Hit | Sequence[Hit]:
        return self._hits[index]

    def __len__(self) -> int:
        return len(self._hits)

    def df(self) -> Any:
        """Return the hits as a pandas frame."""
        import pandas as pd

        return pd.DataFrame([asdict(hit) for hit in self], columns=[one.name for one in fields(Hit)])

    def open(self, index: int = 0) -> Any:
        """Return a `Replay` of the session of a hit, at its step.

        Args:
            index: of the hit.

        Raises:
            IndexError: there is no such hit.

        Example:
            >>> search("connection refused").open(2)  # doctest: +SKIP
        """
        hit = self._hits[index]
        assert replay is not None
        return replay(self._store, hit.session_id, f"{hit.turn}/{hit.step}")

    @property
    def coverage(self) -> str:
        """One sentence: how much was searched, and whether that is all."""
        if self.reason is not None:
            return f"{plural(len(self), 'hit')}, {self.seconds:.1f} s, not complete: {self.reason}"
        searched = f"{plural(self.steps, 'step')} of {plural(self.sessions, 'session')}"
        return f"{plural(len(self), 'hit')} in {searched}, {self.seconds:.1f} s: complete"

    def __repr__(self) -> str:
        return "\n".join([*map(str, self), self.coverage])

    def _repr_html_(self) -> str:
        rows = "".join(f"<li>{_head(hit)}<br>{_context(hit)}</li>" for hit in self)
        return f"{_STYLE}<div class='sw-hits'><ol start='0'>{rows}</ol><p>{escape(self.coverage)}</p></div>"


_STYLE = (
    "<style>.sw-hits ol{padding-left:2.5em}.sw-hits li{margin:.5em 0;overflow-wrap:anywhere;text-align:left}"
    ".sw-hits small{opacity:.75}"
    ".sw-hits code{white-space:pre-wrap;background:none}.sw-hits mark{background:#fde68a;color:#1c1917}</style>"
)


def _head(hit: Hit) -> str:
    about = [hit.what, f"{hit.at:%Y-%m-%d %H:%M}", hit.harness or "", hit.model or ""]
    said = " · ".join(escape(one_line(word, 60)) for word in about if word)
    return f"<b>{escape(one_line(hit.place))}</b> <small>{said}</small>"


def _context(hit: Hit) -> str:
    before, match, after = (escape(part) for part in parts(hit))
    return f"<code>{before}<mark>{match}</mark>{after}</code>"


def parts(hit: Hit) -> tuple[str, str, str]:
    """Return the text before a match, the match, and the text after it: on one line, and safe to show."""
    return _on_line(hit.before), _on_line(hit.match), _on_line(hit.after)


def _on_line(part: str) -> str:
    """Return a part on one line; spaces at its ends stay, because parts are joined."""
    inner = one_line(part, 2 * LONGEST)
    left = " " if part[:1].isspace() else ""
    right = " " if inner and part[-1:].isspace() else ""
    return f"{left}{inner}{right}"
