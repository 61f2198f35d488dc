"""Tokens in the store equal an independent count of the same files, in every class."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from session_widgets._store.database import Store
from tests.store.importing.contents import RECORDED
from tests.store.importing.recount import CLASSES, recount
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

SHARED = ROOT.parent / "shared" / "data" / "transcripts"
COUNTS = Path(__file__).with_name("recounted.json")
"""The output of `recount.py` for the shared samples and for the recorded ones."""
UNKNOWN = {("skipped", name) for name in ("transcripts", "tau_bench", "cursor", "kimi")}
"""Folders of the samples of formats that are not read."""
COLUMNS = {
    "uncached": "input_uncached_tokens",
    "read": "cache_read_tokens",
    "written": "cache_write_tokens",
    "written_5m": "cache_write_5m_tokens",
    "written_1h": "cache_write_1h_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
}


@pytest.mark.parametrize("name", ["recorded", "shared"])
def test_every_class_of_tokens_is_equal(store: Store, name: str) -> None:
    root = {"recorded": RECORDED, "shared": SHARED}[name]
    if not root.is_dir():
        pytest.skip("needs shared data, which is not part of the repository")
    expected = json.loads(COUNTS.read_text())[name]
    assert recount(root) == expected
    sums = ", ".join(f"coalesce(sum({COLUMNS[name]}), 0)::bigint" for name in CLASSES)
    for folder, counts in expected.items():
        store.import_(root / folder)
        assert store.sql(f"select count(*), {sums} from v_llm_calls").fetchall() == [tuple(counts.values())], folder
        for record in store.sessions():
            store.delete_session(record.id)


def test_the_order_of_imports_changes_no_sum(store: Store) -> None:
    """Three files of one session, each the beginning of the next."""
    if not SHARED.is_dir():
        pytest.skip("needs shared data, which is not part of the repository")
    parts = sorted((SHARED / "claude_code_growing").iterdir())
    query = """select llm_call_id, output_tokens, cache_read_tokens, copies, events
               from v_llm_calls join v_sessions using (session_id) order by 1"""
    seen = []
    for order in (parts, parts[::-1], [parts[1], parts[0], parts[2]]):
        for part in order:
            store.import_(part)
        seen.append(store.sql(query).fetchall())
        for record in store.sessions():
            store.delete_session(record.id)
    assert seen[0] == seen[1] == seen[2]
    assert {events for *_, events in seen[0]} == {170}, "the longest owns all calls"


def test_every_shared_sample_comes_back_byte_for_byte(store: Store) -> None:
    if not SHARED.is_dir():
        pytest.skip("needs shared data, which is not part of the repository")
    report = store.import_(SHARED)
    for file in report.files:
        assert (file.outcome, Path(file.path).parent.name) in {("new", Path(file.path).parent.name), *UNKNOWN}, file
        if file.outcome != "new" or file.path.endswith(".eval"):
            continue
        query = "select byte_offset, body from v_raw_records where path = ? order by byte_offset"
        whole = b""
        for offset, body in store.sql(query, [file.path]).fetchall():
            whole = whole.ljust(offset, b"\n") + body.encode()
        data = Path(file.path).read_bytes()
        assert whole.ljust(len(data), b"\n") == data, file.path
