"""Views of a session share one fold, and a stored session is viewed like a live one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from session_widgets.errors import SessionGone
from session_widgets.transcript.turn import TurnFold
from session_widgets.widgets._stream import Stream
from tests.support.waiting import until


def stream(source, *control):
    stream = Stream(source, lambda _: None, *control)
    stream.open()
    return stream


@pytest.mark.parametrize("views", [0, 1, 5])
def test_five_views_cost_one_fold(open_session, monkeypatch, views):
    session = open_session()
    session.send("say first")
    streams = [stream(session, session.control) for _ in range(views)]
    until(lambda: all(one.page()["steps"] for one in streams), what="the views")
    fed, feed = [], TurnFold.feed

    def counted(self, event, *rest):
        fed.append(event.seq)
        return feed(self, event, *rest)

    monkeypatch.setattr(TurnFold, "feed", counted)
    before = session.events()[-1].seq
    turn = session.send("stream 200")
    events = [event for event in session.events(before) if event.turn is not None]
    until(lambda: all(one.page()["turns"][-1]["status"] == "completed" for one in streams), what="the end in each view")
    monkeypatch.undo()
    assert len(fed) == 2 * len(events), "once in the transaction of the store, once for everybody who reads"
    for one in streams:
        assert next(one.steps()).text == turn.text
        one.close()


def test_a_session_that_is_opened_again_is_shown_from_its_beginning(open_session):
    first = "import session_widgets as sw; sw.open_session('s1').send('say first')"
    subprocess.run([sys.executable, "-c", first], check=True, timeout=50)
    again = open_session()
    assert not again.control.fold.whole
    view = stream(again, again.control)
    until(lambda: again.control.fold.whole and view.page()["steps"], what="the history")
    again.send("say second")
    until(lambda: len(view.page()["turns"]) == 2 and not view.running, what="the second turn")
    assert [step.text for step in reversed(list(view.steps()))] == ["say first", "first", "say second", "second"]
    view.close()


def test_a_view_reads_again_when_the_store_failed(open_session, monkeypatch):
    first = "import session_widgets as sw; sw.open_session('s1').send('say first')"
    subprocess.run([sys.executable, "-c", first], check=True, timeout=50)
    again = open_session()
    events, failures = type(again.store).events, [OSError("no space left on device")]

    def failing(*arguments, **options):
        if failures:
            raise failures.pop()
        return events(*arguments, **options)

    monkeypatch.setattr(type(again.store), "events", failing)
    view = stream(again, again.control)
    until(lambda: view.page()["steps"], what="the history")
    assert failures == []
    view.close()


def test_a_stored_session_is_viewed_like_a_live_one(open_session):
    session = open_session()
    session.send("say hello\nthink about it\nwrite a.txt x")
    live, stored = stream(session, session.control), stream(session.store.source("s1"))
    until(lambda: live.page()["steps"], what="the view")
    assert stored.page() == live.page()
    assert stored._facts.session() | {"agent": None, "root": "", "permissions": ""} == live._facts.session() | {
        "agent": None,
        "root": "",
        "permissions": "",
    }
    live.close()
    stored.close()
    with pytest.raises(SessionGone, match="no session 's2'"):
        session.store.source("s2")
