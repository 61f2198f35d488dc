"""What an import did, file by file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from session_widgets.printing import html_table, one_line, plural, text_table

if TYPE_CHECKING:
    import pandas as pd

Outcome = Literal["new", "grown", "rewritten", "unchanged", "truncated", "skipped"]


@dataclass(frozen=True, slots=True)
class ImportIssue:
    """Something in a file that could not be kept as data, or had to be guessed.

    Attributes:
        line: of the file, from 1; 0 for the whole file.
        code: what it is: "malformed", "unfinished_line", "rewritten", ...
        severity: "info" or "warning".
    """

    path: str
    line: int
    code: str
    severity: str
    detail: str


@dataclass(slots=True)
class FileReport:
    """One file of an import; the numbers are those of this import.

    Attributes:
        outcome: "new", "grown" (lines were added), "rewritten" (its earlier lines changed), "unchanged", "truncated"
            (it lost lines, which the store keeps), or "skipped" for `reason`.
        records: records that were added to the store, `malformed` of which are no JSON.
        secrets: lines with something that looks like a secret.
    """

    path: str
    outcome: Outcome
    format: str | None = None
    reason: str | None = None
    bytes: int = 0
    records: int = 0
    malformed: int = 0
    secrets: int = 0
    sessions: tuple[str, ...] = ()
    turns: int = 0
    steps: int = 0
    tool_calls: int = 0
    llm_calls: int = 0


_COLUMNS = ("path", "outcome", "format", "records", "malformed", "sessions", "steps", "reason")
_SHOWN = 20


@dataclass(slots=True)
class ImportReport:
    """What `Store.import_` did: counts, files, issues."""

    files: list[FileReport] = field(default_factory=list)
    issues: list[ImportIssue] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """The number of files by outcome, and the sums of the files' numbers."""
        outcomes = Counter(f"files_{file.outcome}" for file in self.files)
        names = ("records", "malformed", "secrets", "turns", "steps", "tool_calls", "llm_calls")
        sums = {name: sum(getattr(file, name) for file in self.files) for name in names}
        return {"files": len(self.files), **outcomes, "sessions": len(self.sessions), **sums}

    @property
    def sessions(self) -> tuple[str, ...]:
        """The ids of the sessions that were added or changed."""
        return tuple(dict.fromkeys(session for file in self.files for session in file.sessions))

    def df(self) -> pd.DataFrame:
        """Return one row a file as a pandas frame."""
        import pandas as pd

        return pd.DataFrame([asdict(file) for file in self.files])

    def __str__(self) -> str:
        counts = Counter(file.outcome for file in self.files)
        said = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items()) or "no files"
        added = f"{plural(self.counts['records'], 'record')} and {plural(len(self.sessions), 'session')} written"
        return f"{said}; {added}; {plural(len(self.issues), 'issue')}"

    @property
    def _folder(self) -> str:
        """The folder of all files, with a slash at its end."""
        return str(Path(os.path.commonpath([Path(file.path).parent for file in self.files]), "_"))[:-1]

    def __repr__(self) -> str:
        if not self.files:
            return str(self)
        return f"{self}\n{one_line(self._folder, 200)}\n{text_table(_COLUMNS, _cells(self.files, self._folder))}"

    def _repr_html_(self) -> str:
        if not self.files:
            return f"<p>{self}</p>"
        more = f"<p>and {len(self.files) - _SHOWN:,} more: <code>.df()</code></p>" if len(self.files) > _SHOWN else ""
        place = f"<p><code>{escape(one_line(self._folder, 200))}</code></p>"
        return f"<p>{self}</p>{place}{html_table(_COLUMNS, _cells(self.files, self._folder))}{more}"


def _cells(files: Sequence[FileReport], folder: str) -> list[tuple[str, ...]]:
    notable = sorted(files, key=lambda file: file.outcome in {"unchanged", "skipped"})[:_SHOWN]
    return [
        (
            one_line(file.path.removeprefix(folder), 80), file.outcome, file.format or "",
            str(file.records), str(file.malformed), str(len(file.sessions)), str(file.steps),
            one_line(file.reason or "", 80),
        )
        for file in notable
    ]  # fmt: skip
