"""What two sides had in common, and what counts as the same."""

from __future__ import annotations

import stat
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest

from session_widgets.host.manifest import Entry
from session_widgets.workspaces import sync_base, sync_engine
from session_widgets.workspaces.objects import ObjectInfo
from session_widgets.workspaces.sync import SyncWorkspace
from session_widgets.workspaces.sync_base import SyncBase, signature
from tests.support.workspaces import persist, write
from tests.workspaces.memory import Memory, put

FILE = Entry("a", "file", 3, 0o100644, 5, "md5", "stamp")
STORED = datetime(2026, 11, 28, tzinfo=UTC)
OBJECT = ObjectInfo("a", "file", 3, "etag", STORED)


def test_an_object_is_still_the_known_one_by_etag_time_and_mode() -> None:
    known = SyncBase(FILE, "etag", STORED.timestamp())
    for same in (OBJECT, replace(OBJECT, mode=0o644), replace(OBJECT, size=9)):
        assert known.is_still(same)
        assert replace(known, modified=0).is_still(same), "no listing has reported it yet"
    for other in (
        replace(OBJECT, etag="other"),
        replace(OBJECT, modified=datetime(2026, 11, 29, tzinfo=UTC)),
        replace(OBJECT, mode=0o755),
        replace(OBJECT, mode=0o645),
        replace(OBJECT, mode=0),
    ):
        assert not known.is_still(other)
    folder = replace(known, entry=replace(FILE, kind="directory"))
    assert folder.is_still(replace(OBJECT, mode=0o700)), "the mode of a folder does not matter"


def test_kind_content_and_mode_of_a_file_matter() -> None:
    assert signature(None) is None
    assert signature(FILE) == signature(replace(FILE, path="b", size=9, mtime_ns=9, stamp="other"))
    others = [replace(FILE, kind="link"), replace(FILE, md5="other"), replace(FILE, mode=0o100755)]
    assert all(signature(other) != signature(FILE) for other in others)
    folder = replace(FILE, kind="directory")
    assert signature(folder) == signature(replace(folder, mode=0o40700))


def test_the_common_state_comes_back_for_its_own_directory_alone(tmp_path: Path) -> None:
    file = tmp_path / "known.json"
    known = {"a": SyncBase(FILE, "etag", 7.5), "d": SyncBase(replace(FILE, path="d", kind="directory"), "e")}
    assert sync_base.load(file) == {}
    assert sync_base.version(file) is None
    sync_base.save(file, known)
    assert sync_base.load(file) == known
    assert sync_base.load(file, (1, 2)) == {}
    sync_base.save(file, known, (1, 2))
    assert sync_base.load(file, (1, 2)) == known
    assert sync_base.load(file, (1, 3)) == sync_base.load(file) == {}
    assert sync_base.version(file) == (file.stat().st_mtime_ns, file.stat().st_ino)


def test_an_object_is_what_was_stored_for_an_entry(here: SyncWorkspace) -> None:
    write(here, "a", "1")
    persist(here)
    engine = here._engine
    entry, info = here.scan().entries["a"], engine.listing().objects["a"]
    assert engine.same(entry, info)
    for changed in (replace(entry, md5="other"), replace(entry, mode=entry.mode ^ 0o111), replace(entry, path="b")):
        assert not engine.same(changed, info)
    assert not engine.same(entry, replace(info, etag="other"))


def test_what_no_directory_can_contain_stays_named(here: SyncWorkspace, memory: Memory) -> None:
    put(memory, "back\\slash", b"x")
    put(memory, "link", b"a\0b", Metadata={"mode": str(stat.S_IFLNK | 0o777)})  # type: ignore[arg-type]
    write(here, "a", "1")
    here.attach(lambda _: None)
    listing = here._engine.listing()
    assert sorted(listing.strange) == ["back\\slash", "link"]
    assert set(listing.objects) == set()


def test_what_is_read_ahead_is_bounded_in_number_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    infos = [replace(OBJECT, path=str(number)) for number in range(4001)]
    batches = list(sync_engine._batches(infos))
    assert [len(batch) for batch in batches] == [1000] * 4 + [1]
    assert [len(batch) for batch in sync_engine._batches(infos[:2001])] == [501, 501, 501, 498], "one a stream"
    assert [len(batch) for batch in sync_engine._batches(infos[:501])] == [250, 250, 1]
    assert [info for batch in batches for info in batch] == infos
    assert list(sync_engine._batches([])) == []
    monkeypatch.setattr(sync_engine, "BATCH_BYTES", 7)
    assert [len(batch) for batch in sync_engine._batches(infos[:7])] == [3, 3, 1], "of three bytes each"
    monkeypatch.setattr(sync_engine, "BATCH_BYTES", 6)
    assert [len(batch) for batch in sync_engine._batches(infos[:4])] == [2, 2]


def test_a_content_that_comes_in_pieces_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    class Body(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert size == 2
            return super().read(size)

    monkeypatch.setattr(sync_engine, "LARGEST", 2)
    assert sync_engine._whole(Body(b"12345")) == b"12345"
