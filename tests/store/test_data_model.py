"""The views: documented from the code, column by column, each with a query that runs; and what the derived ones say."""

from __future__ import annotations

import importlib.util
import shlex

import pytest

from session_widgets._store.database import Store
from session_widgets._store.views import DOCUMENTED, VIEWS, calls
from tests.store.story import Story
from tests.support.drafts import update
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

IMPORTS = ROOT / "tests" / "fixtures" / "imports"


@pytest.fixture
def story(store: Store) -> Story:
    """Two turns: a read, three runs of a test of which the last passes, a commit; an edit outside, a late call."""
    story = Story(store, harness="demo")
    story.agent("c1", cwd="/w/here")
    story.begin(1)

    def call(name: str, kind: str, status: str, *paths: str, turn: int = 1) -> None:
        where = [{"path": path} for path in paths]
        story.add(update("tool_call", 0, turn=turn, toolCallId=name, title=name, kind=kind, locations=where))
        story.add(update("tool_call_update", 0, turn=turn, toolCallId=name, status=status))

    def run(name: str, code: int, command: object = "pytest -k 'a b'") -> None:
        status = "failed" if code else "completed"
        story.add(update("tool_call", 0, toolCallId=name, title=name, kind="execute", status="in_progress",
                         rawInput={"command": command}))  # fmt: skip
        story.add(update("tool_call_update", 0, toolCallId=name, status=status,
                         _meta={"terminal_exit": {"exit_code": code}}, rawOutput={"exit_code": code}))  # fmt: skip

    call("r1", "read", "completed", "/w/here/src/a.py", "/w/here/src/b.py")
    run("e1", 1)
    call("w1", "edit", "completed", "/w/here/src/a.py")
    run("e2", 2)
    run("e3", 0, ["bash", "-lc", "pytest -q"])
    run("e4", 0, ["git", "commit", "-m", "two words"])
    story.note("turn_ended", 1, status="completed", files=[{"path": "src/a.py", "change": "modified", "size": 3}])
    story.begin(2)
    call("x1", "edit", "failed", "/etc/hosts", turn=2)
    story.add(update("tool_call", 0, turn=2, toolCallId="late", title="late", kind="execute", status="in_progress"))
    story.end(2, "cancelled")
    return story


def test_every_column_of_every_view_is_documented_and_every_example_runs(store: Store) -> None:
    store.import_(IMPORTS)
    assert len(VIEWS) == len(DOCUMENTED)
    for view in DOCUMENTED:
        found = store.sql(f"select * from {view.name}")
        assert sorted(view.names) == sorted(found.columns), view.name
        assert view.about
        store.sql(view.example, timeout=30)
    empty = {
        "v_events",
        "v_permissions",
        "v_prices",
        "v_sandboxes",
        "v_annotations",
        "v_scores",
        "v_success_matrix",
        "v_import_issues",
    }
    full = {view.name for view in DOCUMENTED if len(store.sql(f"select * from {view.name} limit 1"))}
    assert full == set(VIEWS) - empty


def test_the_page_is_made_from_the_code() -> None:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    assert (ROOT / "docs" / "data-model.md").read_text() == tables.data_model(), "make docs"


def test_a_tool_call_has_its_place_words_and_failure(story: Story) -> None:
    query = """select tool_call_id, failed, failure, exit_code, cwd, path_rel, paths, argv from v_tool_calls
               order by turn, step"""
    here, none = "/w/here", None
    assert story.rows(query) == [
        ("r1", False, none, none, here, "src/a.py", ["/w/here/src/a.py", "/w/here/src/b.py"], none),
        ("e1", True, "exit_code", 1, here, none, [], ["pytest", "-k", "a b"]),
        ("w1", False, none, none, here, "src/a.py", ["/w/here/src/a.py"], none),
        ("e2", True, "exit_code", 2, here, none, [], ["pytest", "-k", "a b"]),
        ("e3", False, none, 0, here, none, [], ["pytest", "-q"]),
        ("e4", False, none, 0, here, none, [], ["git", "commit", "-m", "two words"]),
        ("x1", True, "error", none, here, none, ["/etc/hosts"], none),
        ("late", False, "cancelled", none, here, none, [], none),
    ]


def test_files_are_those_that_changed_and_those_that_were_named(story: Story) -> None:
    query = "select turn, path, change, size, calls, reads, edits from v_files order by all"
    assert story.rows(query) == [
        (1, "src/a.py", "modified", 3, 2, 1, 1),
        (1, "src/b.py", None, None, 1, 1, 0),
        (2, "/etc/hosts", None, None, 1, 0, 1),
    ]


def test_a_chain_of_errors_ends_with_the_next_success(story: Story) -> None:
    query = """select turn, step, target, failure, failures, recovered_step, is_recovered from v_tool_error_chain
               order by all"""
    assert story.rows(query) == [
        (1, 2, "pytest", "exit_code", 2, 5, True),
        (2, 1, "/etc/hosts", "error", 1, None, False),
    ]


def test_the_time_line_is_in_order_and_has_the_gaps(story: Story) -> None:
    rows = story.rows("select what, label, seconds, idle_s from v_timeline order by began_at, turn, place, step")
    first, second = (["turn_started", "user", *["tool_call"] * calls, "turn_ended"] for calls in (6, 2))
    assert [what for what, *_ in rows] == [*first, *second]
    assert ("tool_call", "e1", 1.0, 1.0) in rows


def test_context_grows_and_shrinks(store: Store) -> None:
    story = Story(store)
    for turn, used in enumerate((100, 250, 40), 1):
        story.begin(turn)
        story.add(update("usage_update", 0, turn=turn, used=used, size=1000))
        story.end(turn)
    query = "select turn, context_tokens, context_size, growth from v_context_growth order by turn"
    assert story.rows(query) == [(1, 100, 1000, None), (2, 250, 1000, 150), (3, 40, 1000, -210)]


@pytest.mark.parametrize(
    "command",
    [
        "ls",
        "cd 'a b' && pytest -k \"x y\" --m=\"z w\"'q'",
        "echo a\\ b",
        "grep -rn 'it''s' .",
        "a\n  b\tc",
        "tar 'X'Y\"X\"",
        "",
    ],
)
def test_words_are_those_of_the_shell(store: Store, command: str) -> None:
    found = store.sql(f"select {calls.WORDS} from (select ? as command)", [command]).fetchall()
    assert found == [(shlex.split(command),)]
