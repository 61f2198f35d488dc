"""Which snapshots of a session's files count, by the notes about them."""

from __future__ import annotations

from typing import Any

from session_widgets._store.kept_files import kept

Noted = tuple[str, int | None, str, dict[str, Any]]


def starts(turn: int, source: str) -> Noted:
    return "turn_started", turn, source, {}


def keeps(turn: int | None, snapshot: str, process: str = "kernel:a") -> Noted:
    return "files_kept", turn, process, {"turn": turn, "snapshot": snapshot, "process": process}


def drops(*snapshots: str) -> Noted:
    return "files_dropped", None, "kernel:a", {"snapshots": list(snapshots)}


def names(*notes: Noted) -> list[str]:
    return [note.snapshot for note in kept(notes)]


def test_snapshots_count_in_their_order_until_they_are_dropped() -> None:
    notes = [starts(1, "kernel:a"), keeps(1, "one"), keeps(None, "before"), starts(2, "kernel:a"), keeps(2, "two")]
    assert names(*notes) == ["one", "before", "two"]
    assert names(*notes, drops("before", "one", "unknown")) == ["two"]
    assert names(drops("one"), *notes) == ["one", "before", "two"], "one of that name is kept later"
    assert names() == []


def test_a_snapshot_counts_unless_another_process_had_begun_the_next_turn() -> None:
    assert names(starts(2, "kernel:a"), keeps(1, "one")) == ["one"], "this process knows what it kept"
    assert names(starts(2, "kernel:b"), keeps(1, "one")) == []
    assert names(starts(1, "kernel:b"), starts(3, "kernel:b"), keeps(1, "one")) == ["one"], "the next turn alone counts"
    assert names(keeps(1, "one"), starts(2, "kernel:b")) == ["one"], "it began later"
    assert names(starts(1, "kernel:b"), keeps(None, "one")) == ["one"]


def test_a_note_of_another_kind_is_passed_over() -> None:
    assert names(("turn_ended", 1, "kernel:a", {"status": "completed"}), keeps(1, "one")) == ["one"]
