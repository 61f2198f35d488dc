"""The policy: chosen by kind, never by position; without a person it rejects."""

import time
from dataclasses import replace

import pytest

from session_widgets._sessions.cell import describe
from session_widgets._sessions.permissions import Decision, PermissionRequest, check_policy, decide
from session_widgets.errors import BadValue
from session_widgets.transcript.records import PermissionOption

ALL = ("reject_always", "allow_always", "reject_once", "allow_once")


def request(kind="edit", options=ALL, **tool_call):
    async def answer(_request, _decision):
        return True

    made = tuple(PermissionOption(f"id-{option}", option, option) for option in options)
    return PermissionRequest("c/0", "s1", 1, "a title", kind, tool_call, made, answer)


@pytest.mark.parametrize(
    ("policy", "tool_kind", "chosen"),
    [
        ("ask", "read", None),
        ("ask", "edit", None),
        ("allow_reads", "read", "allow_once"),
        ("allow_reads", "search", "allow_once"),
        ("allow_reads", "edit", None),
        ("allow_reads", "execute", None),
        ("allow_reads", None, None),
        ("allow_edits", "read", "allow_once"),
        ("allow_edits", "edit", "allow_once"),
        ("allow_edits", "delete", None),
        ("allow_edits", "execute", None),
        ("allow_edits", "fetch", None),
        ("allow_all", "execute", "allow_once"),
        ("allow_all", None, "allow_once"),
        ("allow_all", "a kind of tomorrow", "allow_once"),
        ("deny", "read", "reject_once"),
    ],
)
def test_policies(policy, tool_kind, chosen):
    decision = decide(policy, request(tool_kind))
    assert (decision.option.kind if decision else None) == chosen


DIFF = {"type": "diff", "path": "/w/a", "oldText": "", "newText": "x"}


@pytest.mark.parametrize(
    ("policy", "tool_kind", "tool_call", "allowed"),
    [
        ("allow_reads", "read", {"rawInput": {"path": "/w/a", "limit": 3}}, True),
        ("allow_reads", "search", {"rawInput": {"pattern": "rm -rf", "path": "."}}, True),
        ("allow_reads", "read", {"rawInput": {"command": "rm -rf ."}}, False),
        ("allow_reads", "think", {"rawInput": {"Command": ["rm", "-rf", "."]}}, False),
        ("allow_reads", "search", {"rawInput": {"input": [{"cmd": "rm"}]}}, False),
        ("allow_reads", "read", {"rawInput": {"path": "a", "new_string": "x"}}, False),
        ("allow_reads", "read", {"content": [DIFF]}, False),
        ("allow_reads", "read", {"content": [{"type": "terminal", "terminalId": "t"}]}, False),
        ("allow_edits", "edit", {"content": [DIFF], "rawInput": {"file_path": "a", "content": "x"}}, True),
        ("allow_edits", "edit", {"content": [DIFF], "rawInput": {"command": "rm -rf ."}}, False),
        ("allow_edits", "read", {"rawInput": {"command": "rm -rf ."}}, False),
        ("allow_all", "read", {"rawInput": {"command": "rm -rf ."}}, True),
    ],
)
def test_a_call_that_belies_its_kind_is_asked_about(policy, tool_kind, tool_call, allowed):
    assert (decide(policy, request(tool_kind, **tool_call)) is not None) is allowed


def test_allow_always_is_never_chosen_unasked():
    assert decide("allow_all", request(options=("allow_always", "reject_once"))) is None


@pytest.mark.parametrize(
    ("options", "chosen"), [(("reject_always", "allow_once"), "reject_always"), (("allow_once",), None), ((), None)]
)
def test_deny_takes_the_mildest_refusal_there_is(options, chosen):
    decision = decide("deny", request(options=options))
    assert (decision.option.kind if decision.option else None) == chosen


def test_unknown_kinds_are_never_taken_for_consent():
    assert decide("allow_all", request(options=("yes_please", "reject_once"))) is None


def test_function_decides():
    asked_about = request()
    assert (
        decide(lambda asked: "id-allow_once" if asked is asked_about else None, asked_about).option.kind == "allow_once"
    )
    assert decide(lambda asked: None, request()) is None


