"""`sw.Replay` without a page: what it takes, what it answers, how it follows."""

from __future__ import annotations

import json
import sys
from array import array
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

import session_widgets as sw
from session_widgets.errors import BadValue, SessionGone, StoreError
from session_widgets.replaying import MARKS
from session_widgets.widgets import _base, _playback
from tests.analysis.stored import edit, store_session, tool
from tests.support.drafts import note, update
from tests.support.paths import ROOT
from tests.support.waiting import until
from tests.transcript.script import Script
from tests.widgets.scripted import Scripted

IMPORTS = ROOT / "tests" / "fixtures" / "imports"


def ask(replay: sw.Replay, op: str, **args: Any) -> Any:
    return replay._operations()[op](args, ()).value


def numbers(replay: sw.Replay, **have: int) -> list[list[int]]:
    return [array("i", buffer).tolist() for buffer in replay._operations()["timeline"](have, ()).buffers]


@pytest.fixture
def stored(home: Path) -> str:
    write = tool("edit", {"file_path": "/w/a.py", "content": "one\ntwo\n"})
    store_session("parser", "/w", write, edit("/w", "two", "three"), tool("execute", {"command": "make"}, "failed"))
    return "parser"


def test_steps_are_annotated_from_the_page(stored):
    store, replay = sw.store(), sw.Replay(stored)
    assert ask(replay, "annotations") == {"annotations": [], "labels": []}
    store.annotate(f"{stored}/1/2", "known", author="somebody")
    said = ask(replay, "annotate", turn=1, step=1, label=" loop ", note="three times", until="1/3")
    mine = said["annotations"][0]
    assert {name: mine[name] for name in ("turn", "step", "until", "label", "note")} == {
        "turn": 1, "step": 1, "until": "1/3", "label": "loop", "note": "three times",
    }  # fmt: skip
    assert said["labels"] == ["known", "loop"]
    rows = store.sql("select step_uid, until_uid, label, note from v_annotations order by step").fetchall()
    assert rows == [("parser/1/1", "parser/1/3", "loop", "three times"), ("parser/1/2", None, "known", None)]
    for wrong in ({"label": ""}, {"label": "x", "until": "nonsense"}, {"label": "x", "until": "9/9"}):
        with pytest.raises(BadValue):
            ask(replay, "annotate", turn=1, step=1, **wrong)
    left = ask(replay, "unannotate", id=mine["id"])["annotations"]
    assert [(one["label"], one["author"]) for one in left] == [("known", "somebody")]


def test_a_session_in_no_store_is_not_annotated():
    replay = sw.Replay(IMPORTS / "mini_swe_agent" / "run.traj.json")
    assert ask(replay, "annotations") is None
    with pytest.raises(BadValue, match="is in no store"):
        ask(replay, "annotate", turn=1, step=1, label="x")


def test_a_stored_session_at_any_event(stored):
    replay = sw.Replay(stored)
    assert repr(replay) == "Replay('parser', 7 events, 4 steps)", "it has been read"
    assert replay.moment(5).count == 3
    first, last = ask(replay, "moment", seq=5, before=0), ask(replay, "moment", seq=6, before=5)
    assert [step["kind"] for step in last["rows"]] == ["user", "tool_call", "tool_call", "tool_call"]
    assert (first["same"], last["same"], last["first"]) == (0, 3, 0)
    assert [(file["path"], file["state"], file["now"]) for file in first["files"]] == [("a.py", "known", True)]
    assert [(file["path"], file["state"]) for file in last["files"]] == [("a.py", "unknown")]
    assert ask(replay, "file", seq=5, path="a.py")["text"] == "one\nthree\n"
    assert ask(replay, "file", seq=4, path="a.py")["text"] == "one\ntwo\n"
    assert [command["command"] for command in last["commands"]] == ["make"]
    assert [step["index"] for step in ask(replay, "rows", seq=6, first=1, last=2)] == [1, 2]
    assert ask(replay, "text", seq=5, turn=1, index=2, part="input", offset=0)["length"] > 0
    with pytest.raises(BadValue):
        ask(replay, "file", seq=3, path="a.py")
    with pytest.raises(KeyError):
        ask(replay, "text", seq=3, turn=1, index=2, part="input", offset=0)


def test_the_time_line_is_numbers_and_continues(stored):
    replay = sw.Replay(stored, at=1)
    clock, steps, marks, pauses = numbers(replay)
    assert (len(clock), pauses) == (7, [])
    assert steps[:6] == [1, 0, 3, 1, 1, 4]
    assert [MARKS[kind] for kind in marks[::4]] == ["prompt", "edit", "edit", "error"]
    assert numbers(replay, clock=5, steps=3, marks=4) == [clock[5:], steps[9:], [], []]


