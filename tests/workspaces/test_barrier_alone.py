"""The barrier between two sides that are made up: no store, no process."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest

from session_widgets.errors import NotDurable, WorkspaceError
from session_widgets.host.manifest import Entry, Manifest
from session_widgets.workspaces import barrier
from session_widgets.workspaces.barrier import Difference, differences, some, tell_strange, verify
from session_widgets.workspaces.objects import Listing, ObjectInfo

WHEN = datetime(2026, 11, 28, tzinfo=UTC)


def entry(path: str, md5: str = "1", kind: str = "file") -> Entry:
    return Entry(path, kind, 1, 0o644, 1, "" if kind == "directory" else md5)  # type: ignore[arg-type]


def listed(*files: tuple[str, str] | str) -> Listing:
    """A listing of files, each with its content, and of the markers of directories."""
    infos = [
        ObjectInfo(name, "directory", 0, "", WHEN)
        if isinstance(file, str)
        else ObjectInfo(name, "file", 1, file[1], WHEN)
        for file in files
        for name in [file if isinstance(file, str) else file[0]]
    ]
    return Listing({info.path: info for info in infos})


def same(found: Entry, info: ObjectInfo) -> bool:
    assert "directory" not in (found.kind, info.kind), "it is asked about files alone"
    return found.md5 == info.etag


@pytest.fixture
def whole(tmp_path: Path) -> Manifest:
    """What the sandbox sees of `tmp_path`: one file."""
    info = os.stat(tmp_path)  # noqa: PTH116 - device and inode
    return Manifest((info.st_dev, info.st_ino), {"a": entry("a")})


class Time:
    """A clock that moves by what is slept."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(barrier, "time", clock)
    return clock


def never(_: Manifest) -> None:
    pytest.fail("nothing may be flushed")


def test_equal_sides_are_proven_at_once(whole: Manifest, tmp_path: Path, clock: Time) -> None:
    flushed: list[Manifest] = []
    assert verify(lambda: whole, flushed.append, lambda: listed(("a", "1")), same, tmp_path) is whole
    assert flushed == [whole]
    assert clock.slept == []


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        ({"truncated": True}, "name", "holds more than"),
        ({"unreadable": ("b",)}, "disk", "1 of the files and folders cannot be read, the first 'b'"),
        ({"entries": {"a": entry("a", md5="")}}, "disk", "the first 'a'"),
        ({"unreadable": ("b", "c"), "entries": {"a": entry("a", md5="")}}, "disk", "3 of the files"),
        ({"root": (0, 1)}, "mount", "another directory"),
    ],
)
def test_half_a_look_is_neither_flushed_nor_proven(
    whole: Manifest, tmp_path: Path, change: dict[str, object], reason: str, words: str
) -> None:
    look = replace(whole, **change)  # type: ignore[arg-type]
    with pytest.raises(NotDurable, match=words) as caught:
        verify(lambda: look, never, lambda: listed(("a", "1")), same, tmp_path)
    assert caught.value.reason == reason


def test_links_and_directories_need_no_content(whole: Manifest, tmp_path: Path) -> None:
    look = replace(whole, entries={"d": entry("d", kind="directory"), "l": entry("l", "2", kind="link")})
    assert verify(lambda: look, lambda _: None, lambda: listed("d", ("l", "2")), same, tmp_path) is look


def test_a_directory_that_is_gone_is_not_flushed(whole: Manifest, tmp_path: Path) -> None:
    with pytest.raises(NotDurable, match="cannot be scanned") as caught:
        verify(lambda: whole, never, lambda: listed(), same, tmp_path / "gone")
    assert caught.value.reason == "mount"


def test_an_error_of_the_store_is_final_and_keeps_its_reason(whole: Manifest, tmp_path: Path) -> None:
    def refuse(*_: object) -> Listing:
        raise WorkspaceError("no entry", reason="expired")

    for parts in ((refuse, lambda: listed()), (lambda _: None, refuse)):
        with pytest.raises(NotDurable, match="no entry") as caught:
            verify(lambda: whole, parts[0], parts[1], same, tmp_path)
        assert caught.value.reason == "expired"

    def give_up(_: Manifest) -> None:
        raise NotDurable("on purpose", reason="interrupted")

    with pytest.raises(NotDurable, match="on purpose") as caught:
        verify(lambda: whole, give_up, lambda: listed(), same, tmp_path)
    assert caught.value.reason == "interrupted"


