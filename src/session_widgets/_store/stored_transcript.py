"""One session of the store as sequences of rows."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Sequence
from functools import cached_property
from html import escape
from typing import Any, overload

from session_widgets._store.payload import decode
from session_widgets._store.result import Result
from session_widgets.errors import SessionGone
from session_widgets.printing import plural

Query = Callable[[str, Sequence[Any]], Result]


class Rows(Sequence[Any]):
    """Rows of a view: items with the view's columns as attributes, JSON as Python values.

    Args:
        read: reads the rows; called again for each frame.
        what: a row, in one word.

    Example:
        >>> [call.command for call in transcript.tool_calls if call.exit_code]  # doctest: +SKIP
    """

    def __init__(self, read: Callable[[], Result], what: str) -> None:
        self._read = read
        self._what = what

    @cached_property
    def _items(self) -> list[Any]:
        found = self._read()
        kind = namedtuple(self._what.title().replace(" ", ""), found.columns)  # type: ignore[misc]
        read = [decode if str(one) == "JSON" else _same for one in found.types]
        return [kind(*(function(value) for function, value in zip(read, row, strict=True))) for row in found.fetchall()]

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...

    def __getitem__(self, index: int | slice) -> Any:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def df(self) -> Any:
        """Return the rows as a pandas frame; JSON stays text."""
        return self._read().df()

    def __repr__(self) -> str:
        return f"<{plural(len(self), self._what)}>"

    def _repr_html_(self) -> str:
        return self._read()._repr_html_()


def _same(value: Any) -> Any:
    return value


class StoredTranscript:
    """A session of the store; made by `Store.transcript`.

    Args:
        query: reads the store.
        session_id: of the session.

    Raises:
        SessionGone: the store has no such session.
    """

    def __init__(self, query: Query, session_id: str) -> None:
        self.session_id = session_id
        self._query = query
        found = query("select * from v_sessions where session_id = ?", [session_id])
        rows = found.fetchall()
        if not rows:
            raise SessionGone(f"the store has no session {session_id!r}. Its sessions are store().sessions().")
        self.session: dict[str, Any] = dict(zip(found.columns, rows[0], strict=True))

    @cached_property
    def steps(self) -> Rows:
        """Rows of `v_steps`, in order: prompts, messages, thoughts, tool calls, plans."""
        return self._rows("v_steps", "turn, step", "step")

    @cached_property
    def turns(self) -> Rows:
        """Rows of `v_turns`, in order."""
        return self._rows("v_turns", "turn", "turn")

    @cached_property
    def tool_calls(self) -> Rows:
        """Rows of `v_tool_calls`, in order."""
        return self._rows("v_tool_calls", "turn, step", "tool call")

    @cached_property
    def llm_calls(self) -> Rows:
        """Rows of `v_llm_calls`, by time; of a live session one a turn and currency."""
        return self._rows("v_llm_calls", "turn, ended_at, llm_call_id", "model call")

    @cached_property
    def files(self) -> Rows:
        """Rows of `v_files`: the files that each turn changed, or that its tool calls name."""
        return self._rows("v_files", "turn, path", "file")

    def _rows(self, view: str, order: str, what: str) -> Rows:
        query = f"select * from {view} where session_id = ? order by {order}"  # noqa: S608 - names of our views
        return Rows(lambda: self._query(query, [self.session_id]), what)

    def __repr__(self) -> str:
        return f"<StoredTranscript {self.session_id!r}: {self._counts()}>"

    def _repr_html_(self) -> str:
        title = escape(self.session["title"] or self.session_id)
        return f"<p><b>{title}</b>: {self._counts()}</p>{self.steps._repr_html_()}"

    def _counts(self) -> str:
        return ", ".join(map(repr, (self.turns, self.steps, self.tool_calls))).replace("<", "").replace(">", "")