def test_a_step_is_found_by_its_uid(stored):
    assert sw.Replay(stored, at="parser/1/2").seq == sw.Replay(stored, at="1/2").seq == 5
    assert sw.Replay(stored, at=3).seq == 3
    for wrong in (99, "1/99", "nonsense", "x/y"):
        with pytest.raises(BadValue):
            sw.Replay(stored, at=wrong)


def test_a_replay_takes_ids_transcripts_and_files(stored):
    s = Script()
    assert sw.Replay(sw.Transcript("s", s.events)).moment(3).count == 1
    assert sw.Replay(sw.store().transcript(stored)).moment(9).seq == 7
    assert sw.Replay(sw.store().source(stored)).moment(9).seq == 7
    saved = sw.Replay(IMPORTS / "pi" / next((IMPORTS / "pi").iterdir()).name)
    assert saved.moment(10**6).count > 3
    with pytest.raises(BadValue, match="import it"):
        sw.Replay(str(IMPORTS / "gemini"))
    with pytest.raises(BadValue):
        sw.Replay(sw.Transcript("s", s.events[1:]))
    with pytest.raises(BadValue, match="got int"):
        sw.Replay(5)
    with pytest.raises(SessionGone):
        sw.Replay("nobody")


def test_an_import_is_replayed_and_its_steps_have_the_program_s_names(home):
    sw.store().import_(IMPORTS / "claude_code")
    [record] = sw.store().sessions()
    replay = sw.Replay(record.id)
    uid, turn, index = (
        sw.store()
        .sql(
            "select step_uid, turn, step from v_steps where session_id = ? and kind = 'tool_call' limit 1", [record.id]
        )
        .fetchall()[0]
    )
    replay.seek(uid)
    changed = replay.moment(replay.seq).changed
    assert changed is not None
    assert (changed.turn, changed.index) == (turn, index)


def test_a_line_of_an_import_that_made_several_steps_is_shown_at_each(home):
    sw.store().import_(IMPORTS / "swe_agent")
    replay = sw.Replay(sw.store().sessions()[0].id)
    assert replay._playback.wait(20)
    together = 0
    for turn, index in replay._playback.recording.keys:
        replay.seek(f"{turn}/{index}")
        place = replay._where()
        shown = ask(replay, "moment", seq=place.seq, before=0, step=place.step)["changed"]
        assert (shown["turn"], shown["index"]) == (turn, index)
        last = ask(replay, "moment", seq=place.seq, before=0)["changed"]
        together += (last["turn"], last["index"]) != (turn, index)
    assert together, "a line made several"


class Live:
    """A session that runs: an `EventSource`."""

    live = True

    def __init__(self, session: Scripted) -> None:
        self.session = session
        self.subscribe = session.subscribe

    @property
    def record(self):
        return self.session.record

    def events(self, after: int = 0, limit: int | None = None):
        return self.session.events[after : None if limit is None else after + limit]


def test_a_session_that_runs_is_followed(session: Scripted):
    session.begin("go")
    replay = sw.Replay(Live(session))
    told: list[dict[str, Any]] = []
    replay._playback._send = lambda message, _: told.append(message)
    replay._receive(None, {"kind": "hello", "view": "v"}, ())
    until(lambda: told and not told[-1]["replay"]["reading"])
    assert told[-1]["replay"]["at"] == told[-1]["replay"]["last"] == 2, "it begins with the latest event"
    session.say("more")
    until(lambda: told[-1]["replay"]["last"] == 3)
    replay.close()
    replay.close()
    session.say("later")
    assert replay.moment(9).seq == 3, "it is closed"


def first_message(replay: sw.Replay) -> tuple[dict[str, Any], list[bytes]]:
    """The answer to a page that has opened, once the session is read."""
    assert replay._playback.wait(20)
    sent: list[tuple[dict[str, Any], list[bytes]]] = []
    replay._playback._send = lambda message, buffers: sent.append((message, buffers))
    replay._receive(None, {"kind": "hello", "view": "v"}, ())
    until(lambda: sent)
    return sent[0]


def test_a_page_that_opens_is_sent_the_first_moment_and_the_time_line(stored):
    replay = sw.Replay(stored, at="1/2")
    message, buffers = first_message(replay)
    assert message["moment"] == ask(replay, "moment", seq=5, before=0, step=[1, 2])
    assert [array("i", buffer).tolist() for buffer in buffers] == numbers(replay)
    replay._playback.tell()
    replay.seek("1/1")
    assert first_message(replay)[0]["moment"]["seq"] == 4, "a page that opens later begins where the others are"


