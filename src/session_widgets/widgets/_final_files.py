"""The files of compared runs at their ends: which differ, and their texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from session_widgets._sessions.kept_files import KeptFile, KeptFiles
from session_widgets._sessions.stored_files import latest_files
from session_widgets._store import Store
from session_widgets._store.redaction import redactor
from session_widgets.analysis.alignment import StoredRun, edited_files
from session_widgets.errors import BadValue, FilesNotKept, WorkspaceError
from session_widgets.widgets._text import safe
from session_widgets.widgets._views import Text
from session_widgets.workspaces.snapshot import name_of

MAX_FILES = 500
MAX_TEXT = 256 * 1024
"""Characters of one file that are compared."""


class FinalFileView(TypedDict):
    """A file of one run.

    `state` is "kept" (its content is known), "unknown" (it was changed, its content is not known), or "absent".
    `group` numbers different contents of a path from 0; None unless it is known. `size` is bytes.
    """

    state: str
    group: int | None
    size: int | None


class FinalFilesRow(TypedDict):
    """A path in all runs, None for a missing run.

    `file` is its number for `texts`; `same` says whether all contents are equal.
    """

    file: int
    path: str
    same: bool
    cells: list[FinalFileView | None]


class FinalFilesView(TypedDict):
    """The changed files, those that differ first; `more` rows are left out.

    `sources` says where the files of each run come from: "snapshot" of the workspace, "edits" of the transcript,
    or "" of a missing run.
    """

    rows: list[FinalFilesRow]
    more: int
    sources: list[str]


@dataclass(frozen=True, slots=True)
class FinalFile:
    """A file at the end of a run; `name` is its MD5 and size, None if its content is not known."""

    name: str | None
    size: int | None
    held: KeptFile | str | None

    def text(self) -> str | None:
        """Return its text; None if it is not known, not UTF-8, or a directory. Blocks."""
        if self.held is None or isinstance(self.held, str):
            return self.held
        if self.held.kind == "directory":
            return None
        try:
            return self.held.read_bytes().decode()
        except UnicodeDecodeError:
            return None


class FinalFiles:
    """The changed files of runs at their ends. Blocks: it reads the lists of kept files.

    Of a session of ours they are the kept files of its latest turn; of an import, what its edits tell.

    Args:
        store: of the runs.
        runs: None for a missing one.
        deleted: which of them are no longer in the store.
        before: their files when they were.
    """

    def __init__(
        self, store: Store, runs: Sequence[StoredRun | None], deleted: Sequence[bool], before: FinalFiles | None
    ) -> None:
        self._sources: list[str] = []
        self._files: list[Mapping[str, FinalFile] | None] = []
        changed: set[str] = set()
        for number, (run, gone) in enumerate(zip(runs, deleted, strict=True)):
            known = (before._sources[number], before._files[number]) if gone and before else None
            source, files = known or _read(store, run)
            self._sources.append(source)
            self._files.append(files)
            if run is not None:
                changed |= {path for path, _ in run.ending.files} | edited_files(run.actions).keys()
        self._paths = sorted(path for path in changed if any(files and path in files for files in self._files))

    def view(self) -> FinalFilesView:
        """Return the files for the page."""
        rows = [self._row(number) for number in range(len(self._paths))]
        rows.sort(key=lambda row: (row["same"], row["path"]))
        return {"rows": rows[:MAX_FILES], "more": max(0, len(rows) - MAX_FILES), "sources": self._sources}

    def texts(self, number: int) -> list[Text | None]:
        """Return the text of a file in each run, without secrets; None if there is none, or it is not known."""
        if not 0 <= number < len(self._paths):
            raise BadValue(f"there is no file {number}")
        path = self._paths[number]
        return [_clipped(files[path].text()) if files and path in files else None for files in self._files]

    def _row(self, number: int) -> FinalFilesRow:
        path = self._paths[number]
        found = [None if files is None else files.get(path, _ABSENT) for files in self._files]
        names = list(dict.fromkeys(one.name for one in found if one and one.name))
        present = {None if one is _ABSENT else one.name or id(one) for one in found if one}
        return {
            "file": number,
            "path": safe(redactor().plain(path)),
            "same": len(present) <= 1,
            "cells": [None if one is None else _cell(one, names) for one in found],
        }


_ABSENT = FinalFile(None, None, None)


def _cell(file: FinalFile, names: list[str]) -> FinalFileView:
    if file is _ABSENT:
        return {"state": "absent", "group": None, "size": None}
    if file.name is None:
        return {"state": "unknown", "group": None, "size": file.size}
    return {"state": "kept", "group": names.index(file.name), "size": file.size}


def _read(store: Store, run: StoredRun | None) -> tuple[str, Mapping[str, FinalFile] | None]:
    if run is None:
        return "", None
    kept = latest_files(store, run.record)
    if kept is not None:
        try:
            return "snapshot", _kept(kept)
        except (FilesNotKept, WorkspaceError, OSError):
            pass  # the edits tell less, but something
    texts = edited_files(run.actions)
    return "edits", {path: _edited(text) for path, text in texts.items()}


def _kept(files: KeptFiles) -> Mapping[str, FinalFile]:
    return {path: FinalFile(one.name, one.size, one) for path, one in files.items()}


def _edited(text: str | None) -> FinalFile:
    if text is None:
        return FinalFile(None, None, None)
    data = text.encode("utf-8", "surrogatepass")
    return FinalFile(name_of(data), len(data), text)


def _clipped(text: str | None) -> Text | None:
    if text is None:
        return None
    return {"text": safe(redactor().plain(text[:MAX_TEXT])), "length": len(text)}
