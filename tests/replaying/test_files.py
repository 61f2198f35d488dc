"""The files of a session: known texts, and nothing that is not known."""

from __future__ import annotations

from typing import Any

import pytest

from session_widgets.analysis.reading_commands import reads_only
from session_widgets.replaying import Kept, KeptAll, Recording
from session_widgets.workspaces.snapshot import name_of
from tests.transcript.script import Script


def files(s: Script, seq: int | None = None) -> dict[str, tuple[str, str | None, str]]:
    made = Recording("s")
    made.feed(s.events)
    return {one.path: (one.state, one.text, one.reason) for one in made.at(s.seq if seq is None else seq).files}


def call(s: Script, kind: str, raw: dict[str, Any] | None = None, status: str = "completed", **fields: Any) -> None:
    s.update("tool_call", toolCallId=f"t{s.seq}", title=kind, kind=kind, rawInput=raw or {}, status=status, **fields)


def write(s: Script, text: str, path: str = "/w/a.py") -> None:
    call(s, "edit", {"file_path": path, "content": text})


def output(text: str) -> list[dict[str, Any]]:
    return [{"type": "content", "content": {"type": "text", "text": text}}]


def test_written_edited_deleted(s: Script) -> None:
    write(s, "one\ntwo\n")
    after_write = s.seq
    call(s, "edit", {"file_path": "/w/a.py", "old_string": "two", "new_string": "three"})
    assert files(s) == {"a.py": ("known", "one\nthree\n", "edited")}
    call(s, "delete", {"path": "a.py"})
    assert files(s) == {"a.py": ("deleted", None, "deleted")}
    assert files(s, after_write) == {"a.py": ("known", "one\ntwo\n", "written")}
    assert files(s, after_write - 1) == {}


def test_an_edit_of_an_unknown_text_invents_nothing(s: Script) -> None:
    call(s, "edit", {"file_path": "/w/a.py", "old_string": "x", "new_string": "y"})
    assert files(s) == {"a.py": ("unknown", None, "edit")}
    write(s, "same same\n")
    call(s, "edit", {"file_path": "/w/a.py", "old_string": "same", "new_string": "other"})
    assert files(s)["a.py"] == ("unknown", "same same\n", "edit"), "which of the two is not said"
    write(s, "same same\n")
    call(s, "edit", {"file_path": "/w/a.py", "old_string": "same", "new_string": "o", "replace_all": True})
    assert files(s)["a.py"] == ("known", "o o\n", "edited")


def test_after_a_command_that_may_change_files_nothing_is_known(s: Script) -> None:
    write(s, "one\n")
    call(s, "execute", {"command": "ls -la && cat a.py | head -3 2>/dev/null"})
    assert files(s)["a.py"][0] == "known"
    call(s, "execute", {"command": "make"}, status="in_progress")
    assert files(s)["a.py"] == ("unknown", "one\n", "command"), "it runs"
    call(s, "edit", {"file_path": "/w/a.py", "old_string": "one", "new_string": "two"})
    assert files(s)["a.py"] == ("unknown", "two\n", "edit"), "the rest of it may have changed"
    write(s, "three\n")
    assert files(s)["a.py"] == ("known", "three\n", "written")


def test_a_later_read_confirms_or_tells(s: Script) -> None:
    write(s, "one\ntwo\n")
    call(s, "execute", {"command": "make"})
    call(s, "read", {"path": "/w/a.py"}, content=output("one\ntwo"))
    assert files(s)["a.py"] == ("known", "one\ntwo\n", "read")
    call(s, "execute", {"command": "make"})
    call(s, "read", {"path": "/w/a.py"}, content=output("something else, perhaps cut"))
    assert files(s)["a.py"][0] == "unknown"
    call(s, "read", {"path": "/w/a.py"}, content=output("     1→a\n     2→b\n"))
    assert files(s)["a.py"] == ("known", "a\nb\n", "read")
    call(s, "read", {"path": "/w/b.py", "offset": 1}, content=output("     1→a\n     2→b\n"))
    call(s, "read", {"path": "/w/c.py"}, content=output("     1→a\n     3→b\n"))
    assert [files(s)[name] for name in ("b.py", "c.py")] == [("unknown", None, "seen")] * 2


def test_rejected_and_failed_calls_change_nothing_and_a_stopped_one_is_unknown(s: Script) -> None:
    write(s, "one\n")
    call(s, "edit", {"file_path": "/w/a.py", "content": "no\n"}, status="failed")
    assert files(s)["a.py"] == ("known", "one\n", "written")
    s.ask(1, {"toolCallId": "x", "kind": "execute", "rawInput": {"command": "rm a.py"}})
    s.note("permission_decision", request_id="c1/1", outcome="selected", option_id="no", decided_by="user")
    s.update("tool_call_update", toolCallId="x", status="failed")
    assert files(s)["a.py"] == ("known", "one\n", "written"), "the command did not run"
    call(s, "edit", {"file_path": "/w/a.py", "content": "half\n"}, status="in_progress")
    s.end("cancelled")
    assert files(s)["a.py"] == ("unknown", "one\n", "edit")


