"""The journal itself, without a runner: its segments, its syncs, and its errors when it cannot be written."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from pathlib import Path

import pytest

from session_widgets.runner import journal as module
from session_widgets.runner.journal import Ahead, Journal, JournalError, Trimmed
from tests.support.descriptors import opened_below


def opened(place: Path, max_bytes: int = 1 << 20, **options: int) -> Journal:
    return Journal(place / "deep" / "j", max_bytes=max_bytes, **options)


def names(journal: Journal) -> list[str]:
    return sorted(path.name for path in journal.directory.iterdir())


def everything(journal: Journal, after: int = 0, **size: int) -> list[tuple[int, bytes]]:
    reader = journal.reader(after)
    found: list[tuple[int, bytes]] = []
    while (batch := reader.read(**size))[1]:
        found += enumerate(batch[1], batch[0])
    reader.close()
    return found


async def test_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        journal = opened(tmp_path, segment_bytes=4)
        assert journal.append([b"a"]) == 1
        assert journal.append([b"bcd"]) == 2
        assert journal.append([b"e"]) == 3
    finally:
        os.umask(before)
    assert stat.S_IMODE(journal.directory.stat().st_mode) == 0o700
    assert names(journal) == ["0000000000000001.jsonl", "0000000000000003.jsonl"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in journal.directory.iterdir()} == {0o600}
    assert [path.read_bytes() for path in sorted(journal.directory.iterdir())] == [b"a\nbcd\n", b"e\n"]
    await journal.close()


async def test_it_goes_on_where_it_ended(tmp_path: Path) -> None:
    journal = opened(tmp_path, segment_bytes=4)
    for line in (b"abc", b"def", b"g"):
        journal.append([line])
    await journal.close()
    assert journal.ended is True
    with journal.path(3).open("ab") as file:
        file.write(b"cut")
    again = opened(tmp_path, segment_bytes=4)
    assert (again.ended, again.segments, again.first_id, again.last_id) == (False, [1, 2, 3], 1, 3)
    assert again.path(3).read_bytes() == b"g\n", "what was cut off is no line"
    assert again.append([b"h"]) == 4
    assert again.append([b"i"]) == 5
    assert again.segments == [1, 2, 3, 5]
    assert everything(again) == [(1, b"abc"), (2, b"def"), (3, b"g"), (4, b"h"), (5, b"i")]
    await again.close()


async def test_all_lines_of_the_last_segment_are_there_again(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append([b"a", b"b"])
    journal.append([b"c"])
    await journal.close()
    with journal.path(1).open("ab") as file:
        file.write(b"cut")
    again = opened(tmp_path)
    assert (again.last_id, everything(again)) == (3, [(1, b"a"), (2, b"b"), (3, b"c")])
    assert again.append([b"d"]) == 4
    await again.close()


async def test_a_journal_of_nothing_but_half_a_line_is_empty(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    await journal.close()
    journal.path(1).write_bytes(b"half")
    again = opened(tmp_path)
    assert (again.segments, again.last_id, everything(again)) == ([1], 0, [])
    await again.close()


async def test_all_segments_together_are_bounded(tmp_path: Path) -> None:
    journal = opened(tmp_path, max_bytes=10, segment_bytes=4)
    for line in (b"abc", b"def"):
        journal.append([line])
    with pytest.raises(JournalError) as caught:
        journal.append([b"gh"])
    assert str(caught.value) == ("the journal is full; acknowledge events or raise the limit maxJournalBytes (10)")
    assert journal.append([b"g"]) == 3, "to the last byte"
    await journal.close()
    again = opened(tmp_path, max_bytes=10, segment_bytes=4)
    with pytest.raises(JournalError):
        again.append([b""])
    again.trim(1)
    assert again.append([b"hij"]) == 4, "what is trimmed counts no more"
    with pytest.raises(JournalError):
        again.append([b""])
    await again.close()


async def test_each_trimmed_segment_makes_room_for_as_many_bytes(tmp_path: Path) -> None:
    journal = opened(tmp_path, max_bytes=16, segment_bytes=4)
    for line in (b"abc", b"def", b"ghi", b"jkl"):
        journal.append([line])
    journal.trim(1)
    with pytest.raises(JournalError):
        journal.append([b"mnop"])
    assert journal.append([b"mno"]) == 5
    with pytest.raises(JournalError):
        journal.append([b""])
    await journal.close()


async def test_what_the_disk_refuses_is_not_kept_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = opened(tmp_path)
    journal.append([b"a"])
    write = os.write

    def refuse(fd: int, data: memoryview) -> int:
        if len(data) < 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data[:2])

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "write", refuse)
        with pytest.raises(JournalError) as caught:
            journal.append([b"bcde"])
    assert str(caught.value) == "the journal cannot be written: No space left on device"
    assert journal.path(1).read_bytes() == b"a\n"
    with monkeypatch.context() as patch:
        patch.setattr(module.os, "write", lambda fd, data: write(fd, data[:2]))
        assert journal.append([b"bcde", b"f"]) == 2, "a write may take a part"
    assert everything(journal) == [(1, b"a"), (2, b"bcde"), (3, b"f")]
    await journal.close()


async def test_readers_begin_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_BYTES", 4)
    journal = opened(tmp_path, segment_bytes=40)
    lines = [b"x" * (number % 7) for number in range(40)]
    for line in lines:
        journal.append([line])
    assert len(journal.segments) > 2
    expected = list(enumerate(lines, 1))
    for after in range(41):
        assert everything(journal, after) == expected[after:]
        assert everything(journal, after, size=1) == expected[after:]
        if after:
            assert journal.line(after) == lines[after - 1]
    with pytest.raises(Ahead):
        journal.reader(41)
    with pytest.raises(Ahead):
        journal.line(42)
    await journal.close()


async def test_a_reader_gets_as_much_as_it_asks_for(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.append([b"a", b"b", b"c" * 10, b"d"])
    reader = journal.reader(0)
    assert reader.read(5) == (1, [b"a", b"b"])
    assert reader.read(3) == (3, [b"c" * 10]), "and a longer line whole"
    assert reader.read() == (4, [b"d"])
    assert reader.read() == (5, [])
    await journal.close()


async def test_what_is_trimmed_are_whole_segments_of_what_was_acknowledged(tmp_path: Path) -> None:
    journal = opened(tmp_path, segment_bytes=1)
    for number in range(1, 6):
        journal.append([b"%d" % number])
    assert journal.segments == [1, 2, 3, 4, 5]
    slow, fast = journal.reader(0), journal.reader(2)
    journal.trim(0)
    assert journal.segments == [1, 2, 3, 4, 5]
    journal.trim(2)
    assert journal.segments == [3, 4, 5]
    assert names(journal) == [f"{number:016d}.jsonl" for number in (3, 4, 5)]
    assert slow.read() == (1, [b"1"]), "it has that file open"
    with pytest.raises(Trimmed):
        slow.read()
    assert fast.read() == (3, [b"3"])
    with pytest.raises(Trimmed):
        journal.reader(1)
    assert journal.line(2) is None
    assert everything(journal, 2) == [(3, b"3"), (4, b"4"), (5, b"5")]
    journal.trim(9)
    assert journal.segments == [5], "the last one stays"
    await journal.close()


async def test_a_reader_of_all_that_is_trimmed_goes_on(tmp_path: Path) -> None:
    journal = opened(tmp_path, segment_bytes=1)
    for number in range(1, 5):
        journal.append([b"%d" % number])
    reader = journal.reader(0)
    assert reader.read() == (1, [b"1"])
    journal.trim(1)
    assert [reader.read() for _ in range(4)] == [(2, [b"2"]), (3, [b"3"]), (4, [b"4"]), (5, [])]
    reader.close()
    await journal.close()


async def test_a_sync_writes_every_segment_and_the_folder_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def note(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)

    monkeypatch.setattr(module.os, "fsync", note)
    journal = opened(tmp_path, segment_bytes=1)
    await journal.sync()
    assert synced == [], "there is nothing to sync"
    for number in range(3):
        journal.append([b"%d" % number])
    before = len(opened_below(tmp_path))
    await journal.sync()
    assert synced == [*(f"{number:016d}.jsonl" for number in (1, 2, 3)), "j"]
    assert len(opened_below(tmp_path)) == before - 2, "those that are full are closed"
    await journal.sync()
    assert len(synced) == 4, "nothing came since"
    journal.append([b"4"])
    await asyncio.gather(journal.sync(), journal.sync())
    assert synced[4:] == [f"{number:016d}.jsonl" for number in (3, 4)] + ["j"]
    journal.append([b"5"])
    await journal.close()
    assert synced[7:] == [f"{number:016d}.jsonl" for number in (4, 5)] + ["j"]


async def test_nothing_stays_open(tmp_path: Path) -> None:
    before = len(opened_below(tmp_path))
    journal = opened(tmp_path, segment_bytes=1)
    journal.append([b"a"])
    journal.append([b"b"])
    everything(journal)
    assert (journal.line(1), journal.line(2)) == (b"a", b"b")
    await journal.close()
    await journal.close()
    assert len(opened_below(tmp_path)) == before
    await journal.remove()
    assert not journal.directory.exists()
    assert len(opened_below(tmp_path)) == before


async def test_a_journal_whose_directory_is_gone_can_be_removed(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    await journal.remove()
    await journal.remove()
    assert not journal.directory.exists()


async def test_a_close_ends_readers_even_if_nothing_can_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened(tmp_path)
    journal.append([b"a"])
    reader = journal.reader(1)

    def refuse(_: int) -> None:
        raise OSError(errno.EIO, "no")

    monkeypatch.setattr(module.os, "fsync", refuse)
    await journal.close()
    assert await reader.wait(0) is True
    reader.close()
    await journal.remove()
    assert not journal.directory.exists()


async def test_every_reader_is_woken_until_it_closes(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    readers = [journal.reader(0), journal.reader(0)]
    journal.append([b"a"])
    assert [await reader.wait(0.01) for reader in readers] == [True, True]
    for reader in readers:
        assert reader.read() == (1, [b"a"])
        assert await reader.wait(0.01) is False, "it has read all"
    readers.pop().close()
    assert len(journal._readers) == 1
    readers.pop().close()
    assert not journal._readers
    await journal.close()
