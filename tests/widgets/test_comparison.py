"""`sw.Compare` without a page: what it sends, and its saved view."""

from __future__ import annotations

import json
import queue

import pytest

import session_widgets as sw
from session_widgets._sessions.stored_files import latest_files
from session_widgets.errors import BadValue, SessionGone
from session_widgets.widgets import _base
from session_widgets.widgets._compare_html import compare_html
from session_widgets.widgets._comparison import Comparison
from tests.analysis.stored import edit, store_session, tool
from tests.support.drafts import update

pytestmark = pytest.mark.slow

READS = [tool("read", {"path": f"/w/{n}.py"}) for n in range(6)]
TESTS = tool("execute", {"command": "cd /w && pytest -q"})


@pytest.fixture
def runs(home):
    store_session("one", "/w", *READS, edit("/w", "x", "y"), TESTS)
    store_session("two", "/v", *[tool("read", {"path": f"/v/{n}.py"}) for n in range(6)], edit("/v", "x", "z"), size=4)
    return ["one", "two"]


def compared(*ids):
    return Comparison(sw.store(), ids)


def test_the_page_receives_runs_signs_and_divergences(runs):
    view = compared(*runs).view()
    assert view["signs"] == "======~!"
    assert {one["name"]: one["column"] for one in view["divergences"]} == {
        "action": 7,
        "file state": 6,
        "edit": 6,
        "outcome": None,
    }
    assert [run["missing"] for run in view["runs"]] == [False, False]
    by_label = {metric["label"]: metric for metric in view["metrics"]}
    assert (by_label["tool calls"]["values"], by_label["tool calls"]["differences"]) == (["8", "7"], ["", "-1"])
    assert json.dumps(view)


def test_cells_have_normalised_actions_and_what_was_said_before(runs):
    found = compared(*runs)
    (first,) = found.cells(0, 1)
    assert [(cell["title"], cell["said"], cell["said_kind"]) for cell in first if cell] == [("0.py", "go", "user")] * 2
    assert found.cells(7, 99)[0][1] is None
    assert found.cells(7, 99)[0][0]["title"] == "pytest -q"
    assert [len(one) for one in (found.cells(-5, 3), found.cells(8, 9), found.cells(3, 1))] == [3, 0, 0]
    assert [cell["title"] for cell in found.endings()] == ["completed", "completed"]


def test_every_step_is_in_one_column(runs):
    found = compared(*runs)
    for number, run in enumerate(found.runs):
        there = [step for column in range(len(found.signs) + 1) for step in found.steps(column)[number]]
        assert [(step["turn"], step["index"]) for step in there] == [(step.turn, step.index) for step in run.steps]
    for column in (-1, 9):
        with pytest.raises(BadValue, match="no column"):
            found.steps(column)
    for place in [(0, 1, 99), (7, 1, 0), (-1, 1, 0)]:
        with pytest.raises(BadValue, match="no step"):
            found.step(*place)


def test_a_missing_run_is_an_empty_column(runs):
    found = compared("one", "gone", "two")
    assert found.signs == compared(*runs).signs
    assert [run["missing"] for run in found.view()["runs"]] == [False, True, False]
    assert found.cells(0, 1)[0][1] is None
    assert found.steps(0)[1] == []
    assert "gone" in compared("one", "gone").problem
    assert compared("one", "gone").cells(0, 5) == []
    assert "two runs are needed" in compare_html(compared("one", "gone"), "ab")


def test_a_run_that_is_deleted_stays_as_it_was(runs):
    before = compared(*runs)
    files = before.files.view()
    sw.store().delete_session("one")
    after = Comparison(sw.store(), runs, before)
    assert [(run["missing"], run["deleted"]) for run in after.view()["runs"]] == [(False, True), (False, False)]
    assert (after.signs, after.view()["metrics"]) == (before.signs, before.view()["metrics"])
    sw.store().delete_session("two")
    again = Comparison(sw.store(), runs, after)
    assert (again.signs, again.files.view()) == (before.signs, files)
    assert [run["missing"] for run in compared(*runs).view()["runs"]] == [True, True]


def test_files_of_imports_are_what_edits_tell(home):
    write = {"file_path": "/w/new.py", "content": "a = 1\n"}
    store_session("one", "/w", tool("edit", write), edit("/w", "x", "y"))
    store_session("two", "/w", tool("edit", write | {"content": "a = 2\n"}), tool("delete", {"path": "/w/old.py"}))
    view = compared("one", "two").files.view()
    states = {row["path"]: [cell and (cell["state"], cell["group"]) for cell in row["cells"]] for row in view["rows"]}
    assert states == {
        "a.py": [("unknown", None), ("absent", None)],
        "new.py": [("kept", 0), ("kept", 1)],
    }
    assert view["sources"] == ["edits", "edits"]
    (number,) = [row["file"] for row in view["rows"] if row["path"] == "new.py"]
    assert [text["text"] for text in compared("one", "two").files.texts(number)] == ["a = 1\n", "a = 2\n"]
    with pytest.raises(BadValue, match="no file"):
        compared("one", "two").files.texts(-1)


