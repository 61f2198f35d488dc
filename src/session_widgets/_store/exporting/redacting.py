"""Removes secrets from what is exported, and lists them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

from session_widgets._store.formats.contract import WholeSession
from session_widgets._store.formats.writers.acp import joined
from session_widgets._store.redaction import Redactor
from session_widgets.printing import html_table, one_line, plural, text_table
from session_widgets.transcript.records import SessionRecord, Step, TurnRecord

SHOWN = 4
"""Characters of a secret that a list of hits has, of one with at least four times as many."""
T = TypeVar("T", SessionRecord, TurnRecord, Step)


@dataclass(frozen=True, slots=True)
class SecretHit:
    """Something in an export that looks like a secret.

    Attributes:
        where: turn, step and field, or the line of a file.
        shape: the beginning of keys of this format, or "environment" for a value of this process's environment.
        start: its first characters; empty for a short one.
        length: in characters.
    """

    where: str
    shape: str
    start: str
    length: int


class SecretHits(Sequence[SecretHit]):
    """What an export redacts; a cell draws it as a table."""

    def __init__(self, hits: Sequence[SecretHit]) -> None:
        self._hits = tuple(hits)

    def __getitem__(self, index: Any) -> Any:
        return self._hits[index]

    def __len__(self) -> int:
        return len(self._hits)

    def df(self) -> Any:
        """Return the hits as a pandas frame."""
        import pandas as pd

        return pd.DataFrame([asdict(hit) for hit in self._hits], columns=[each.name for each in fields(SecretHit)])

    def __repr__(self) -> str:
        names, cells = self._table()
        return text_table(names, cells) if cells else "no secret was found"

    def _repr_html_(self) -> str:
        names, cells = self._table()
        return f"<p>{plural(len(self), 'hit')}</p>" + (html_table(names, cells) if cells else "")

    def _table(self) -> tuple[list[str], list[list[str]]]:
        cells = [[one_line(hit.where), hit.shape, f"{hit.start}…", f"{hit.length:,}"] for hit in self._hits]
        return ["where", "shape", "secret", "characters"], cells


class Cleaner:
    """Redacts values, and collects what it has redacted.

    Args:
        redactor: knows the secrets; None leaves everything as it is.
    """

    def __init__(self, redactor: Redactor | None) -> None:
        self._redactor = redactor
        self.hits: list[SecretHit] = []

    @property
    def active(self) -> bool:
        """Whether it redacts."""
        return self._redactor is not None

    def text(self, text: str, where: str) -> str:
        """Return a text without secrets."""
        redactor = self._redactor
        if redactor is None or not redactor.suspects(text):
            return text
        plain = redactor.plain(text)
        if plain != text:
            self.hits += [_hit(where, shape, secret) for shape, secret in redactor.found(text)]
        return plain

    def value(self, value: Any, where: str) -> Any:
        """Return a JSON value without secrets."""
        if self._redactor is None:
            return value
        if isinstance(value, str):
            return self.text(value, where)
        if isinstance(value, Mapping):
            return {self.text(key, where): self.value(each, f"{where}.{key}") for key, each in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self.value(each, where) for each in value)
        return value

    def record(self, record: T, where: str) -> T:
        """Return a record without secrets."""
        if self._redactor is None:
            return record
        texts = {each.name: getattr(record, each.name) for each in fields(record)}
        new = {
            name: self.value(value, f"{where}{name}")
            for name, value in texts.items()
            if isinstance(value, str | Mapping | list | tuple) and name not in _KEPT
        }
        return replace(record, **new)


_KEPT = frozenset({"id", "session_id", "kind", "status", "files", "tier", "failure"})


def _hit(where: str, shape: str, secret: str) -> SecretHit:
    start = secret[:SHOWN] if len(secret) >= 4 * SHOWN else ""
    return SecretHit(where, shape, start, len(secret))


def cleaned(session: WholeSession, cleaner: Cleaner, *, events: bool) -> WholeSession:
    """Return a session without secrets.

    Args:
        session: as stored.
        cleaner: redacts.
        events: clean the events, else the steps and turns: no format has both.
    """
    if not cleaner.active:
        return session
    record = cleaner.record(session.session, "session ")
    if events:
        return replace(session, session=record, events=list(_events(session, cleaner)))
    return replace(
        session,
        session=record,
        turns=[cleaner.record(turn, f"turn {turn.index}, ") for turn in session.turns],
        steps=[cleaner.record(step, f"turn {step.turn}, step {step.index}, ") for step in session.steps],
    )


def _events(session: WholeSession, cleaner: Cleaner) -> Iterator[Any]:
    for event in joined(session.events):
        yield replace(event, payload=cleaner.value(event.payload, f"event {event.seq}, payload"))
