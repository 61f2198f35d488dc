"""Annotations of steps and scores of sessions: written by people and functions, never derived."""

from __future__ import annotations

import getpass
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from session_widgets._store import annotation_queries, import_queries
from session_widgets._store.connection import StoreFile
from session_widgets._store.queries import Connection
from session_widgets._store.redaction import redactor
from session_widgets._store.stored_transcript import StoredTranscript
from session_widgets.errors import BadValue, SessionGone
from session_widgets.printing import one_line

LONGEST = 200
"""Characters of a label, a name or an author."""
Sessions = str | Sequence[str] | None
Transcripts = Callable[[Sessions], Iterable[StoredTranscript]]


@dataclass(frozen=True, slots=True)
class Span:
    """Steps to annotate.

    Attributes:
        first: uid of the first or only step.
        last: uid of the last step of a span.
        session_id: of the steps, if it is known.
    """

    first: str
    last: str | None = None
    session_id: str | None = None


def annotate(file: StoreFile, spans: Sequence[Span], label: str, note: str | None, author: str | None) -> list[str]:
    """Write annotations in one transaction; return their ids.

    Raises:
        BadValue: a step does not exist or is in several sessions, or a text is malformed.
    """
    label, by = _word("label", label), _author(author)
    said = None if note is None else redactor().plain(note)
    ids = []
    with file.transaction() as connection:
        for span in spans:
            place = (_session_of(connection, span), span.first, span.last)
            ids.append(annotation_queries.put_annotation(connection, place, label, said, by))
    return ids


def score(
    file: StoreFile, values: Sequence[tuple[str, float]], name: str, note: str | None, author: str | None
) -> None:
    """Write a score of each session in one transaction.

    Raises:
        BadValue: a value is no finite number, or a text is malformed.
        SessionGone: the store has no such session.
    """
    name, by = _word("name", name), _author(author)
    said = None if note is None else redactor().plain(note)
    with file.transaction() as connection:
        known = import_queries.existing(connection, [session_id for session_id, _ in values])
        for session_id, value in values:
            if session_id not in known:
                raise SessionGone(f"the store has no session {session_id!r}. Its sessions are store().sessions().")
            annotation_queries.put_score(connection, session_id, name, value, said, by)


def chosen(transcripts: Iterable[StoredTranscript], function: Callable[[StoredTranscript], Any]) -> list[Span]:
    """Return the steps that a function chooses in transcripts: rows, uids, or pairs of the first and the last."""
    return [_span(one, transcript.session_id) for transcript in transcripts for one in (function(transcript) or ())]


def scored(
    transcripts: Iterable[StoredTranscript], function: Callable[[StoredTranscript], Any]
) -> list[tuple[str, float]]:
    """Return the value of each transcript; None is no score."""
    values = ((transcript.session_id, function(transcript)) for transcript in transcripts)
    return [(session_id, number(value)) for session_id, value in values if value is not None]


def number(value: Any) -> float:
    """Return the value of a score.

    Raises:
        BadValue: it is no finite number.
    """
    try:
        found = math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise BadValue(f"a score must be True, False or a finite number; got {one_line(repr(value), 60)}.")
    return found


def named(function: Callable[..., Any]) -> str:
    """Return the author of what a function writes."""
    return f"function:{getattr(function, '__name__', type(function).__name__)}"


def _span(one: Any, session_id: str) -> Span:
    match one:
        case str():
            return Span(one, None, session_id)
        case (first, last) if not hasattr(one, "step_uid"):
            return Span(_uid(first), _uid(last), session_id)
    return Span(_uid(one), None, session_id)


def _uid(one: Any) -> str:
    found = one if isinstance(one, str) else getattr(one, "step_uid", None)
    if not isinstance(found, str):
        raise BadValue(
            f"expected a step, its step_uid, or a pair of the first and the last; got {one_line(repr(one), 60)}."
        )
    return found


def _session_of(connection: Connection, span: Span) -> str:
    """Return the session that has the steps of a span, and did not copy them from another one."""
    found = annotation_queries.sessions_of(connection, span.first, span.session_id)
    where = "" if span.session_id is None else f" in session {span.session_id!r}"
    if not found:
        raise BadValue(f"there is no step {span.first!r}{where}. The column step_uid of v_steps names them.")
    if len(found) > 1:
        raise BadValue(f"step {span.first!r} is in several sessions ({', '.join(found)}). Choose one with session=.")
    if span.last is not None and not annotation_queries.sessions_of(connection, span.last, found[0]):
        raise BadValue(f"there is no step {span.last!r} in session {found[0]!r}: a span is in one session.")
    return found[0]


def _word(name: str, value: str) -> str:
    word = value.strip() if isinstance(value, str) else ""
    if not word or len(word) > LONGEST:
        raise BadValue(f"{name} must be a text of 1 to {LONGEST} characters; got {one_line(repr(value), 60)}.")
    return word


def _author(author: str | None) -> str:
    if author is not None:
        return _word("author", author)
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"