def test_the_files_of_a_turn_s_end(s: Script) -> None:
    write(s, "one\n")
    write(s, "two\n", "/w/b.py")
    changes = [("a.py", "modified", 4), ("b.py", "modified", 5), ("c.py", "created", 9), ("d.py", "deleted", None)]
    s.end(files=[{"path": path, "change": change, "size": size} for path, change, size in changes])
    assert files(s) == {
        "a.py": ("known", "one\n", "written"),
        "b.py": ("unknown", "two\n", "turn"),
        "c.py": ("unknown", None, "turn"),
        "d.py": ("deleted", None, "turn"),
    }


@pytest.mark.parametrize(
    "script",
    [
        "ls",
        "git status --short; git diff",
        "find . -name '*.py' | sort | head",
        "sed -n 1,20p a",
        "grep x a >/dev/null 2>&1",
    ],
)
def test_commands_that_read(script: str) -> None:
    assert reads_only(script)


@pytest.mark.parametrize(
    "script",
    ["make", "echo x > a", "cat a | tee b", "sed -i s/a/b/ c", "sed -n 'w b' a", "find . -delete",
     "ls $(rm a)", "ls `rm a`",
     "git checkout .", "git diff --output=a", "cat <<E >a\nx\nE", "ls & rm a", "(rm a)", "ls 'unclosed", "xargs rm",
     "sort -o a a"],
)  # fmt: skip
def test_commands_that_may_write(script: str) -> None:
    assert not reads_only(script)


def kept(texts: dict[str, str], left_out: tuple[str, ...] = ()) -> KeptAll:
    contents = {path: text.encode() for path, text in texts.items()}
    return KeptAll({path: Kept(name_of(data), lambda data=data: data) for path, data in contents.items()}, left_out)


def keep(s: Script) -> None:
    s.event("note", None, "files_kept", {"turn": 1, "snapshot": "1", "files": 2}, None)


def test_kept_files_are_known_whatever_commands_did(s: Script) -> None:
    write(s, "one\n")
    write(s, "gone\n", "/w/old.py")
    write(s, "big\n", "/w/big.bin")
    write(s, "elsewhere\n", "/tmp/x.py")
    call(s, "execute", {"command": "make"})
    after_command = s.seq
    s.end()
    keep(s)
    at_end = s.seq
    s.note("turn_started", turn=2, prompt=[])
    call(s, "edit", {"file_path": "/w/made.py", "old_string": "2", "new_string": "3"}, turn=2)
    call(s, "execute", {"command": "make"}, turn=2)
    made = Recording(
        "s", lambda note: kept({"a.py": "one\n", "made.py": "1 2\n"}, ("big.bin",)) if note.files else None
    )
    made.feed(s.events)
    states = {one.path: one for one in made.at(at_end).files}
    assert {path: (one.state, one.text, one.reason) for path, one in states.items()} == {
        "a.py": ("known", "one\n", "kept"),
        "made.py": ("known", "1 2\n", "kept"),
        "old.py": ("deleted", None, "kept"),
        "big.bin": ("unknown", "big\n", "command"),
        "/tmp/x.py": ("unknown", "elsewhere\n", "command"),
    }
    assert {one.path: one.state for one in made.at(after_command).files}["a.py"] == "unknown", "not earlier"
    edited = made.file("made.py", s.seq - 1)
    assert edited is not None
    assert (edited.state, edited.text, edited.reason) == ("known", "1 3\n", "edited"), "an edit of a kept text is known"
    after = made.file("a.py", s.seq)
    assert after is not None
    assert (after.state, after.text, after.reason) == ("unknown", "one\n", "command"), "with its last known text"


def test_files_kept_after_a_later_change_tell_nothing_about_it(s: Script) -> None:
    write(s, "one\n")
    s.end()
    s.note("turn_started", turn=2, prompt=[])
    call(s, "edit", {"file_path": "/w/a.py", "content": "two\n"}, turn=2)
    keep(s)
    made = Recording("s", lambda _: kept({"a.py": "one\n", "b.py": "b"}))
    made.feed(s.events)
    assert {one.path: one.text for one in made.at(s.seq).files} == {"a.py": "two\n", "b.py": "b"}
    call(s, "execute", {"command": "make"}, turn=2)
    keep(s)
    made.feed(s.events)
    assert {one.state for one in made.at(s.seq).files} == {"unknown"}, "a command ran before they were kept"
