from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from session_widgets._store import connection
from session_widgets._store import store as open_store
from session_widgets._store.connection import StoreFile
from session_widgets._store.database import Store
from session_widgets._store.file_queue import FileQueue


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "transcripts.duckdb"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = open_store(path)
    yield opened
    opened.close()


@pytest.fixture
def file(path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StoreFile]:
    """A store's file that stays attached until another one wants it."""
    monkeypatch.setattr(connection, "LINGER", 600.0)
    shutil.copy(empty_store, path)
    opened = StoreFile(path, patience=5.0)
    yield opened
    if not opened._closed:
        opened.close()


@pytest.fixture
def line(file: StoreFile) -> Iterator[FileQueue]:
    """The queue, as another process sees it."""
    line = FileQueue(file.path)
    yield line
    line.leave()