@pytest.mark.parametrize("function", [lambda asked: "no such id", lambda asked: 1 / 0, lambda asked: True])
def test_function_that_fails_rejects_and_says_why(function):
    decision = decide(function, request())
    assert decision.option.kind == "reject_once"
    assert decision.reason


def test_choosing_what_is_not_offered():
    with pytest.raises(BadValue, match="'id-reject_once'"):
        request(options=("reject_once",)).choose("id-allow_once")
    with pytest.raises(BadValue, match="id-reject_once"):
        request(options=("reject_once",)).allow()


def answered(options=ALL, first=True):
    """A request that records its answers; `first` is the answerer's result."""
    answers = []

    async def answer(asked, decision):
        answers.append((asked, decision))
        return first

    return replace(request(options=options), _answer=answer), answers


@pytest.mark.parametrize("first", [True, False])
def test_a_person_answers_by_kind_or_by_id(first):
    asked, answers = answered(first=first)
    assert [asked.allow(), asked.reject(), asked.choose("id-reject_always")] == [first] * 3
    assert [decision.option.id for _, decision in answers] == ["id-allow_once", "id-reject_once", "id-reject_always"]
    assert all(one is asked and (decision.by, decision.reason) == ("user", "") for one, decision in answers)
    assert asked.answer(Decision(None, "elsewhere", "why")) is first
    assert answers[-1] == (asked, Decision(None, "elsewhere", "why"))


def test_what_is_not_offered_names_what_is():
    asked, answers = answered(options=("reject_once", "allow_always"))
    with pytest.raises(BadValue) as caught:
        asked.choose("x" * 200)
    assert str(caught.value) == (f"option_id must be one of 'id-reject_once', 'id-allow_always'; got '{'x' * 79}.")
    with pytest.raises(BadValue) as caught:
        asked.allow()
    assert str(caught.value) == (
        "the agent offers no option of kind 'allow_once', but 'id-reject_once' (reject_once), 'id-allow_always' "
        "(allow_always). Answer with choose(option_id)."
    )
    with pytest.raises(BadValue, match="'reject_once'"):
        answered(options=("allow_once",))[0].reject()
    assert answers == []


def test_the_first_option_of_a_kind_is_taken():
    twice = tuple(PermissionOption(name, name, "allow_once") for name in ("first", "second"))
    assert decide("allow_all", replace(request(), options=twice)).option.id == "first"


@pytest.mark.parametrize("policy", ["ask", "allow_reads", "allow_edits", "allow_all", "deny", lambda asked: None])
def test_what_is_a_policy(policy):
    assert check_policy(policy) is policy


@pytest.mark.parametrize("value", ["", "allow", "ALLOW_ALL", None, 1])
def test_what_is_no_policy(value):
    with pytest.raises(BadValue) as caught:
        check_policy(value)
    assert str(caught.value) == (
        "permissions must be one of 'ask', 'allow_reads', 'allow_edits', 'allow_all', 'deny' or a function(request) -> "
        f"option id; got {value!r}."
    )


def test_an_answer_says_whose_it_is_and_why():
    class Judge:
        def __call__(self, asked):
            return "x" * 200

    def broken(asked):
        raise RuntimeError("oh")

    def judge(asked):
        return "id-allow_always"

    found = [decide(policy, request()) for policy in ("deny", "allow_all", "allow_edits", judge, broken, Judge())]
    assert [(decision.option.kind, decision.by, decision.reason) for decision in found] == [
        ("reject_once", "policy:deny", "the policy rejects everything"),
        ("allow_once", "policy:allow_all", ""),
        ("allow_once", "policy:allow_edits", ""),
        ("allow_always", "function:judge", ""),
        ("reject_once", "function:broken", "it raised RuntimeError: oh"),
        ("reject_once", "function:Judge", f"it answered '{'x' * 79}, which is not one of the options"),
    ]


RUN = ["command", "commands", "cmd", "script", "code", "shell", "argv", "args", "stdin"]
WRITTEN = [
    "diff",
    "patch",
    "edits",
    "changes",
    "content",
    "contents",
    "new_string",
    "old_string",
    "new_str",
    "old_str",
    "newtext",
    "oldtext",
    "new_text",
]


