"""Writes a session of the store to a file of another program's format, or the file that it was imported from."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from session_widgets._store import import_queries
from session_widgets._store.connection import StoreFile
from session_widgets._store.exporting import page, parquet
from session_widgets._store.exporting.redacting import Cleaner, SecretHits, cleaned
from session_widgets._store.formats import format_named, formats
from session_widgets._store.formats.contract import WholeSession
from session_widgets._store.redaction import redactor
from session_widgets._store.rows import Row
from session_widgets.errors import BadValue, SessionGone
from session_widgets.printing import plural

if TYPE_CHECKING:
    from session_widgets._store.database import Store

AT_ONCE = 2_000
"""Records of a file that are read at once."""
HTML, PARQUET = "html", "parquet"
EVENTS = frozenset({"acp"})
"""Formats of events; the others have steps."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote.

    Attributes:
        session_id: of the session.
        format: of the file.
        path: of the file, or of the folder for "parquet".
        size: in bytes.
        hits: what looked like a secret and was replaced; empty with `redact=False`.
        left_out: numbers of what the format cannot hold, or that is on a branch that the user left.
    """

    session_id: str
    format: str
    path: Path
    size: int
    hits: SecretHits
    left_out: dict[str, int]

    def __repr__(self) -> str:
        left = "".join(f"; left out: {count} {what}" for what, count in self.left_out.items())
        return f"<{self.path}: {self.format}, {self.size:,} bytes, {plural(len(self.hits), 'secret')} replaced{left}>"

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON."""
        hits = [asdict(hit) for hit in self.hits]
        return {**{name: getattr(self, name) for name in ("session_id", "format", "size", "left_out")},
                "path": str(self.path), "hits": hits}  # fmt: skip


class Exporter:
    """Exports sessions of a store.

    Args:
        store: reads them.
        file: of the store.
    """

    def __init__(self, store: Store, file: StoreFile) -> None:
        self._store, self._file = store, file

    def export(self, session_id: str, name: str, path: Path, *, redact: bool) -> ExportReport:
        """Write a session; the file is complete or absent, and replaces an older one."""
        cleaner = Cleaner(redactor() if redact else None)
        left_out: dict[str, int] = {}
        if name == PARQUET:
            size = parquet.write(self._store, session_id, path, cleaner)
        else:
            size = _replace(path, self._parts(session_id, name, cleaner, left_out))
        return ExportReport(session_id, name, path, size, SecretHits(cleaner.hits), left_out)

    def preview(self, session_id: str, name: str) -> SecretHits:
        """Return what an export would replace, without writing anything."""
        cleaner = Cleaner(redactor())
        if name == PARQUET:
            parquet.look(self._store, session_id, cleaner)
        else:
            for _ in self._parts(session_id, name, cleaner, {}):
                pass
        return SecretHits(cleaner.hits)

    def _parts(self, session_id: str, name: str, cleaner: Cleaner, left_out: dict[str, int]) -> Iterator[bytes]:
        record = self._store.session(session_id)
        if record is None:
            raise SessionGone(f"the store holds no session {session_id!r}. Its sessions are store().sessions().")
        own = self._own_format(session_id)
        if own == name:
            return self._native(session_id, cleaner)
        kind = format_named(name)
        if name != HTML and (kind is None or not kind.writes):
            known = ", ".join(sorted([*(each.name for each in formats() if each.writes), HTML, PARQUET]))
            more = f", or {own!r} for the file that it was imported from" if own else ""
            raise BadValue(f"format must be one of {known}{more}; got {name!r}.")
        whole = cleaned(self._whole(session_id, left_out, events=name in EVENTS), cleaner, events=name in EVENTS)
        if name == HTML or kind is None:
            return page.write(whole)
        return kind.write(whole)

    def _own_format(self, session_id: str) -> str | None:
        found = self._store.sql("select format from v_sessions where session_id = ?", [session_id]).fetchall()
        return found[0][0] if found else None

    def _whole(self, session_id: str, left_out: dict[str, int], *, events: bool) -> WholeSession:
        store = self._store
        source = store.source(session_id)
        rows = store.sql(
            "select turn, step, llm_call_id, is_active from v_steps where session_id = ?", [session_id]
        ).fetchall()
        inactive = {(turn, step) for turn, step, _, active in rows if not active}
        if inactive:
            left_out["steps on branches that were left"] = len(inactive)
        found = store.sql("select * from v_llm_calls where session_id = ? order by turn, ended_at", [session_id])
        calls = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
        facts = store.sql("select harness_version, git_branch from v_sessions where session_id = ?", [session_id])
        version, branch = facts.fetchall()[0]
        return WholeSession(
            session=source.record,
            turns=store.turns(session_id),
            steps=[step for step in store.steps(session_id) if (step.turn, step.index) not in inactive],
            calls={call["llm_call_id"]: call for call in calls},
            call_ids={(turn, step): call for turn, step, call, _ in rows if call is not None},
            events=source.events() if events else (),
            harness_version=version,
            git_branch=branch,
        )

    def _native(self, session_id: str, cleaner: Cleaner) -> Iterator[bytes]:
        """Yield the file that a session was imported from: what is between its records are line feeds."""
        with self._file.looking() as connection:
            file_id = import_queries.file_ids(connection, session_id)[0]
            row = import_queries.file_by_id(connection, file_id)
        assert row is not None
        end = 0
        for line, offset, data, length in self._records(file_id, row, cleaner):
            if offset > end:
                yield b"\n" * (offset - end)
            yield data if line else b""
            end = offset + length
        if row["watermark"] > end:
            yield b"\n" * (row["watermark"] - end)

    def _records(self, file_id: int, row: Row, cleaner: Cleaner) -> Iterator[tuple[int, int, bytes, int]]:
        after, kind = 0, format_named(row["format"])
        while True:
            with self._file.looking() as connection:
                page_of = import_queries.raw_with_lengths(connection, file_id, after, AT_ONCE)
            if not page_of:
                return
            for line, offset, length, body, not_text in page_of:
                data = not_text if not_text is not None else body.encode("utf-8", "surrogatepass")
                if cleaner.active and not_text is not None and kind is not None and kind.layout == "archive":
                    _refuse_archive(kind, data, cleaner)
                elif cleaner.active:
                    plain = cleaner.text(body, f"line {line}")
                    data = data if plain is body else plain.encode("utf-8", "surrogatepass")
                yield line, offset, data, length
            after = page_of[-1][1] + 1


def _refuse_archive(kind: Any, data: bytes, cleaner: Cleaner) -> None:
    """Raise if an archive has a secret: its members are kept as they are."""
    for number, value in enumerate(kind.records(data), 1):
        cleaner.value(value, f"member {number} ")
    if cleaner.hits:
        hits = SecretHits(cleaner.hits)
        raise BadValue(
            f"the archive has {plural(len(hits), 'secret')}, the first in {hits[0].where}, and its members cannot be "
            "changed. Export it with redact=False, or in another format."
        )


def _replace(path: Path, parts: Iterable[bytes]) -> int:
    """Write a file beside its place, and rename it: it is never half written. Only this user can read it (0600)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    size = 0
    try:
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                size += file.write(part)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise
    return size
