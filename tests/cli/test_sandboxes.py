"""`session-widgets sandboxes`: the list, and a sweep that removes only unreferenced sandboxes of this installation."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pexpect
import psutil
import pytest
from typer.testing import CliRunner

import session_widgets as sw
from session_widgets._sandboxes import SandboxSpec, conformance, get_provider
from session_widgets._sandboxes.docker_engine import engine
from session_widgets._sessions.loop import private_loop
from session_widgets.cli import app, sandbox_check
from session_widgets.cli.sandbox_option import sandbox_of
from session_widgets.model import SandboxRef
from tests.support.local_sandboxes import destroy_sandboxes

COMMAND = [str(Path(sys.executable).with_name("session-widgets")), "sandboxes"]
NO_DOCKER = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


@pytest.fixture
def cli(home, tmp_path, forked):
    """Run the command to its end; sessions and sandboxes are removed afterwards."""

    def cli(*arguments, env=None):
        return forked.command("sandboxes", *arguments, env=os.environ | {"COLUMNS": "200"} | (env or NO_DOCKER))

    yield cli
    for session in sw.store().sessions():
        sw.open_session(session.id).delete()
    destroy_sandboxes(home)
    destroy_sandboxes(tmp_path / "elsewhere")


def orphan(home, provider="local", session="forgotten") -> SandboxRef:
    """Make a sandbox that no session of the store refers to."""

    async def make():
        async def announce(_: SandboxRef) -> None:
            pass

        spec = SandboxSpec(session, str(home / "workspaces" / "forgotten"), {}, owner="tester@here")
        sandbox = await get_provider(provider, home).create(spec, announce)
        await sandbox.aclose()
        return sandbox.ref

    return private_loop().run(make())


def refs(home, provider="local") -> set[str]:
    async def look():
        return {str(info.ref) async for info in get_provider(provider, home).list()}

    return private_loop().run(look())


def test_list_tells_those_that_a_session_refers_to_from_the_others(cli, home):
    assert cli("list").stdout == "No sandboxes.\n"
    assert json.loads(cli("list", "--json").stdout) == []
    session = sw.open_session("one")
    session.exec("true")
    session.park()
    left = orphan(home, session="\x1b[31mred")
    rows = {row["session"]: row for row in json.loads(cli("list", "--json").stdout)}
    assert rows["one"].pop("seconds") > 0
    assert rows["one"] | {"created": None, "owner": None} == {
        "ref": sw.store().session("one").sandbox_ref,
        "session": "one",
        "running": False,
        "created": None,
        "owner": None,
        "deadline": None,
        "wanted": True,
        "working": False,
        "cost": None,
        "currency": None,
        "partial": False,
    }
    assert rows["\x1b[31mred"]["seconds"] is None, "the store knows nothing of it"
    assert (rows["\x1b[31mred"]["ref"], rows["\x1b[31mred"]["running"]) == (str(left), True)
    assert (rows["\x1b[31mred"]["owner"], rows["\x1b[31mred"]["wanted"]) == ("tester@here", False)

    done = cli("list")
    assert (done.returncode, "\x1b" in done.stdout) == (0, False)
    _, kept, other = done.stdout.splitlines()
    assert ("stopped" in kept, "no session" in kept) == (True, False)
    assert ("␛[31mred" in other, "running" in other, "no session refers to it" in other) == (True, True, True)
    (said,) = done.stderr.splitlines()
    assert said.startswith("not asked: docker, ")


def test_sweep_ends_what_no_session_refers_to_and_nothing_else(cli, home, tmp_path):
    sw.open_session("one").exec("true")
    known = sw.store().session("one").sandbox_ref
    left = str(orphan(home))
    other = str(orphan(tmp_path / "elsewhere"))

    tried = cli("sweep", "--dry-run")
    assert (tried.returncode, left in tried.stdout, known in tried.stdout) == (0, True, False)
    refused = cli("sweep")
    assert (refused.returncode, "--yes" in refused.stderr) == (1, True)
    assert refs(home) == {known, left}

    done = cli("sweep", "--yes")
    assert (done.returncode, f"removed {left}" in done.stdout) == (0, True)
    assert refs(home) == {known}
    assert refs(tmp_path / "elsewhere") == {other}
    assert sw.open_session("one").exec("echo alive").out == "alive\n"
    assert cli("sweep", "--yes").stdout == "Nothing to sweep: a session refers to each sandbox.\n"


def test_sweep_asks_in_a_terminal(cli, home):
    left = str(orphan(home))
    for answer, there in (("n", {left}), ("y", set())):
        child = pexpect.spawn(
            COMMAND[0], [*COMMAND[1:], "sweep"], encoding="utf-8", timeout=40, env=os.environ | NO_DOCKER
        )
        child.expect("Remove these 1, with every process in them")
        child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        assert (child.exitstatus, refs(home)) == (1 if there else 0, there)


def test_one_that_a_session_came_to_refer_to_while_it_was_asked_stays(cli, home):
    left = orphan(home, session="one")
    child = pexpect.spawn(COMMAND[0], [*COMMAND[1:], "sweep"], encoding="utf-8", timeout=40, env=os.environ | NO_DOCKER)
    child.expect("Remove these 1")
    session = sw.open_session("one")
    private_loop().run(session._controller.state.journal.commit([_started(left)]))
    child.sendline("y")
    child.expect("removed nothing")
    child.expect(pexpect.EOF)
    child.close()
    assert refs(home) == {str(left)}


def _started(ref):
    from session_widgets._sessions.journal import note
    from session_widgets.transcript.notes import SandboxStarted

    return note(SandboxStarted(ref=str(ref)))


@pytest.mark.needs("docker")
@pytest.mark.timeout(120)
def test_containers_are_listed_and_swept_and_those_of_another_home_are_not(cli, home, tmp_path):
    session = sw.open_session("one", sandbox="docker")
    session.exec("true")
    known = sw.store().session("one").sandbox_ref
    left = orphan(home, "docker")
    other = orphan(tmp_path / "elsewhere", "docker")
    try:
        rows = {row["ref"]: row for row in json.loads(cli("list", "--json", env=dict(os.environ)).stdout)}
        assert {ref: row["wanted"] for ref, row in rows.items()} == {known: True, str(left): False}
        done = cli("sweep", "--yes", env=dict(os.environ))
        assert (done.returncode, f"removed {left}" in done.stdout) == (0, True)
        assert refs(home, "docker") == {known}
        with engine() as docker:
            assert docker.containers.get(f"session-widgets-{other.id}").status == "running"
        assert session.exec("echo alive").out == "alive\n"
    finally:
        private_loop().run(get_provider("docker", home).destroy(left))
        private_loop().run(get_provider("docker", tmp_path / "elsewhere").destroy(other))


def test_options_of_run_are_those_of_a_sandbox():
    def made(*network, setup=()):
        return sandbox_of("docker", None, None, None, (), (), setup, network)

    assert made() == "docker"
    assert made("none") == sw.Sandbox("docker", network="none")
    assert made("open", setup=["true"]) == sw.Sandbox("docker", setup=["true"])
    assert made("a.test", "10.0.0.0/8") == sw.Sandbox("docker", network=["a.test", "10.0.0.0/8"])


@pytest.mark.needs("bwrap")
def test_run_says_what_a_sandbox_is_made_of(home, forked):
    def run(*arguments, **env):
        done = forked.command("run", "say hi", "--session", "one", *arguments, env={**os.environ, **env})
        return done.returncode, done.stderr

    assert "--sandbox docker" in run("--memory", "2g")[1]
    assert (
        "takes confine=, env=, idle=, mounts=, network= alone; got memory="
        in run("--sandbox", "local", "--memory", "2g")[1]
    )
    assert "SEED is not" in run("--sandbox", "local", "--env", "SEED")[1]
    assert "/of/this/machine:/inside" in run("--sandbox", "docker", "--mount", "/data")[1]
    assert "--sandbox local for --confine" in run("--confine")[1]
    assert run("--sandbox", "local", "--confine", "--env", "SEED", SEED="7") == (0, "")
    session = sw.open_session("one")
    assert session.exec("echo $SEED $HOME").out == "7 /run/session-widgets/home\n"
    session.delete()


def test_check_says_what_holds_and_leaves_nothing(home, monkeypatch):
    runners = []

    async def leaves_one(subject):
        """A sentence that is not true."""
        sandbox = await subject.provider.create(subject.spec(), subject.announce)
        runners.append(psutil.Process((await sandbox.runner.health())["pid"]))
        await sandbox.aclose()
        raise AssertionError("it is not")

    checks = (conformance.destroyed_is_gone, conformance.exit_code_is_a_result, leaves_one)
    monkeypatch.setattr(sandbox_check, "CHECKS", checks)
    done = CliRunner().invoke(app, ["sandboxes", "check", "local"])
    said = [line.split(maxsplit=3) for line in done.stdout.splitlines()]
    assert done.exit_code == 1
    assert [(words[0], words[3]) for words in said[:3]] == [
        ("yes", "A failing command raises nothing."),
        ("no", "A sentence that is not true."),
        ("yes", "`destroy` is idempotent, and `attach` raises `SandboxGone` afterwards."),
    ]
    assert "2 of 3 hold" in done.stdout
    assert "session-widgets: it is not" in done.stderr
    assert not runners[0].is_running() or runners[0].status() == psutil.STATUS_ZOMBIE


def test_check_of_a_provider_without_a_key_says_where_it_comes_from(cli, home):
    done = cli("check", "daytona", env={"DAYTONA_API_KEY": ""})
    assert (done.returncode, "set DAYTONA_API_KEY" in done.stderr) == (1, True)


def test_providers_are_listed_with_what_they_lack(cli, monkeypatch):
    for variable in ("E2B_API_KEY", "DAYTONA_API_KEY", "MODAL_TOKEN_ID"):
        monkeypatch.delenv(variable, raising=False)
    done = cli("providers", env=NO_DOCKER | {"COLUMNS": "80", "SESSION_WIDGETS_E2B_BOXES": "7"})
    assert done.returncode == 0, done.stderr
    table, _, missing = done.stdout.partition("\n\n")
    rows = {line.split()[0]: " ".join(line.split()) for line in table.splitlines()}
    assert rows["local"].startswith("local yes 0 confine env idle mounts network")
    assert rows["e2b"].startswith("e2b no 0 7 cpus env idle image lifetime memory")
    assert "e2b: sandbox='e2b' needs a key: set E2B_API_KEY" in missing, "whole, however narrow the terminal is"
    assert rows["docker"].startswith("docker no")
