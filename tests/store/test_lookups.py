"""What sessions look up in the store: latest notes, requests and answers, and places to go on from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from session_widgets._store.database import Store
from session_widgets.errors import BadValue, SessionGone
from session_widgets.transcript.fold import Fold
from session_widgets.transcript.notes import AgentStopped, SandboxStopped, SessionChanged
from session_widgets.transcript.records import Draft, FileChange
from session_widgets.transcript.state import FoldState
from tests.store.importing import claude
from tests.store.story import Story
from tests.support.drafts import TS, chunk, derived, note, opened, update


@pytest.fixture
def story(store: Store) -> Story:
    return Story(store)


def test_the_latest_place_of_a_session(story: Story) -> None:
    store = story.store
    story.begin(1)
    assert (store.last_seq("s"), store.last_seq("t")) == (2, 0)
    assert store.events("s", limit=0) == []
    assert len(store.events("s", limit=1)) == 1
    with pytest.raises(BadValue) as caught:
        store.events("s", limit=-1)
    assert str(caught.value) == "limit must be None or a number of events from 0; got -1."


def test_the_latest_note_of_a_kind(story: Story) -> None:
    store = story.store
    assert store.last_note("s", SessionChanged) is None
    for title in ("one", "two"):
        story.note("session_changed", title=title)
    story.note("sandbox_started", ref="r")
    story.envelope("in", "x", "session_changed", None, title="of the agent")
    store.append("t", [note("session_changed", 1, title="of another session")])
    found = store.last_note("s", SessionChanged)
    assert isinstance(found, SessionChanged)
    assert found.title == "two"


def test_the_answer_that_was_stored_before_it_was_sent(store: Store) -> None:
    def answer(request: str, number: int, said: str, direction: str = "out") -> Draft:
        return Draft(direction, "response", json.dumps({"result": said}), request, number, 1, TS)  # type: ignore[arg-type]

    store.append(
        "s",
        [
            *(answer(f"{kind}:c1/{kind}", 1, kind) for kind in ("permission", "question", "refusal")),
            answer("permission:c1/twice", 1, "first"),
            answer("permission:c1/twice", 2, "second"),
            answer("permission:c1/came", 1, "from the agent", "in"),
            answer("other:c1/other", 1, "of another kind"),
        ],
    )
    for kind in ("permission", "question", "refusal"):
        assert store.sent_answer("s", f"c1/{kind}") == {"result": kind}
    assert store.sent_answer("s", "c1/twice") == {"result": "first"}
    for session, request in (("s", "c1/came"), ("s", "c1/other"), ("s", "c2/permission"), ("t", "c1/permission")):
        assert store.sent_answer(session, request) is None


def test_how_the_latest_agent_ended(story: Story) -> None:
    store = story.store
    assert store.agent_end("s") is None
    story.agent("c1")
    assert store.agent_end("s") is None
    story.note("agent_stopped", connection="c0", reason="of an earlier agent")
    assert store.agent_end("s") is None
    story.envelope("in", "x", "agent_stopped", None, connection="c1", reason="of the agent itself")
    assert store.agent_end("s") is None
    story.note("agent_stopped", connection="c1", reason="first")
    story.note("agent_stopped", connection="c1", reason="second")
    story.note("sandbox_stopped", ref="r", reason="third")
    found = store.agent_end("s")
    assert isinstance(found, AgentStopped)
    assert (found.connection, found.reason) == ("c1", "first")
    story.agent("c2")
    assert store.agent_end("s") is None, "another agent"
    story.note("sandbox_stopped", ref="r", reason="with its agent")
    end = store.agent_end("s")
    assert isinstance(end, SandboxStopped)
    assert end.reason == "with its agent"
    store.append("t", [note("agent_started", 1, connection="c1"), opened(2)])
    assert store.agent_end("t") is None, "what other sessions had is theirs"


def test_the_latest_prompt_of_a_turn(story: Story) -> None:
    store = story.store
    story.begin(1)
    assert store.sent_prompt("s", 1) is None
    story.envelope("out", "session/prompt", "request", 1, id=1, params={"prompt": ["first"]})
    story.envelope("out", "session/prompt", "request", 1, id=2, params={"prompt": ["again"]})
    story.envelope("in", "session/prompt", "response", 1, id=2, result={})
    story.envelope("out", "session/cancel", "notification", 1)
    story.envelope("out", "session/prompt", "request", 2, id=3, params={})
    assert store.sent_prompt("s", 1) == {"id": 2, "params": {"prompt": ["again"]}}
    assert store.sent_prompt("s", 3) is None
    assert store.sent_prompt("t", 1) is None


def test_the_settings_of_the_latest_agent(story: Story) -> None:
    store = story.store
    assert [event.kind for event in store.setting_events("s")] == []
    story.note("session_changed", title="before any agent")
    assert [event.seq for event in store.setting_events("s")] == [2]
    story.agent("c1")
    story.add(update("current_mode_update", 0, currentModeId="of the first"))
    story.agent("c2")
    began = story.number
    for kind in ("current_mode_update", "config_option_update", "available_commands_update", "plan"):
        story.add(update(kind, 0, turn=None, of=kind))
    for method in ("session/set_mode", "session/set_model", "session/set_config_option", "session/new"):
        story.envelope("out", method, "request", None, id=method)
    story.note("session_changed", title="x")
    story.note("turn_started", 1, prompt=[])
    found = store.setting_events("s")
    assert [event.seq - began for event in found] == [0, 1, 2, 3, 5, 6, 7, 9]
    assert found == [event for event in store.events("s") if event in found], "as they were stored"
    assert store.setting_events("t") == []


def test_a_fold_goes_on_from_the_end_or_repeats_a_turn(story: Story) -> None:
    store = story.store
    assert store.fold_state("t") == FoldState()
    for turn in (1, 2):
        story.agent(f"c{turn}")
        story.begin(turn)
        story.cost(turn, turn * 1.5)
        story.end(turn)
    whole = Fold("s")
    for event in store.events("s"):
        whole.feed(event)
    assert store.fold_state("s") == whole.state
    state, after = store.turn_begin("s", 2)
    fold = Fold("s", state)
    for event in store.events("s", after):
        fold.feed(event)
    assert after == 6
    assert fold.turn(2) == whole.turn(2) == store.turns("s")[1]
    for session, turn in (("s", 3), ("t", 1)):
        with pytest.raises(KeyError) as caught:
            store.turn_begin(session, turn)
        assert caught.value.args == (turn,)


def test_turns_and_their_files_and_steps(story: Story) -> None:
    store = story.store
    for turn, files in ((1, ["b", "a"]), (2, [])):
        story.begin(turn)
        story.add(chunk(0, f"said in {turn}", turn=turn))
        changed = [{"path": path, "change": "modified", "size": len(path) + turn} for path in files]
        story.note("turn_ended", turn, status="completed", files=changed)
    story.begin(3)
    story.add(chunk(0, "now", turn=3))
    assert [(turn.index, turn.status, turn.files) for turn in store.turns("s")] == [
        (1, "completed", (FileChange("b", "modified", 2), FileChange("a", "modified", 2))),
        (2, "completed", ()),
        (3, "running", ()),
    ]
    texts = [(step.turn, step.text) for step in store.steps("s")]
    assert texts == [(1, "go"), (1, "said in 1"), (2, "go"), (2, "said in 2"), (3, "go"), (3, "now")]
    for turn in (1, 3):
        assert [(step.turn, step.text) for step in store.steps("s", turn)] == [
            text for text in texts if text[0] == turn
        ]
    assert store.steps("s", 4) == store.steps("t") == store.turns("t") == []


def test_the_file_of_an_import(story: Story, tmp_path: Path) -> None:
    log = tmp_path / "a.jsonl"
    log.write_text(str(claude.story()))
    (imported,) = story.store.import_(log).sessions
    assert story.store.import_path(imported) == str(log)
    assert story.store.import_path("s") is story.store.import_path("t") is None
    turns = story.store.turns(imported)
    assert turns
    story.store.delete_session(imported)
    assert story.store.import_path(imported) is None
    assert story.store.turns(imported) == []
    assert list(story.store.import_(log).sessions) == [imported], "it can be imported again"
    assert story.store.turns(imported) == turns


def test_sessions_are_listed_by_their_latest_event(store: Store) -> None:
    for number, name in enumerate(("b", "a", "c")):
        store.append(name, [opened(title=name)])
        store.append(name, [chunk(1, turn=None)] if number else [])
    store.append("unopened", [chunk(1)])
    assert [(record.id, record.title) for record in store.sessions()] == [("a", "a"), ("b", "b"), ("c", "c")]
    assert store.session("unopened") is None
    found = store.session("a")
    assert found is not None
    assert (found.title, found.created_at) == ("a", TS)


def test_what_a_store_says_of_itself(store: Store) -> None:
    assert repr(store) == f"<Store {str(store.path)!r}>"
    assert store.home == store.path.parent
    assert store.closed is False
    store.close()
    assert store.closed is True


@pytest.mark.parametrize("bad", ["", "a/b"])
def test_a_bad_session_id_is_looked_up_nowhere(store: Store, bad: str) -> None:
    store.append("s", [opened(), note("turn_started", 2, turn=1, prompt=[]), note("turn_ended", 3, turn=1)])
    before = derived(store)
    calls: list[Callable[[], object]] = [
        lambda: store.last_seq(bad),
        lambda: store.last_note(bad, SessionChanged),
        lambda: store.kept_files(bad),
        lambda: store.sent_answer(bad, "c1/1"),
        lambda: store.agent_end(bad),
        lambda: store.sent_prompt(bad, 1),
        lambda: store.setting_events(bad),
        lambda: store.last_source_seq(bad, "k"),
        lambda: store.fold_state(bad),
        lambda: store.turn_begin(bad, 1),
        lambda: store.source(bad),
        lambda: store.fork_session(bad, 1, "f", []),
        lambda: store.fork_session("s", 1, bad, []),
        lambda: store.import_path(bad),
        lambda: store.export(bad, "atif", store.path.with_name("x")),
        lambda: store.export_preview(bad),
        lambda: store.to_html(bad, store.path.with_name("x")),
        lambda: store.rebuild(bad),
    ]
    for call in calls:
        with pytest.raises(BadValue, match="session id"):
            call()
    assert derived(store) == before


@pytest.mark.parametrize("redact", [True, False])
def test_a_session_is_exported_with_its_secrets_or_without(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redact: bool
) -> None:
    store = story.store
    story.begin(1)
    story.add(chunk(0, "it is correct-horse-battery", turn=1))
    story.end(1)
    monkeypatch.setenv("MY_KEY", "correct-horse-battery")  # since then
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store.export("s", "acp", "~/s.acp", redact=redact).path == tmp_path / "s.acp"
    assert store.to_html("s", str(tmp_path / "s.html"), redact=redact).path == tmp_path / "s.html"
    for name in ("s.acp", "s.html"):
        assert ("correct-horse-battery" in (tmp_path / name).read_text()) is not redact
    assert [len(store.export_preview("s", name)) > 0 for name in ("html", "acp")] == [True, True]
    assert store.export_preview("s")[0] == store.export_preview("s", "html")[0]


def test_a_session_that_is_not_there_cannot_be_exported(store: Store) -> None:
    for call in (lambda: store.export("s", "atif", store.path.with_name("x")), lambda: store.export_preview("s")):
        with pytest.raises(SessionGone):
            call()
