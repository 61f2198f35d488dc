"""`sw.Search` without a page: what it finds, what it answers, and how it says that there may be more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

import session_widgets as sw
from session_widgets.errors import BadValue
from tests.analysis.stored import store_session, tool
from tests.support.waiting import until

pytestmark = pytest.mark.slow

SECRET = "sk-ant-api03-" + "A1b2" * 20


@pytest.fixture
def filled(home: Path) -> None:
    out = [{"type": "content", "content": {"type": "text", "text": f"connection refused {SECRET}"}}]
    store_session("one", "/w", *[tool("execute", {"command": f"curl {n}"}, "failed", content=out) for n in range(3)])
    store_session("two", "/w", tool("read", {"path": "/w/connection.py"}), error="connection lost")


def ask(search: sw.Search, op: str, **args: Any) -> Any:
    return search._operations()[op](args, ()).value


def test_its_hits_are_those_of_the_function(filled):
    search = sw.Search("connection", tool="execute")
    assert list(search.hits) == list(sw.search("connection", tool="execute"))
    assert len(search.hits) == 3
    assert search.hits.complete
    assert repr(search).startswith("Search('connection', 3 hits in 3 steps of 1 session")
    ask(search, "search", text="lost", regex=False, error=True, tool=None)
    assert [hit.session_id for hit in search.hits] == ["two"]
    ask(search, "search", text="")
    assert len(search.hits) == 0
    ask(search, "search", text="(", regex=True)
    with pytest.raises(BadValue, match="RE2"):
        len(search.hits)
    search.close()
    with pytest.raises(BadValue, match="RE2"):
        sw.Search("(", regex=True)
    with pytest.raises(BadValue, match="no filter"):
        sw.Search("a", tols="execute")


def test_a_page_receives_the_hits_and_whether_they_are_all(filled):
    search = sw.Search(limit=2)
    sent: list[dict[str, Any]] = []
    search.send = lambda message, buffers=None: sent.append(message)
    n = ask(search, "search", text="connection refused")["n"]
    found = search.hits
    assert not found.complete
    views = [message["search"] for message in sent if message["kind"] == "search"]
    assert [view["state"] for view in (views[0], views[-1])] == ["running", "over"]
    assert (views[-1]["more"], views[-1]["found"], views[-1]["asked"]["text"]) == ("limit", 2, "connection refused")
    [hits] = [message for message in sent if message["kind"] == "hits"]
    assert (hits["n"], hits["first"], len(hits["hits"]), hits["titles"]) == (n, 0, 2, {"one": None})
    ask(search, "more")
    assert len(search.hits) == 3
    assert search.hits.complete
    ask(search, "search", text="nowhere")
    assert len(search.hits) == 0
    last = sent[-1]["search"]
    assert (last["state"], last["reason"]) == ("over", None)
    assert last["steps"] == 7, "no hit is an answer too"
    choices = ask(search, "choices")
    assert (choices["sessions"], choices["harness"], choices["tool"]) == (2, ["demo"], ["execute", "read"])


def test_the_session_of_a_hit_is_played_back_beside_it(filled):
    search = sw.Search("curl 2")
    sent: list[dict[str, Any]] = []
    assert len(search.hits) == 1
    search.send = lambda message, buffers=None: sent.append(message)
    opened = ask(search, "open", n=1, hit=0)
    assert (opened["part"], opened["step"]) == ("1", (1, 3))
    message = {"kind": "part", "part": "1", "message": {"kind": "hello", "view": "v"}}
    search._receive(None, message, ())
    until(lambda: [one for one in sent if one["kind"] == "part"])
    view = sent[-1]["message"]["replay"]
    assert (view["id"], view["at"], view["step"]) == ("one", opened["seq"], (1, 3))
    rpc = {"kind": "rpc", "view": "v", "id": 1, "op": "moment", "args": {"seq": opened["seq"]}}
    search._receive(None, {"kind": "part", "part": "2", "message": rpc}, ())
    search._receive(None, {"kind": "part", "part": "1", "message": rpc}, ())
    reply = until(lambda: next((m["message"] for m in sent if m["message"]["kind"] == "reply"), None))
    assert reply["value"]["changed"]["tool"]["title"] == "call 2"
    with pytest.raises(BadValue, match="earlier search"):
        ask(search, "open", n=0, hit=0)
    search.close()


def test_a_saved_notebook_has_the_hits_without_secrets(filled):
    search = sw.Search("refused")
    assert len(search.hits) == 3
    InteractiveShell.instance()
    with capture_output() as shown:
        search._ipython_display_()
    live, saved = shown.outputs
    assert "application/vnd.jupyter.widget-view+json" in live.data
    html = saved.data["text/html"]
    assert "one/1/1" in html
    assert "refused" in html
    assert search.snapshot_id in html
    assert SECRET not in html
    assert saved.data["text/plain"] == repr(search)
