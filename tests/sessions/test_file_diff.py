"""What a turn changed, in words, as text and as HTML."""

from __future__ import annotations

import time

import pytest

from session_widgets._sessions.file_diff import Diff, compare
from session_widgets._sessions.kept_files import KeptFile
from session_widgets.errors import BadValue
from session_widgets.workspaces.snapshot import name_of

WRITE = "write {0} <<EOT\n{1}\nEOT"


class Memory:
    """Contents in memory."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def read(self, name: str) -> bytes:
        return self.held[name]

    def files(self, **given: str | bytes) -> dict[str, KeptFile]:
        made = {}
        for path, said in given.items():
            data = said.encode() if isinstance(said, str) else said
            self.held[name_of(data)] = data
            made[path] = KeptFile(path, "file", len(data), 0o644, name_of(data), self)  # type: ignore[arg-type]
        return made


def test_a_turn_says_what_it_changed(open_session):
    session = open_session()
    first = session.send(f"{WRITE.format('a', 'one')}\n{WRITE.format('b', 'b')}")
    second = session.send(f"{WRITE.format('a', 'two')}\nrun rm b; chmod 755 a; ln -s a c; git init -q x")
    third = session.send("say nothing")
    diff = session.diff(first)
    assert (diff.created, diff.modified, diff.deleted) == (("a", "b"), (), ())
    diff = session.diff(second)
    assert (diff.created, diff.modified, diff.deleted) == (("c",), ("a",), ("b",))
    assert str(diff) == (
        "--- a/a\n+++ b/a\n@@ -1 +1 @@\n-one\n+two\n--- a/b\n+++ /dev/null\n@@ -1 +0,0 @@\n-b\n"
        "--- /dev/null\n+++ b/c\n@@ -0,0 +1 @@\n+→ a"
    )
    assert "mode 644 → 755" in diff[0].remark
    assert repr(diff).startswith("1 created, 1 modified, 1 deleted (the end of turn 1 → the end of turn 2)")
    assert "M a  +1 -1, mode 644 → 755" in repr(diff)
    assert len(session.diff(third)) == 0
    assert repr(session.diff(third)).startswith("no difference")
    assert session.diff(first, third).created == ("c",)
    assert session.diff(third.files_at_end, first.files_at_end).deleted == ("c",)
    with pytest.raises(BadValue):
        session.diff(2)


def test_a_first_turn_in_a_directory_of_the_users_names_only_its_own_changes(open_session, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("old", "changed", "removed"):
        (mine / name).write_text(name)
    session = open_session(workspace=mine)
    diff = session.diff(session.send(f"{WRITE.format('new', 'n')}\n{WRITE.format('changed', 'c')}\nrun rm removed"))
    assert (diff.created, diff.modified, diff.deleted) == (("new",), ("changed",), ("removed",))
    assert "+n" in diff[1].text
    assert diff[0].remark == "the earlier content was not kept"


async def test_awaiting(open_session):
    session = open_session()
    assert (await session.aio.diff(await session.aio.send(WRITE.format("a", "a")))).created == ("a",)


def test_hostile_names_and_texts_are_drawn_as_text():
    memory = Memory()
    name = "<script>\n\u202ex\x1b[2J"
    diff = Diff(compare({}, memory.files(**{name: "<img src=x onerror=alert(1)>\x1b[2J\u202e"})), "a", "b")
    html = diff._repr_html_()
    assert "<script" not in html
    assert "<img" not in html
    for shown in (html, repr(diff), str(diff)):
        assert "\x1b" not in shown
        assert "\u202e" not in shown
    assert repr(diff).count("\n") == 1


def test_binary_large_and_long_files_are_named_without_text():
    memory = Memory()
    before = memory.files(binary=b"\xff\0", large="x" * 300_000, long="a\n" * 5_000, same="s", nul="\0")
    after = memory.files(binary=b"\xff\1", large="y" * 300_000, long="b\n" * 5_000, same="s", nul="n")
    remarks = {one.path: one.remark for one in compare(before, after)}
    assert remarks == {
        "binary": "binary",
        "large": "too large to compare",
        "long": "too many lines to compare",
        "nul": "binary",
    }


def test_a_diff_of_many_files_is_bounded_in_time_and_size():
    memory = Memory()
    lines = [str(number % 100) for number in range(1_900)]
    others = [str(number * 7 % 100) for number in range(1_900)]
    begun = time.process_time()
    found = compare(
        memory.files(**{f"f{n}": "\n".join([str(n), *lines]) for n in range(50)}),
        memory.files(**{f"f{n}": "\n".join([str(n), *others]) for n in range(50)}),
    )
    assert time.process_time() - begun < 20
    assert len(found) == 50
    assert sum(len(one.text) for one in found) < 300_000
    many = Diff(compare({}, memory.files(**{f"f{n}": str(n) for n in range(1_000)})), "a", "b")
    assert "and 800 more" in many._repr_html_()
    assert len(many._repr_html_()) < 200_000
