"""The files of a session: known texts, and nothing that is not known."""

from __future__ import annotations

from typing import Any

import pytest

from session_widgets.replaying import Recording
from session_widgets.replaying.commands import reads_only
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
