"""What is searched for and where: a text or an expression, and filters, as conditions of SQL."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, TypedDict

import duckdb

from session_widgets.errors import BadValue
from session_widgets.printing import one_line

LONGEST_PATTERN = 1_000
KEYS = "type text content output input command path title data kind mimeType description file_path oldText newText"
"""Keys that most tool calls have."""
Names = str | Sequence[str] | None
Moment = str | date | datetime | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is searched for.

    Attributes:
        pattern: of RE2, for plain text.
        in_json: the same for the JSON text of tools' input and output.
        unescape: whether JSON text must be unescaped first.
        like_keys: whether it occurs in keys of JSON, which are no text of the step.
        parameters: of the conditions.
        steps: conditions over `s` (a step), `t` (its turn) and `e` (its session).
            sessions: conditions over `e` alone, to leave sessions out early.
    """

    pattern: str
    in_json: str
    unescape: bool
    like_keys: bool
    parameters: Mapping[str, Any]
    steps: str
    sessions: str


class Filters(TypedDict, total=False):
    """How a text is searched for, and where; `Store.search` describes each."""

    regex: bool
    case: bool
    harness: Names
    model: str | None
    tool: Names
    kind: Names
    error: bool | None
    file: str | None
    since: Moment
    until: Moment
    session: Names


def wanted(text: str, filters: Filters) -> Wanted:
    """Check the arguments of a search.

    Raises:
        BadValue: the text is empty or too long, the expression is wrong, a time cannot be read, or there is no such
            filter.
    """
    if unknown := set(filters) - set(Filters.__annotations__):
        raise BadValue(f"there is no filter {min(unknown)!r:.80}; there are {', '.join(Filters.__annotations__)}.")
    if not text.strip():
        raise BadValue("expected a text to search for; got nothing but spaces.")
    if len(text) > LONGEST_PATTERN:
        raise BadValue(f"a text to search for has at most {LONGEST_PATTERN} characters; got {len(text)}.")
    regex = filters.get("regex", False)
    flags = "(?m)" if filters.get("case") else "(?im)"
    pattern, in_json = (text, text) if regex else (re.escape(text), re.escape(_quoted(text)))
    like_keys = _like_keys(flags + pattern)
    given: dict[str, Any] = {}
    steps, sessions = ["true"], ["true"]

    def add(name: str, value: Any, condition: str, *into: list[str]) -> None:
        if value is not None:
            given[name] = value
            for conditions in into:
                conditions.append(condition)

    session, file, since = filters.get("session"), filters.get("file"), filters.get("since")
    add("session", _names(session), "e.session_id in (select unnest($session))", sessions)
    add("harness", _names(filters.get("harness")), "coalesce(t.harness, e.harness) in (select unnest($harness))", steps)
    add("model", filters.get("model"), "contains(lower(coalesce(t.model, e.model)), lower($model))", steps)
    tools = "select unnest($tool)"
    add("tool", _names(filters.get("tool")), f"(s.tool_kind in ({tools}) or s.tool_name in ({tools}))", steps)
    add("kind", _names(filters.get("kind")), "s.kind in (select unnest($kind))", steps)
    add("file", None if file is None else _quoted(file), "contains(s.locations::varchar, $file)", steps)
    for name, moment, sign in (("since", since, ">="), ("until", filters.get("until"), "<")):
        at = None if moment is None else _moment(name, moment)
        add(name, at, f"coalesce(s.started_at, e.updated_at) {sign} ${name}", steps)
    if since is not None:
        sessions.append("e.updated_at >= $since")
    if (error := filters.get("error")) is not None:
        steps.append(f"{'' if error else 'not '}(s.failure is not null or s.kind = 'error')")
    if session is None:  # a step that was copied into another session is found once
        steps.append("not coalesce(s.copied, false) and coalesce(s.turn > e.forked_at_turn, true)")
    return Wanted(
        pattern=flags + pattern,
        in_json=flags + in_json,
        unescape=regex,
        like_keys=like_keys,
        parameters=given,
        steps=" and ".join(steps),
        sessions=" and ".join(sessions),
    )


def _names(value: Names) -> list[str] | None:
    return [value] if isinstance(value, str) else None if value is None else list(value)


def _quoted(text: str) -> str:
    """Return a text as it is within JSON."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _like_keys(pattern: str) -> bool:
    """Return whether an expression matches common keys of JSON.

    Raises:
        BadValue: RE2 cannot read it; it has no look-around and no back-references, which can take forever.
    """
    try:
        with duckdb.connect() as connection:
            found = connection.execute("select regexp_matches(?, ?)", [KEYS, pattern]).fetchall()
            return bool(found[0][0])
    except duckdb.Error as error:
        said = one_line(str(error)).removeprefix("Invalid Input Error: ").replace("(?im)", "").replace("(?m)", "")
        raise BadValue(f"the expression cannot be used: {said}. The syntax is that of RE2.") from error


def _moment(name: str, value: Moment) -> datetime:
    try:
        read = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise BadValue(f"{name} must be a time such as '2026-11-28' or '2026-11-28T09:30'; got {value!r}.") from None
    if isinstance(read, datetime):
        return read if read.tzinfo else read.replace(tzinfo=UTC)
    assert read is not None
    return datetime(read.year, read.month, read.day, tzinfo=UTC)
