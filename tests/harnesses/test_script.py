"""The script language."""

from __future__ import annotations

import pytest

from session_widgets.demo.script import (
    Compact,
    Crash,
    Deaf,
    Fail,
    Mode,
    Notice,
    Offer,
    Plan,
    PlanOperation,
    Question,
    Read,
    Remember,
    Run,
    Say,
    Silent,
    Stream,
    Subagent,
    Think,
    Title,
    Tool,
    Unknown,
    Update,
    Wait,
    Write,
    parse,
)


def test_every_command():
    script = (
        "say hello  there\nthink hm\nplan a; b;; c ;\nwrite a b.txt <<EOT\nx\n  y\nEOT\nread a b.txt\nrun echo 'a; b'\n"
        'wait 0.5\ntool add {"a": [1]}\ntool look\nstream 12\nremember\nfail oh no\ncrash 3\n'
        "mode plan\nmode plan unasked\nmode plan odd\ntitle A parser\ncommands a b:c\ncommands\nsilent\ndeaf\nsilent x"
    )
    assert parse(script) == [
        Say("hello  there"),
        Think("hm"),
        Plan(("a", "b", "c")),
        Write("a b.txt", "x\n  y\n"),
        Read("a b.txt"),
        Run("echo 'a; b'"),
        Wait(0.5),
        Tool("add", {"a": [1]}),
        Tool("look", {}),
        Stream(12),
        Remember(),
        Fail("oh no"),
        Crash(3),
        Mode("plan", asks=True),
        Mode("plan", asks=False),
        Unknown(19, "mode plan odd"),
        Title("A parser"),
        Offer(("a", "b:c")),
        Offer(()),
        Silent(),
        Deaf(),
        Unknown(25, "silent x"),
    ]


def test_commands_for_clients_with_more_capabilities():
    script = (
        "notice error Disk | full\nnotice info Ready\nnotice odd x\nnotice info | x\n"
        "compact a b\ncompact failed why\ncompact\n"
        "plan-items p a; b\nplan-text p # A\nplan-file p a.md\nplan-drop p\nplan-drop p x\nplan-items p\n"
        'subagent A helper <<END\nsay x\nEND\nupdate {"sessionUpdate": "x"}\nupdate {}\nupdate 3'
    )
    assert parse(script) == [
        Notice("error", "Disk", "full"),
        Notice("info", "Ready"),
        Unknown(3, "notice odd x"),
        Unknown(4, "notice info | x"),
        Compact("a b"),
        Compact(error="why"),
        Unknown(7, "compact"),
        PlanOperation("items", "p", "a; b"),
        PlanOperation("text", "p", "# A"),
        PlanOperation("file", "p", "a.md"),
        PlanOperation("drop", "p"),
        Unknown(12, "plan-drop p x"),
        Unknown(13, "plan-items p"),
        Subagent("A helper", "say x\n"),
        Update({"sessionUpdate": "x"}),
        Unknown(18, "update {}"),
        Unknown(19, "update 3"),
    ]


def test_questions():
    lines = ("question why?", "question which? | a | b c", 'question {"message": "x"}', 'question {"x"')
    text, choice, own, broken = parse("\n".join(lines))
    assert text.params["requestedSchema"]["properties"] == {"answer": {"type": "string", "title": "Answer"}}
    assert text.params["message"] == "why?"
    assert choice.params["requestedSchema"]["properties"]["answer"]["enum"] == ["a", "b c"]
    assert own == Question({"mode": "form", "message": "x"})
    assert broken == Unknown(4, 'question {"x"')


@pytest.mark.parametrize("opening", ["write f <<END", "write f << END", "write f <<'END'", 'write f<<"END"'])
def test_any_word_ends_a_heredoc_and_commands_in_it_are_content(opening):
    assert parse(f"{opening}\nrun rm -rf /\nEND\nsay x") == [Write("f", "run rm -rf /\n"), Say("x")]


def test_heredoc_keeps_what_it_holds():
    assert parse("write f <<E\na\u2028b\x0cc\r\n\n<<E\nE") == [Write("f", "a\u2028b\x0cc\r\n\n<<E\n")]
    assert parse("write f <<E\nE") == [Write("f", "")]


def test_nothing_after_an_open_heredoc_is_executed():
    commands = parse("say x\nwrite f <<EOT\nrun rm -rf /")
    assert commands == [Say("x"), Unknown(2, "write f <<EOT (no line says EOT)")]


def test_windows_line_ends():
    assert parse("say a\r\nwait 1\r\n") == [Say("a"), Wait(1)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Write a test for the parser",
        "write a test",
        "wait a minute",
        "wait -1",
        "wait nan",
        "wait inf",
        "stream of thoughts",
        "stream -1",
        "stream 9999999999",
        "stream ٣",
        "remember to buy milk",
        "crash 256",
        "crash now",
        "plan ;;",
        "say",
        "saying something",
        "write f <<EOT\nno end",
    ],
)
def test_free_text(text):
    assert parse(text) is None


def test_a_line_that_is_no_command_is_named_with_its_number():
    assert parse("\nsay a\n\nplease go on\nsay b") == [Say("a"), Unknown(4, "please go on"), Say("b")]
