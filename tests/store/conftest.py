from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from session_widgets._store import store as open_store
from session_widgets._store.database import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "transcripts.duckdb"


@pytest.fixture
def store(path: Path, empty_store: Path) -> Iterator[Store]:
    shutil.copy(empty_store, path)
    opened = open_store(path)
    yield opened
    opened.close()
