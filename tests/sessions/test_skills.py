"""Skills: stored with the session, copied to the harness's folder, without changing others."""

import shutil
import sys

import pytest

import session_widgets as sw
from session_widgets._sessions import skills as module
from session_widgets._sessions.skills import Skills, check_skills
from session_widgets.errors import BadValue


def make(folder, name="greeting", text="Say hello.", **files):
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(f"---\nname: {name}\ndescription: How to greet.\n---\n\n{text}\n")
    for path, content in files.items():
        (folder / path).write_text(content)
    return folder


@pytest.mark.parametrize("sandbox", ["local", pytest.param("docker", marks=pytest.mark.needs("docker"))])
def test_a_skill_is_put_where_the_harness_reads_it_and_stays(open_session, tmp_path, sandbox):
    folder = make(tmp_path / "any name", script="#!/bin/sh\necho hi\n")
    (folder / "script").chmod(0o755)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_text("x")
    session = open_session(skills=[folder], sandbox=sandbox)
    assert session.skills == ("greeting",)
    turn = session.send("run ./.agents/skills/greeting/script")
    assert turn.status == "completed"
    assert turn.files == ()
    assert [info.name for info in session.files.list(".agents/skills/greeting")] == ["SKILL.md", "script"]
    assert session.exec("./.agents/skills/greeting/script").out == "hi\n"
    (started,) = [event.payload for event in session.events() if event.kind == "agent_started"]
    assert started["skills"] == [".agents/skills/greeting"]


def test_a_session_that_is_opened_again_still_has_them(open_session, tmp_path, home):
    folder = make(tmp_path / "greeting")
    session = open_session(skills=[folder])
    (folder / "SKILL.md").unlink()  # it was copied
    session.send("say hi")
    sw.store().close()
    again = open_session()
    assert again.skills == ("greeting",)
    (again.workspace / ".agents/skills/greeting/SKILL.md").unlink()
    again.park()
    again.send("say hi")
    assert "Say hello." in (again.workspace / ".agents/skills/greeting/SKILL.md").read_text()
    again.delete()
    assert list((home / "skills").iterdir()) == []


def test_other_skills_replace_them_before_the_next_prompt(open_session, tmp_path):
    one = make(tmp_path / "one", "one")
    two = make(tmp_path / "two", "two")
    session = open_session(skills=[one])
    session.send("say hi")
    open_session(skills=[two])
    session.send("say hi")
    assert [path.name for path in (session.workspace / ".agents/skills").iterdir()] == ["two"]
    assert sum(event.kind == "agent_started" for event in session.events()) == 2
    session.send("say hi")
    assert sum(event.kind == "agent_started" for event in session.events()) == 2


def test_what_is_removed_by_halves_is_no_skill(tmp_path, monkeypatch):
    skills = Skills(tmp_path, "s1")
    skills.keep(check_skills([make(tmp_path / "greeting")]))
    assert skills.names == ("greeting",)
    monkeypatch.setattr(shutil, "rmtree", lambda _: sys.exit("killed"))
    with pytest.raises(SystemExit):
        skills.remove()
    assert (Skills(tmp_path, "s1").names, Skills(tmp_path, "s1").fingerprint) == ((), "")


def test_what_is_replaced_by_halves_is_the_old_or_the_new(tmp_path, monkeypatch):
    one, two = ([*check_skills([make(tmp_path / name, name)])] for name in ("one", "two"))
    Skills(tmp_path, "s1").keep(one)
    for place, step, kept in ((module, "write_private", "one"), (shutil, "rmtree", "two")):
        with monkeypatch.context() as patch:
            patch.setattr(place, step, lambda *_: sys.exit("killed"))
            with pytest.raises(SystemExit):
                Skills(tmp_path, "s1").keep(two)
        assert [skill.name for skill in Skills(tmp_path, "s1")._kept()] == [kept]
    Skills(tmp_path, "s1").keep(one)
    assert len(list((tmp_path / "skills" / "s1").iterdir())) == 2, "the index, and one folder"


def test_a_skill_of_the_workspaces_own_is_not_written_over(open_session, tmp_path):
    project = tmp_path / "project"
    own = make(project / ".agents/skills/greeting", text="Bow.")
    session = open_session(workspace=project, skills=[make(tmp_path / "greeting")])
    turn = session.send("say hi")
    assert turn.status == "failed"
    assert "of its own" in turn.error
    assert "Bow." in (own / "SKILL.md").read_text()
    (own / "SKILL.md").unlink()
    assert session.send("say hi").status == "completed"


@pytest.mark.parametrize("broken", ["none", "no head", "bad name", "link", "huge", "twice", "text"])
def test_what_is_no_skill_is_refused_and_nothing_is_created(open_session, tmp_path, broken):
    folder = tmp_path / "skill"
    if broken == "none":
        folder.mkdir()
    else:
        make(folder, "Bad Name" if broken == "bad name" else "greeting")
    if broken == "no head":
        (folder / "SKILL.md").write_text("Say hello.\n")
    if broken == "link":
        (folder / "secret").symlink_to("/etc/passwd")
    if broken == "huge":
        with (folder / "model.bin").open("wb") as file:
            file.truncate(1 << 40)
    given = {"twice": [folder, folder], "text": str(folder)}.get(broken, [folder])
    with pytest.raises(BadValue, match="skill"):
        open_session(skills=given)
    assert sw.store().session("s1") is None
