"""What imports wrote, and the recorded files."""

from __future__ import annotations

from typing import Any

from session_widgets._store.database import Store
from tests.support.paths import ROOT

RECORDED = ROOT / "tests" / "fixtures" / "imports"
TABLES = ("sessions", "turns", "steps", "llm_calls", "file_changes", "lineage", "raw_records", "import_issues")


def rows(store: Store) -> dict[str, list[Any]]:
    """Everything that an import writes, but its times and the numbers of files."""
    said = {name: store.sql(f"select * exclude (file_id) from {name} order by all").fetchall() for name in TABLES[5:]}
    return said | {name: store.sql(f"select * from {name} order by all").fetchall() for name in TABLES[:5]}