def test_the_first_message_is_small_however_long_the_session_is(monkeypatch):
    s = Script()
    for number in range(60):
        s.update("tool_call", toolCallId=f"{number}", title=f"call {number}", kind="execute", status="completed",
                 content=[{"type": "content", "content": {"type": "text", "text": f"{number} " * 15_000}}])  # fmt: skip
    replay = sw.Replay(sw.Transcript("s", s.events))
    replay.seek(replay.moment(10**6).seq)
    message, _ = first_message(replay)
    moment = message["moment"]
    assert len(json.dumps(message)) < 200_000
    assert [row["index"] for row in moment["rows"]] == list(range(moment["first"], 61))
    assert moment["rows"][-1] == moment["changed"]
    monkeypatch.setattr(_playback, "FIRST_BYTES", len(json.dumps(moment)))
    message, buffers = first_message(replay)
    assert (message["moment"], message["timeline"], buffers) == (moment, None, []), "the page requests it"
    monkeypatch.setattr(_playback, "FIRST_BYTES", 0)
    assert first_message(replay)[0]["moment"] is None


def test_kept_files_that_cannot_be_read_leave_what_the_transcript_tells(stored, monkeypatch):
    kept = {"turn": 1, "snapshot": "0" * 32 + "-1", "files": 1, "process": "k"}
    sw.store().append(
        stored, [replace(note("files_kept", 100), payload=json.dumps(kept))]
    )  # its turn is not the event's
    assert [one.snapshot for one in sw.store().kept_files(stored)] == [kept["snapshot"]]
    replay = sw.Replay(stored)
    assert [(file.path, file.state) for file in replay.moment(99).files] == [("a.py", "unknown")]

    def damaged(*_: Any) -> Any:
        raise StoreError("the file is damaged")

    monkeypatch.setattr(type(sw.store()), "kept_files", damaged)
    again = sw.Replay(stored)
    assert again.moment(99).seq == 8
    assert again._playback._error is None


def test_what_another_process_adds_is_read_when_the_page_asks(stored):
    replay = sw.Replay(stored)
    assert replay.moment(99).seq == 7
    drafts = [note("turn_started", 100, turn=2, prompt=[{"type": "text", "text": "more"}]), update("plan", 101, turn=2)]
    sw.store().append(stored, drafts)
    replay._receive(None, {"kind": "ping"}, ())
    until(lambda: replay.moment(99).seq == 9)


def test_a_saved_notebook_shows_the_steps_up_to_the_moment(stored):
    replay = sw.Replay(stored, at="1/1")
    InteractiveShell.instance()
    with capture_output() as shown:
        replay._ipython_display_()
    live, saved = shown.outputs
    assert "application/vnd.jupyter.widget-view+json" in live.data
    assert "call 0" in saved.data["text/html"]
    assert "call 1" not in saved.data["text/html"]
    assert replay.snapshot_id in saved.data["text/html"]
    assert saved.data["text/plain"] == repr(replay) == "Replay('parser', 7 events, 4 steps)"


@pytest.mark.parametrize("quick", [True, False])
def test_the_page_loads_while_the_session_is_read(session: Scripted, monkeypatch, quick: bool):
    session.begin("go")
    session.say("some words")
    session.end()
    shown: list[Any] = []
    renewed: list[Any] = []
    displayed = Event()

    class Slow(Live):
        live = False

        def events(self, after: int = 0, limit: int | None = None):
            assert displayed.wait(20)
            return super().events(after, limit)

    def display(data: Any, **_: Any) -> None:
        shown.append(data)
        if quick:
            displayed.set()

    monkeypatch.setattr(_base, "display", display)
    monkeypatch.setattr(_base, "update_display", lambda data, **_: renewed.append(data))
    monkeypatch.setattr(sys.modules[sw.Replay.__module__], "_PATIENCE", 20 if quick else 0)
    replay = sw.Replay(Slow(session))
    replay._ipython_display_()
    if quick:
        assert "some words" in shown[1]["text/html"]
        replay._on_read()
        assert not renewed, "it was drawn when the session had been read"
    else:
        assert "No messages yet" in shown[1]["text/html"]
        displayed.set()
        until(lambda: renewed)
        assert "some words" in renewed[0]["text/html"]
    assert len(shown) == 2
