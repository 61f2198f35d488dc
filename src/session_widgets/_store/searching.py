"""Search in the text of all stored steps: regular expressions of RE2, whose time is linear, by DuckDB itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from session_widgets._store import querying
from session_widgets._store.hits import CONTEXT, LONGEST, Hit, Hits
from session_widgets._store.payload import decode
from session_widgets._store.result import Result
from session_widgets._store.search_filters import Wanted
from session_widgets.printing import plural

STEPS_AT_ONCE = 50_000
"""Steps of one scan: afterwards the hits are enough, or the next older sessions follow."""
BYTES_AT_ONCE = 16 * 2**20
"""Text that is read at once to find the places of matches."""
_KEY = '"type":"[a-z_]*"|"[A-Za-z_]{1,40}":'


class SqlStore(Protocol):
    """A store that answers queries."""

    def sql(
        self,
        query: str,
        params: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        frames: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Result:
        """Run a query over the views."""


Progress = Callable[[Sequence[Hit], float], bool]
"""Called with the hits so far and the searched part of the steps, 0 to 1; False stops the search."""


class Search:
    """One search.

    Args:
        store: with the sessions.
        what: is wanted.
        limit: of hits.
        timeout: in seconds.
        progress: called after every portion.
    """

    def __init__(
        self,
        store: SqlStore,
        what: Wanted,
        limit: int,
        timeout: float,
        progress: Progress = lambda _, __: True,
    ) -> None:
        self._store, self._what, self._limit, self._timeout = store, what, limit, timeout
        self._progress = progress
        self._begin = time.monotonic()
        self._hits: list[Hit] = []
        self._sessions = self._steps = 0

    def run(self) -> Hits:
        """Search the newest sessions first, until all are searched, the hits are enough, or the time is over."""
        reason = None
        try:
            reason = self._search()
        except TimeoutError:
            reason = (
                f"stopped after {self._timeout:g} s; older steps were not searched. Narrow it down, or raise timeout"
            )
        return Hits(
            self._hits[: self._limit],
            reason=reason,
            sessions=self._sessions,
            steps=self._steps,
            seconds=time.monotonic() - self._begin,
            store=self._store,
        )

    def _search(self) -> str | None:
        every = self._read(_SESSIONS.format(sessions=self._what.sessions)).fetchall()
        total, done = max(1, sum(steps for _, steps in every)), 0
        for some, size in _portions(every):
            found = self._read(self._scan(), some=some).fetchall()
            for page, left in _pages(found):
                self._take(page)
                if len(self._hits) > self._limit or (len(self._hits) == self._limit and left):
                    return f"the newest {plural(self._limit, 'hit')}; there may be more. Narrow it down, or raise limit"
                if left and not self._progress(self._hits, done / total):
                    return _STOPPED
            ((sessions, steps),) = self._read(_COUNT.format(conditions=self._what.steps), some=some).fetchall()
            self._sessions, self._steps = self._sessions + sessions, self._steps + steps
            done += size
            if not self._progress(self._hits, done / total) and done < total:
                return _STOPPED
        return None

    def _take(self, page: Sequence[tuple[Any, ...]]) -> None:
        """Read the steps of a page, and add those in which the pattern is indeed."""
        keys = [{"session_id": key[0], "turn": key[1], "step": key[2]} for key in page]
        rows = self._read(_STEPS, frames={"wanted": keys})
        read = [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]
        texts = [(place, field, text) for place, row in enumerate(read) for field, text in _texts(row)]
        located = querying.compute(
            _LOCATE,
            {
                "numbers": list(range(len(texts))),
                "texts": [text for _, _, text in texts],
                "pattern": self._what.pattern,
            },
            self._until(),
            self._timeout,
        )
        done: set[int] = set()
        for number, match in located.fetchall():
            place, field, text = texts[number]
            if place not in done:
                done.add(place)
                self._hits.append(_hit(read[place], field, text, match))

    def _until(self) -> float:
        return self._begin + self._timeout

    def _read(self, query: str, frames: Mapping[str, Any] | None = None, **more: Any) -> Result:
        left = self._until() - time.monotonic()
        if left <= 0:
            raise TimeoutError
        given = {**self._what.parameters, "pattern": self._what.pattern, "in_json": self._what.in_json, **more}
        used = {name: value for name, value in given.items() if f"${name}" in query}  # DuckDB refuses others
        return self._store.sql(query, used, timeout=left, frames=frames)

    def _scan(self) -> str:
        what = self._what
        plain = [f"regexp_matches({column}, $pattern)" for column in ("s.text", "s.title")]
        quoted = [
            f"regexp_matches({self._text_of(f's.{name}::varchar')}, $in_json)"
            for name in ("raw_input", "raw_output", "content", "entries")
        ]
        return _SCAN.format(matches=" or ".join([*plain, *quoted]), conditions=what.steps)

    def _text_of(self, column: str) -> str:
        """Return SQL for the text in a column of JSON, as far as the pattern needs it."""
        if self._what.like_keys:
            column = f"regexp_replace({column}, '{_KEY}', '', 'g')"
        return _unescaped(column) if self._what.unescape else column


_STOPPED = "stopped; older steps were not searched"
_SESSIONS = """
    select e.session_id, coalesce(n.steps, 0)::bigint as steps
    from sessions e left join (select session_id, count(*) as steps from steps group by all) n using (session_id)
    where {sessions} order by e.updated_at desc nulls last, e.session_id"""
_FROM = """
    from steps s join sessions e using (session_id)
        left join turns t on t.session_id = s.session_id and t.turn = s.turn
    where s.session_id in (select unnest($some)) and {conditions}"""
_COUNT = f"select count(distinct s.session_id), count(*) {_FROM}"
_SCAN = f"""
    select session_id, turn, step, size from (
        select s.session_id, s.turn, s.step, coalesce(s.started_at, e.updated_at) as moment,
            coalesce(strlen(s.text), 0) + coalesce(strlen(s.raw_input::varchar), 0)
                + coalesce(strlen(s.raw_output::varchar), 0) + strlen(s.content::varchar) as size
        {_FROM} and ({{matches}}))
    order by moment desc nulls last, session_id, turn desc, step desc"""  # noqa: S608
_STEPS = """
    select w.session_id, w.turn, w.step, s.kind, coalesce(s.tool_kind, s.tool_name) as tool, s.title,
        s.text, s.raw_input, s.raw_output, s.content, s.entries,
        coalesce(s.uid, w.session_id || '/' || w.turn || '/' || w.step) as step_uid,
        coalesce(s.started_at, e.updated_at) as moment, coalesce(t.harness, e.harness) as harness,
        coalesce(t.model, e.model) as model
    from wanted w join sessions e using (session_id)
    join steps s on s.session_id = w.session_id and s.turn = w.turn and s.step = w.step
    left join turns t on t.session_id = w.session_id and t.turn = w.turn
    order by moment desc nulls last, w.session_id, w.turn desc, w.step desc"""
_LOCATE = """
    select number, regexp_extract(text, $pattern, 0) from (select unnest($numbers) as number, unnest($texts) as text)
    where regexp_matches(text, $pattern) order by number"""


def _unescaped(column: str) -> str:
    r"""Return SQL for the texts in JSON, each on lines of its own, without escapes of `"`, line feeds, tabs, `\\`."""
    text = column
    for escape, character in (
        ("\\\\", "chr(1)"), ('\\"', "chr(2)"), ('"', "chr(10)"), ("\\n", "chr(10)"), ("\\t", "chr(9)"),
    ):  # fmt: skip
        text = f"replace({text}, '{escape}', {character})"
    return f"""replace(replace({text}, chr(2), '"'), chr(1), '\\')"""


def _portions(sessions: Sequence[tuple[str, int]]) -> Iterator[tuple[list[str], int]]:
    """Yield sessions in portions of a bounded number of steps, each with that number."""
    some: list[str] = []
    steps = 0
    for session_id, count in sessions:
        some.append(session_id)
        steps += count
        if steps >= STEPS_AT_ONCE:
            yield some, steps
            some, steps = [], 0
    if some:
        yield some, steps


def _pages(found: Sequence[tuple[Any, ...]]) -> Iterator[tuple[Sequence[tuple[Any, ...]], bool]]:
    """Yield found steps in pages of bounded text, each with whether others follow."""
    begin = size = 0
    for place, (*_, bytes_) in enumerate(found):
        size += bytes_ or 0
        if size >= BYTES_AT_ONCE or place + 1 - begin == 200 or place + 1 == len(found):
            yield found[begin : place + 1], place + 1 < len(found)
            begin, size = place + 1, 0


def _texts(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the texts of a step that a person reads, by field."""
    for field in ("text", "title"):
        if row[field]:
            yield field, row[field]
    for column, field in (("raw_input", "input"), ("raw_output", "output"), ("content", "output"), ("entries", "plan")):
        text = "\n".join(_strings(decode(row[column])))
        if text:
            yield field, text


def _strings(value: Any) -> Iterator[str]:
    """Yield the texts in a JSON value, in order, without those of images."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            left += [child for name, child in reversed(one.items()) if not _is_form(name, child, one)]
        elif isinstance(one, list):
            left += reversed(one)


def _is_form(name: str, child: Any, of: Mapping[str, Any]) -> bool:
    """Whether a value of a block is its type, or an image: no text that a person reads."""
    return (name == "type" and isinstance(child, str)) or (name == "data" and "mimeType" in of)


def _hit(row: Mapping[str, Any], field: str, text: str, match: str) -> Hit:
    begin = max(text.find(match), 0)
    end = begin + len(match)
    return Hit(
        session_id=row["session_id"],
        turn=row["turn"],
        step=row["step"],
        step_uid=row["step_uid"],
        kind=row["kind"],
        tool=row["tool"],
        title=row["title"],
        field=field,
        before=text[max(begin - CONTEXT, 0) : begin],
        match=match[:LONGEST],
        after=text[end : end + CONTEXT],
        at=row["moment"],
        harness=row["harness"],
        model=row["model"],
    )
