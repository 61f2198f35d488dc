"""The files at each turn's end, kept beside a directory."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from session_widgets.errors import BadPath, FilesNotKept
from session_widgets.host.manifest import scan
from session_widgets.transcript.notes import FilesKept
from tests.support.forked import Forked
from tests.support.waiting import until

WRITE = "write {0} <<EOT\n{1}\nEOT"


def test_each_turn_has_its_files(open_session):
    session = open_session()
    first = session.send(WRITE.format("a.py", "one"))
    second = session.send(f"{WRITE.format('a.py', 'two')}\n{WRITE.format('sub/b', 'b')}")
    third = session.send("run rm a.py && ln -s ../../etc/passwd link && mkdir empty && chmod 700 sub/b")
    assert {path: file.kind for path, file in first.files_at_end.items()} == {"a.py": "file"}
    assert first.files_at_end["a.py"].read_text() == "one\n"
    assert {path: file.read_text() for path, file in second.files_at_end.items()} == {"a.py": "two\n", "sub/b": "b\n"}
    files = third.files_at_end
    assert {path: file.kind for path, file in files.items()} == {"link": "link", "empty": "directory", "sub/b": "file"}
    assert files["link"].read_text() == "../../etc/passwd"
    assert files["sub/b"].mode == 0o700
    with pytest.raises(BadPath):
        files["empty"].read_bytes()
    assert "sub/b" in repr(files)
    assert "<td>sub/b</td>" in files._repr_html_()


def test_a_write_after_the_turn_is_not_part_of_it(open_session):
    session = open_session()
    for number in range(20):
        turn = session.send("say done")
        session.files.write("mine", str(number))
        assert ("mine" in turn.files_at_end) is (number > 0)
        if number:
            assert turn.files_at_end["mine"].read_text() == str(number - 1)


def test_a_prompt_that_follows_at_once_stores_the_note_in_its_own_commit(open_session):
    session = open_session()
    turns = [session.send(WRITE.format("a", number)) for number in range(5)]
    assert [turn.files_at_end["a"].read_text() for turn in turns] == [f"{number}\n" for number in range(5)]
    kept = [event for event in session.events() if event.kind == FilesKept.kind]
    assert [(event.turn, event.payload["turn"]) for event in kept] == [(None, turn.index) for turn in turns]
    seqs = {event.seq: event for event in session.events()}
    assert any(seqs[event.seq + 1].kind == "memory_restored" for event in kept)


def test_contents_are_kept_once_for_their_owner_alone(open_session, home):
    session = open_session()
    for number in range(3):
        turn = session.send(f"{WRITE.format('same', 'x' * 1000)}\n{WRITE.format(number, 'x' * 1000)}")
        assert len(turn.files_at_end) == number + 2
    kept = list((home / "contents" / "s1").iterdir())
    assert [file.stat().st_size for file in kept].count(1001) == 1
    assert {file.stat().st_mode & 0o77 for file in kept} | {(home / "contents" / "s1").stat().st_mode & 0o77} == {0}
    session.delete()
    assert not (home / "contents" / "s1").exists()


def test_hostile_names_and_files(open_session):
    session = open_session()
    session.send("say begun")
    root = session.workspace
    (root / "new\nline").write_text("n")
    (root / "<b>").write_text("b")
    (root / "outside").symlink_to("/etc/passwd")
    (root / "folder").symlink_to("/etc")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff")).write_text("no UTF-8")
    os.mkfifo(root / "pipe")
    with (root / "huge").open("wb") as file:
        file.truncate(300 << 30)
    (root / "secret").write_text("s")
    (root / "secret").chmod(0)
    files = session.send("say looked").files_at_end
    assert files["new\nline"].read_bytes() == b"n"
    assert files["outside"].read_bytes() == b"/etc/passwd"
    assert files["folder"].kind == "link"
    assert files.left_out == {"\ufffd": "name", "pipe": "name", "huge": "large"} | (
        {} if os.geteuid() == 0 else {"secret": "unreadable"}
    )
    assert "<b>" not in files._repr_html_()
    assert repr(files).count("\n") == len(files) + 1


def test_without_its_content_a_file_says_so(open_session, home):
    session = open_session()
    turn = session.send(WRITE.format("a", "a"))
    files = turn.files_at_end
    place = home / "contents" / "s1" / files["a"].name
    place.write_text("b\n")
    with pytest.raises(FilesNotKept, match="damaged"):
        files["a"].read_text()
    place.unlink()
    with pytest.raises(FilesNotKept, match="deleted"):
        files["a"].read_text()
    assert turn.files_at_end == files
    (home / "contents" / "s1" / files.name).unlink()
    (gone,) = session.snapshots
    assert "cannot be read" in repr(gone)
    assert "cannot be read" in gone._repr_html_()


def test_the_next_prompt_does_not_wait_for_long(open_session, monkeypatch):
    monkeypatch.setattr("session_widgets._sessions.snapshots.PATIENCE_SECONDS", 0.5)
    session = open_session()
    assert len(session.send("say warm").files_at_end) == 0
    contents, begun = session._controller.snapshots.contents, threading.Event()
    keep = contents.keep

    def slow(entries, is_late):
        monkeypatch.setattr(contents, "keep", keep)
        begun.set()
        until(is_late, what="the next prompt")
        return keep(entries, is_late)

    monkeypatch.setattr(contents, "keep", slow)
    late = session.send(f"{WRITE.format('a', 'one')}\n{WRITE.format('b', 'b')}")
    assert begun.wait(10)
    assert session.send(WRITE.format("a", "two")).status == "completed"
    assert late.files_at_end.left_out.items() >= {"a": "late", "b": "late"}.items()
    assert session.turns[-1].files_at_end["b"].read_text() == "b\n"


def test_a_slow_listing_is_given_up(open_session, monkeypatch):
    monkeypatch.setattr("session_widgets._sessions.snapshots.PATIENCE_SECONDS", 0.2)
    session = open_session()
    released = threading.Event()

    def slow(root, known, **options):
        released.wait(30)
        return scan(root, known, **options)

    monkeypatch.setattr("session_widgets._sessions.snapshots.scan", slow)
    late = session.send(WRITE.format("a", "one"))
    assert session.send(WRITE.format("a", "two")).status == "completed"
    released.set()
    with pytest.raises(FilesNotKept, match="the next prompt came"):
        len(late.files_at_end)
    assert session.turns[-1].files_at_end["a"].read_text() == "two\n"


async def test_awaiting(open_session):
    session = open_session()
    turn = await session.aio.send(WRITE.format("a", "a"))
    assert list(await turn.kept_files()) == ["a"]


SCRIPT = """
import session_widgets as sw
sw.open_session("s1", permissions="allow_all").send("write a <<EOT\\na\\nEOT")
"""


def test_a_program_that_ends_after_its_turn_has_kept_the_files(open_session, home, forked: Forked):
    done = forked.python(SCRIPT, env=os.environ | {"SESSION_WIDGETS_HOME": str(home)})
    assert done.returncode == 0, done.stderr
    assert open_session().turns[0].files_at_end["a"].read_text() == "a\n"


def test_a_kernel_killed_after_its_turn_leaves_the_turn_without_files(open_session, home, forked: Forked):
    killed = SCRIPT.replace(
        "import",
        "import os, session_widgets._sessions.snapshots as s; s.SnapshotManager._kept = "
        "lambda *_: os.kill(os.getpid(), 9)\nimport",
        1,
    )
    done = forked.python(killed + "\nimport time; time.sleep(30)", env=os.environ | {"SESSION_WIDGETS_HOME": str(home)})
    assert done.returncode == -9
    session = open_session()
    (turn,) = session.turns
    assert turn.status == "completed"
    with pytest.raises(FilesNotKept, match="kernel ended"):
        len(turn.files_at_end)
    assert session.send("say on").files_at_end["a"].read_text() == "a\n"