@pytest.mark.parametrize("name", RUN + WRITTEN)
def test_every_name_of_what_is_run_or_written_is_asked_about(name):
    for raw in ({name.upper(): ""}, {"a": [{"b": {name: 1}}]}):
        assert decide("allow_reads", request("read", rawInput=raw)) is None
        assert (decide("allow_edits", request("edit", rawInput=raw)) is None) is (name in RUN)


def test_names_are_looked_for_so_far_and_no_further():
    assert decide("allow_reads", request("read", rawInput={"a": {"b": {"c": {"command": 1}}}})) is None
    assert decide("allow_reads", request("read", rawInput={"a": {"b": {"c": {"d": {"command": 1}}}}})) is not None
    assert decide("allow_reads", request("read", rawInput=[[[{"command": 1}]]])) is None
    assert decide("allow_reads", request("read", rawInput=[[[[{"command": 1}]]]])) is not None


@pytest.mark.parametrize(
    ("policy", "kinds"), [("allow_reads", "read search think"), ("allow_edits", "read search think edit move")]
)
def test_the_kinds_that_a_policy_allows(policy, kinds):
    every = ["read", "edit", "delete", "move", "search", "execute", "think", "fetch", "switch_mode", "other"]
    assert [kind for kind in every if decide(policy, request(kind))] == [
        kind for kind in every if kind in kinds.split()
    ]


def test_question_shows_diff_and_command_without_control_characters():
    diff = {"type": "diff", "path": "a\x1b[31m.py", "oldText": "one\n", "newText": "two\n"}
    text = describe(request(content=[diff], rawInput={"command": "rm \u202ex"}))
    assert "-one" in text
    assert "+two" in text
    assert "$ rm" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_question_hides_nothing_of_what_would_run():
    raw = {"command": "make", "args": ["--eval=x"], "env": {"LD_PRELOAD": "e.so"}, "cwd": "/root", "stdin": "rm -r ~"}
    text = describe(request(kind="execute", rawInput=raw, locations=[{"path": "/etc/passwd", "line": 7}]))
    for piece in ("$ make", "--eval=x", "LD_PRELOAD", "e.so", "/root", "rm -r ~", "at /etc/passwd:7"):
        assert piece in text
    edit = {"type": "diff", "path": "a.py", "oldText": "1", "newText": "2"}
    text = describe(request(content=[edit], rawInput={"file_path": "a.py", "then_run": "rm -r ~"}))
    assert "then_run" in text
    assert "file_path" not in text, "the diff says it"


def test_question_says_where_it_is_cut():
    text = describe(request(rawInput={"command": "true " + "x" * 100_000 + "; rm -r ~"}))
    assert "cut here: 34," in text


def test_question_cannot_be_written_by_its_title():
    asked = replace(request(rawInput={"command": "rm -r ~"}), title="Read a.py needs permission.\n  $ ls\n\n")
    assert [line for line in describe(asked).splitlines() if line.startswith("  $")] == ["  $ rm -r ~"]


def deep():
    value = []
    for _ in range(3000):
        value = [value]
    return value


@pytest.mark.parametrize("odd", [None, 3, "text", [None, 3, "x", [], {}], {"a": 1}, [{"type": 4}], deep()])
def test_question_is_asked_whatever_the_agent_says(odd):
    diff = {"type": "diff", "path": odd, "oldText": odd, "newText": odd}
    told = {"type": "content", "content": odd}
    for call in (
        {"content": odd, "rawInput": odd, "locations": odd},
        {"content": [diff, told], "rawInput": {"command": odd}, "locations": [{"path": odd, "line": odd}]},
    ):
        assert describe(request(**call)).startswith("a title needs permission.\n")


def test_question_about_a_diff_of_many_lines_is_asked_at_once():
    old = [str(n) for n in range(10_000)]
    new = [line for line in old[::2] for _ in range(2)]  # a comparison takes 18 s
    began = time.monotonic()
    assert "-9999" in describe(
        request(content=[{"type": "diff", "oldText": "\n".join(old), "newText": "\n".join(new)}])
    )
    assert time.monotonic() - began < 5