def test_a_difference_is_waited_for_longer_each_time_and_to_the_deadline(
    whole: Manifest, tmp_path: Path, clock: Time
) -> None:
    flushes: list[Manifest] = []
    with pytest.raises(
        NotDurable, match=r"after 5 s bucket and sandbox still differ: .*'a' \(not in the bucket\)"
    ) as caught:
        verify(lambda: whole, flushes.append, lambda: listed(), same, tmp_path, patience=5)
    assert caught.value.reason == "mismatch"
    assert clock.slept == [0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert len(flushes) == 11, "and each time all is flushed again"


def test_a_minute_is_waited_by_default(whole: Manifest, tmp_path: Path, clock: Time) -> None:
    with pytest.raises(NotDurable, match="after 60 s"):
        verify(lambda: whole, lambda _: None, lambda: listed(), same, tmp_path)
    assert 60 < clock.now < 62


def test_the_other_side_has_its_own_name(whole: Manifest, tmp_path: Path, clock: Time) -> None:
    names = r"^after 60 s directory and sandbox still differ: 'a' \(not in the directory\)\..* when the directory has "
    with pytest.raises(NotDurable, match=names):
        verify(lambda: whole, lambda _: None, lambda: listed(), same, tmp_path, noun="the directory")


def test_a_late_listing_is_proven_by_what_was_looked_at_last(whole: Manifest, tmp_path: Path, clock: Time) -> None:
    listings = iter([listed(), listed(("a", "0")), listed(("a", "1"))])
    assert verify(lambda: whole, lambda _: None, lambda: next(listings), same, tmp_path) is whole
    assert clock.slept == [0.02, 0.05]


def test_a_file_that_never_rests_is_named_after_a_few_looks(whole: Manifest, tmp_path: Path, clock: Time) -> None:
    contents = count(1)

    def look() -> Manifest:
        return replace(whole, entries={"a": entry("a", f"now {next(contents)}"), "b": entry("b")})

    with pytest.raises(NotDurable, match=r"that keep changing: 'a' \(another content in the bucket\)\. Stop") as caught:
        verify(look, lambda _: None, lambda: listed(("a", "0"), ("b", "1")), same, tmp_path)
    assert caught.value.reason == "changing"
    assert len(clock.slept) == barrier.BUSY_LOOKS
    with pytest.raises(NotDurable, match="still differ") as caught:  # beside one that rests, it is the store
        verify(look, lambda _: None, lambda: listed(("a", "0")), same, tmp_path)
    assert caught.value.reason == "mismatch"


def test_every_kind_of_difference_is_found_and_sorted(whole: Manifest) -> None:
    entries = [
        entry("same"),
        entry("other"),
        entry("lost"),
        entry("d", kind="directory"),
        entry("x"),
        entry("y", kind="directory"),
    ]
    look = replace(whole, entries={one.path: one for one in entries}, large=("large",))
    bucket = listed(("same", "1"), ("other", "2"), "d", "x", ("y", "1"), ("extra", "1"), ("large", "1"))
    assert differences(look, bucket, same) == [
        Difference("extra", "in the bucket alone"),
        Difference("lost", "not in the bucket"),
        Difference("other", "another content in the bucket"),
        Difference("x", "a directory on one side only"),
        Difference("y", "a directory on one side only"),
    ]


def test_only_the_first_few_are_named() -> None:
    many = [Difference(f"f{number}", "not in the bucket") for number in range(7)]
    assert some(many[:5]) == ", ".join(f"'f{number}' (not in the bucket)" for number in range(5))
    assert some(many).endswith("'f4' (not in the bucket) and 2 more")
    assert len(str(Difference("x" * 500, "y"))) < 140


def test_unsupported_files_are_reported_after_the_rest_was_saved(whole: Manifest) -> None:
    tell_strange(whole)
    with pytest.raises(NotDurable, match=r"1 entry that cannot be saved to the bucket .*'a\\b'") as caught:
        tell_strange(replace(whole, strange=("a\\b",)))
    assert caught.value.reason == "name"
    for long in ({"strange": ("x" * 500,)}, {"large": ("x" * 500,)}):
        with pytest.raises(NotDurable, match=f"'{'x' * 119}…'"):
            tell_strange(replace(whole, **long))
    with pytest.raises(NotDurable, match=r"2 files larger than 32 GiB.*'big'") as caught:
        tell_strange(replace(whole, large=("big", "huge")))
    assert caught.value.reason == "name"
    with pytest.raises(NotDurable, match="cannot be saved to the directory"):
        tell_strange(replace(whole, strange=("a",)), "the directory")