def test_the_saved_view_is_bounded_and_harmless(home):
    hostile = "<script>alert(1)</script>\x1b[31m\u202e sk-ant-api03-" + "A1b2C3d4" * 12
    reads = [tool("read", {"path": f"/w/{n}-{'x' * 200}"}) for n in range(900)]
    store_session(
        "one", "/w", *reads, tool("execute", {"command": hostile}), edit("/w", "x", hostile), error=hostile * 9
    )
    store_session("two", "/w", *[tool("search", {"pattern": f"{n}"}) for n in range(900)])
    html = compare_html(compared("one", "two"), "0a")
    assert len(html.encode()) <= 150_000
    assert "900 lines" not in html
    assert "lines are left out" in html
    for bad in ("<script", "\x1b", "\u202e", "A1b2C3d4A1b2"):
        assert bad not in html
    assert 'data-sw-for="0a"' in html


def test_the_saved_view_has_all_that_a_reader_needs(runs):
    html = compare_html(compared(*runs), "0a")
    for words in ("6 equal steps", "step 7", "pytest -q", "tool calls", "8", "(-1)", "files at the end", "a.py"):
        assert words in html


def test_a_cell_shows_the_widget_and_a_saved_view_that_goes_on(runs, monkeypatch):
    shown, again = [], []
    monkeypatch.setattr(_base, "display", lambda data, **more: shown.append((data, more.get("display_id"))))
    monkeypatch.setattr(_base, "update_display", lambda data, **more: again.append((data, more["display_id"])))
    widget = sw.Compare(runs)
    widget._ipython_display_()
    (live, _), (saved, name) = shown
    assert live["text/plain"] == "", "an export without the widget prints nothing for it"
    assert f'data-sw-for="{name}"' in saved["text/html"]
    assert "edits part" in saved["text/html"]
    assert "edit a.py" in saved["text/plain"]
    store_session("two", "/v", tool("fetch", {"url": "http://x/"}))
    widget._look(whatever=True)
    assert again[0][1] == name
    widget.close()


class Wire:
    """The messages of a widget."""

    def __init__(self, widget):
        self.sent = queue.SimpleQueue()
        widget.comm.publish_msg = self._publish
        self._widget = widget

    def _publish(self, msg_type, data=None, **_):
        if msg_type == "comm_msg" and data["method"] == "custom":
            self.sent.put(data["content"])

    def post(self, **content):
        self._widget.comm.handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})

    def next(self):
        return self.sent.get(timeout=20)


def test_the_page_is_sent_what_goes_on_in_any_process(runs):
    widget = sw.Compare(runs)
    wire = Wire(widget)
    wire.post(kind="hello", view="v")
    assert (first := wire.next())["comparison"]["signs"] == "======~!"
    wire.post(kind="rpc", view="v", id=1, op="cells", args={"first": 6, "last": 7})
    assert wire.next()["value"][0][0]["title"] == "a.py"
    wire.post(
        kind="rpc", view="v", id=2, op="text", args={"run": 0, "turn": 1, "index": 0, "part": "body", "offset": 0}
    )
    assert wire.next()["value"]["text"] == "go"
    sw.store().append("two", [update("tool_call", 500, turn=2, toolCallId="x", title="t", kind="fetch")])
    wire.post(kind="ping")
    assert (again := wire.next())["n"] == first["n"] + 1
    assert again["comparison"]["signs"] == "======~!!"
    wire.post(kind="rpc", view="v", id=3, op="nothing", args={})
    assert "no operation" in wire.next()["error"]["message"]
    widget.close()


def test_ids_are_checked_at_once(runs):
    with pytest.raises(BadValue, match="2 to 8 different sessions"):
        sw.Compare(["one"])
    with pytest.raises(SessionGone, match="none of a, b"):
        sw.Compare(["a", "b"])
    assert [run["missing"] for run in sw.Compare(["one", "b"])._comparison.view()["runs"]] == [False, True]


def test_kept_files_are_read_without_opening_the_session(home):
    """A session of ours: its files, also those that a command changed, are compared by content."""
    for name, text in (("a", "one"), ("b", "two")):
        session = sw.open_session(name, permissions="allow_all")
        session.send(f"run echo {text} > made.txt\nwrite same.txt <<E\nthe same\nE")
        assert session.turns[-1].files_at_end
        session.park()
    assert "made.txt" in latest_files(sw.store(), sw.store().session("a"))
    widget = sw.Compare(["a", "b"])
    view = widget._comparison.files.view()
    assert view["sources"] == ["snapshot", "snapshot"]
    assert [(row["path"], row["same"]) for row in view["rows"]] == [("made.txt", False), ("same.txt", True)]
    assert [text["text"] for text in widget._comparison.files.texts(view["rows"][0]["file"])] == ["one\n", "two\n"]
    replay = sw.Replay("a")
    last = replay.moment(10**6)
    made = {file.path: file for file in last.files}["made.txt"]
    assert (made.state, made.text, made.reason) == ("known", "one\n", "kept"), "a replay has what was kept"
    wire = Wire(widget)
    wire.post(kind="hello", view="v")
    n = wire.next()["n"]
    sw.open_session("b").send("say more")
    seen = wire.next()
    assert seen["n"] > n, "an open session is followed without a ping"
    widget.close()
    first = Comparison(sw.store(), ["a", "b"])
    files = first.files.view()
    for name in ("a", "b"):
        sw.open_session(name).delete()
    last = Comparison(sw.store(), ["a", "b"], first)
    assert last.files.view() == files, "what the runs left is still compared after they are deleted"
