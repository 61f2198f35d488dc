"""Attacks on the runner from inside its container, as the agent's user."""

import json
import os
from pathlib import Path

import httpx
import pytest

from session_widgets._sandboxes import SandboxSpec, containers, get_provider
from session_widgets._sandboxes.conformance import Subject
from session_widgets._sandboxes.ownership import Account
from session_widgets.acp import AcpConnection

pytestmark = pytest.mark.needs("docker")

ATTACK = Path(__file__).with_name("attack.py").read_text()
REFUSED = {"EPERM", "EACCES"}
WHO = "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs)' /proc/self/status"
UID = os.getuid() or 1000


async def attack(sandbox, *kinds):
    """The outcome of each attack on a sandbox's runner."""
    done = await sandbox.exec(f'python3 -c "$ATTACK" {" ".join(kinds)}', env={"ATTACK": ATTACK})
    assert done.code == 0, done.err
    return json.loads(done.out)


@pytest.fixture
async def sandbox(tmp_path):
    """A container whose only agent reads one request, and reports its user."""
    agents = {"who": {"command": ["sh", "-c", f"read request; {WHO} >&2"]}}
    spec = SandboxSpec("s1", str(tmp_path / "workspace"), agents)
    async with Subject(get_provider("docker", tmp_path), lambda: spec).sandbox() as made:
        yield made


def has_no_right(status):
    """Whether a process of this status is the workspace's user, in no other group, without and beyond any right."""
    facts = dict(line.split(":", 1) for line in status.splitlines())
    assert set(facts["Uid"].split()) == set(facts["Gid"].split()) == {str(UID)}
    assert facts["Groups"].split() == []
    assert {int(facts[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    return facts["NoNewPrivs"].strip() == "1"


async def test_no_attack_on_the_runner_succeeds(sandbox):
    became = await attack(sandbox, "kill", "files")
    assert len(became) > 50
    assert {name: how for name, how in became.items() if how not in REFUSED} == {}
    assert (await sandbox.runner.health())["status"] == "ok"


async def test_commands_terminals_and_agents_are_the_workspaces_user_without_rights(sandbox):
    assert has_no_right((await sandbox.exec(WHO)).out)
    endpoint = await sandbox.endpoint()
    async with httpx.AsyncClient(base_url=endpoint.url, headers=endpoint.headers) as http:
        command = {"command": "sh", "args": ["-c", f"tty >> tty && {WHO} > who"], "tty": True}
        started = (await http.post("/v1/processes", json=command)).json()
        await http.get(f"/v1/processes/{started['id']}/logs?follow=true")  # until it ends
    assert (await sandbox.read("tty")).startswith(b"/dev/pts/")
    assert has_no_right((await sandbox.read("who")).decode())
    agent = AcpConnection(endpoint, "c1", "who")
    try:
        await agent.post({"jsonrpc": "2.0", "id": "1", "method": "initialize", "params": {}})
        said = [received.message async for batch in agent.batches() for received in batch]
    finally:
        await agent.close()
    assert has_no_right(said[-1]["params"]["stderr"])


async def test_the_runner_has_four_rights_and_opens_files_without_the_one_for_files(sandbox):
    pid = (await sandbox.runner.health())["pid"]
    status = dict(line.split(":\t") for line in (await sandbox.exec(f"cat /proc/{pid}/status")).out.splitlines())
    setuid, setgid, kill, dac_override = (1 << number for number in (7, 6, 5, 1))
    assert int(status["CapPrm"], 16) == int(status["CapBnd"], 16) == setuid | setgid | kill | dac_override
    assert int(status["CapEff"], 16) == setuid | setgid | kill
    assert status["Uid"].split() == ["0", "0", "0", str(UID)]


async def test_files_written_through_the_runner_are_the_workspaces_users(sandbox, tmp_path):
    await sandbox.write("a/b/c.txt", b"x")
    endpoint = await sandbox.endpoint()
    async with httpx.AsyncClient(base_url=endpoint.url, headers=endpoint.headers) as http:
        assert (await http.post("/v1/fs/mkdir?path=made")).status_code == 200
    made = [path for path in (tmp_path / "workspace").rglob("*") if path.name != "lost+found"]
    assert {path.name for path in made} == {"a", "b", "c.txt", "made"}
    assert {path.stat().st_uid for path in made} == {UID}
    assert (await sandbox.exec("chmod 000 a/b/c.txt && mkdir shut && chmod 000 shut")).code == 0
    async with httpx.AsyncClient(base_url=endpoint.url, headers=endpoint.headers) as http:
        for path in ("a/b/c.txt", "shut/new"):  # the runner opens no more than that user could
            assert (await http.put(f"/v1/fs/file?path={path}", content=b"y")).status_code in {200, 403}
        assert (await http.get("/v1/fs/file?path=a/b/c.txt")).status_code == 403


async def test_the_configuration_is_gone_once_it_is_read_and_a_restart_has_another(sandbox, tmp_path):
    place = tmp_path / "containers" / sandbox.ref.id
    assert not (place / "state" / "config.json").exists()
    with containers.engine() as docker:
        docker.containers.get(f"session-widgets-{sandbox.ref.id}").restart(timeout=2)
    provider = get_provider("docker", tmp_path)
    again = await provider.attach(sandbox.ref)
    assert (await again.runner.health())["status"] == "ok"
    assert (await again.endpoint()).headers != (await sandbox.endpoint()).headers
    assert not (place / "state" / "config.json").exists()
    await again.aclose()


async def test_with_one_user_for_both_the_runners_memory_is_closed_all_the_same(tmp_path, monkeypatch):
    """As a rootless engine has it: root inside is the user outside, and the container has no right at all."""
    account = Account(os.getuid(), os.getgid(), rootless=True)
    monkeypatch.setattr(containers, "container_account", lambda **_: account)
    spec = SandboxSpec("s1", str(tmp_path / "workspace"), {})
    async with Subject(get_provider("docker", tmp_path), lambda: spec).sandbox() as sandbox:
        became = await attack(sandbox)
        done = {name for name, how in became.items() if how not in REFUSED}
        harmless = {name for name in done if name.endswith((" of 1", " 1")) or name.startswith("read fd of ")}
        assert done - harmless == set()  # the first process keeps no secret, and numbers of open files are none
        status = (await sandbox.exec(WHO)).out
        assert status.count("0000000000000000") == 5
