"""Sessions in a confined local sandbox: options, tools, memory."""

import pytest

import session_widgets as sw
from session_widgets.errors import BadValue, MissingDependency
from tests.sessions.calling import add, answers, notes
from tests.support.model.serving import script

CLOSED = sw.Sandbox("local", confine=True, network="none")
OPEN = sw.Sandbox("local", confine=True)

needs_bwrap = pytest.mark.needs("bwrap")


@needs_bwrap
def test_tools_memory_and_files_are_there_without_a_network_and_the_session_keeps_its_options(open_session, home):
    session = open_session(sandbox=CLOSED, tools=[add])
    turn = session.send('tool add {"a": 40}\nrun echo made > file\nremember apples')
    assert answers(turn)[0] == ("completed", "42")
    assert [change.path for change in turn.files] == ["file"]
    assert turn.durable_at is not None
    assert (session.workspace / "file").read_text() == "made\n"
    assert [note.payload["ok"] for note in notes(session)] == [True]
    session.park()
    again = open_session()
    assert again.send("recall").tier == "resume"
    assert str(home) not in again.exec("ls -d ~; cat /proc/net/route").out
    assert sw.store().session("s1").confine
    open_session(sandbox=sw.Sandbox("local"))
    assert again.exec(f"ls -d '{home}'").out == f"{home}\n"
    assert not sw.store().session("s1").confine


REFUSED = [
    ({"sandbox": sw.Sandbox("local", mounts={"/usr": "/data"})}, "mounts= of 'local' need confine=True"),
    ({"sandbox": sw.Sandbox("local", network="none")}, "network= of 'local' need confine=True"),
    ({"sandbox": OPEN, "workspace": "/"}, "hides the data directory"),
    ({"sandbox": OPEN, "workspace": "/var"}, "has a /var of its own"),
    ({"sandbox": sw.Sandbox("docker", confine=True)}, "confine= is an option of 'local'"),
]


@needs_bwrap
@pytest.mark.parametrize(("options", "words"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_cannot_be_confined_is_refused_before_anything_is_stored(open_session, home, options, words):
    with pytest.raises(BadValue, match=words):
        open_session(**options)
    assert sw.store().session("s1") is None


@pytest.mark.parametrize(("platform", "words"), [("linux", "needs the program bwrap"), ("darwin", "needs Linux")])
def test_a_machine_that_cannot_confine_says_what_to_install(open_session, monkeypatch, tmp_path, platform, words):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("session_widgets._sandboxes.confinement.sys.platform", platform)
    with pytest.raises(MissingDependency, match=words):
        open_session(sandbox=OPEN)
    assert sw.store().session("s1") is None


@pytest.mark.needs("bwrap", "harnesses", "model")
@pytest.mark.timeout(120)
def test_a_real_harness_reaches_its_model_alone_and_remembers(open_session, model):
    session = open_session(harness="claude", sandbox=CLOSED, tools=[add])
    turn = session.send(script({"call": ["mcp__notebook__add", {"a": 40}]}, {"text": "done"}))
    assert (turn.status, turn.error) == ("completed", None)
    assert "42" in model.heard
    session.park()
    turn = session.send(script({"text": "again"}))
    assert (turn.status, turn.tier) == ("completed", "resume")
