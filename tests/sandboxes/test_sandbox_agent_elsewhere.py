"""Real sandbox-agent 0.4.2 servers that do not see this machine's data directory: the kernel copies the files."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

import session_widgets as sw
from session_widgets._harnesses.harness import Harness
from session_widgets._sandboxes import SandboxSpec, conformance, get_provider
from session_widgets._sandboxes.conformance import CHECKS, Subject
from session_widgets.errors import BadValue, SandboxError
from session_widgets.workspaces.file_tree import BulkTree
from tests.support.evidence import in_bucket, in_directory
from tests.support.holders import holders
from tests.support.kernels import Kernel, exactly_once
from tests.support.sandbox_agent import server as real
from tests.workspaces.of_file_tree import *  # noqa: F403

pytestmark = [pytest.mark.needs("sandbox-agent", "tmpfs"), pytest.mark.timeout(150)]

COMMAND = [sys.executable, "-P", "-m", "session_widgets.demo"]
DEMO = Harness(id="pi", command=("{python}", "-P", "-m", "session_widgets.demo"))
NOT_POSSIBLE = {
    conformance.machine_is_as_described: "it has its own harnesses, and no session-widgets",
    conformance.attach_finds_the_same_machine: "its health has no nonce",
    conformance.park_stops_and_attach_restores: "a server of somebody else is not ours to stop",
    conformance.list_names_its_own: "it is never parked",
}

PROCESSES = (
    conformance.exit_code_is_a_result,
    conformance.environment_reaches_commands,
    conformance.timeout_kills_everything_below,
    conformance.cancelling_kills_everything_below,
    conformance.endpoint_needs_its_token,
)
"""Checks of code that `test_sandbox_agent.py` tests as well."""
FILES = [check for check in CHECKS if check not in NOT_POSSIBLE and check not in PROCESSES]


class Machine:
    """A server in a mount namespace in which the kernel's data directory is empty."""

    def __init__(self, place: Path, hidden: Path) -> None:
        self.place, self.files, self.hidden = place, place / "box", hidden
        self.files.mkdir(parents=True)
        self._lives = 0
        self.start()

    def start(self) -> None:
        self._lives += 1
        server = self.place / f"server {self._lives}"
        server.mkdir()
        hide = f'mount -t tmpfs none "{self.hidden}" && exec "$0" "$@"'
        before = ("unshare", "--mount", "sh", "-c", hide)
        self._running = real.sandbox_agent(server, {"pi": COMMAND}, before=before)
        endpoint = self._running.__enter__()
        self.token = endpoint.headers["Authorization"].removeprefix("Bearer ")
        self.name = f"sandbox-agent:{endpoint.url}#{self.files}"

    def stop(self) -> None:
        self._running.__exit__(None, None, None)


@contextmanager
def another(tmp_path_factory):
    hidden = tmp_path_factory.mktemp("hidden")
    machine = Machine(tmp_path_factory.mktemp("machine"), hidden)
    try:
        yield machine
    finally:
        machine.stop()


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    with another(tmp_path_factory) as machine:
        yield machine
        assert list(machine.files.iterdir()) == [], "destroying a sandbox left something there"


@pytest.fixture
def subject(machine, tmp_path):
    home = tmp_path / "data"
    provider = get_provider(machine.name, home, machine.token)
    return Subject(provider, lambda: SandboxSpec("s1", str(tmp_path / "workspace"), {"pi": {}}))


@pytest.mark.parametrize("check", FILES, ids=lambda check: check.__name__)
async def test_conformance(check, subject, tmp_path):
    await check(subject)
    assert not (tmp_path / "workspace").exists(), "nothing is done on this machine"


@pytest.mark.nightly
@pytest.mark.parametrize("check", PROCESSES, ids=lambda check: check.__name__)
async def test_conformance_of_processes(check, subject):
    await check(subject)


@pytest.fixture
async def sandbox(subject):
    async with subject.sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def tree(sandbox):
    tree = sandbox.tree()
    yield tree
    tree.close()


@pytest.fixture
def root(sandbox):
    return Path(sandbox.workspace)  # this process sees it, as root of the test's own machine


del test_an_unchanged_file_is_not_hashed_again  # noqa: F821 - the program remembers its own hashes


def test_it_is_at_a_distance(tree):
    assert isinstance(tree, BulkTree)


async def test_a_long_file_and_a_long_input_come_in_pieces(sandbox, tmp_path):
    data = os.urandom(3_500_001)
    (tmp_path / "local").write_bytes(data)
    await sandbox.runner.upload(tmp_path / "local", "sub/up.bin")
    await sandbox.runner.download("sub/up.bin", tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == data
    assert await sandbox.read("sub/up.bin", 2_999_990, 20) == data[2_999_990:3_000_010]
    assert len(set((await sandbox.exec("md5sum; md5sum < sub/up.bin", stdin=data)).out.split()) - {"-"}) == 1
    left = [path.name for path in Path(sandbox.workspace).parent.iterdir()]
    assert [name for name in left if name.startswith("transfer")] == []


async def test_another_session_cannot_take_the_folder(subject):
    async with subject.sandbox() as sandbox:
        await sandbox.write("mine", b"x")
        other = SandboxSpec("s2", subject.spec().workspace, {"pi": {}})
        with pytest.raises(SandboxError, match="'s1' uses this workspace"):
            await subject.provider.create(other, subject.announce)
        assert await sandbox.read("mine") == b"x"


@pytest.mark.parametrize("directory", ["", "box", "~/box", "/a/../b"])
def test_directories_that_are_none(directory, tmp_path):
    with pytest.raises(BadValue, match="absolute directory"):
        get_provider(f"sandbox-agent:http://127.0.0.1:1#{directory}", tmp_path)


@pytest.mark.needs("seaweedfs")
@pytest.mark.parametrize("attachment", ["directory", pytest.param("sync", marks=pytest.mark.nightly)])
def test_files_and_memory_survive(machine, attachment, lab, home, forked):
    """Warm, after a killed kernel, and in another sandbox: the files are here after each turn."""
    place = {"workspace": lab} if attachment == "sync" else {}
    options = {"harness": DEMO, "permissions": "allow_all", **place}
    session = sw.open_session("cell", sandbox=machine.name, token=machine.token, **options)
    evidence = in_bucket(lab, "cell") if place else in_directory(Path(session.location))
    try:
        durable(session.send("write deep/one <<E\n1\nE\nrun chmod 755 deep/one; ln -s one deep/link; mkdir empty"))
        assert evidence()["deep/one"] == b"1\n"
        second = durable(session.send("write two <<E\n2\nE\nrun rm deep/one"))
        assert (second.tier, "deep/one" in evidence(), evidence()["two"]) == ("warm", False, b"2\n")
        session.files.write("mine", b"from here")
        assert session.send("read mine").status == "completed"
        session = killed(forked, session)
        assert evidence()["late"] == b"3\n"
        session.switch(sandbox="local")
        third = durable(session.send("run readlink deep/link; cat two mine\nremember"))
        assert "4 earlier turns" in third.text
        exactly_once(session.events())
        keys = os.environ.get("AWS_SECRET_ACCESS_KEY", "no key")
        assert holders(machine.place, keys) == []
    finally:
        session.delete()
        sw.store().close()
    assert evidence() == {}


KERNEL = """
demo = sw.Harness(id="pi", command=("{python}", "-P", "-m", "session_widgets.demo"))
s = sw.open_session("cell", harness=demo, permissions="allow_all")
turn = s.start("run touch begun; sleep 3\\nwrite late <<E\\n3\\nE")
while "begun" not in [file.name for file in s.files.list()]: time.sleep(0.05)
print(json.dumps("running"))
time.sleep(60)
"""


def killed(forked, session):
    """Let another kernel take the session, and kill it during its turn."""
    session.detach()
    sw.store().close()
    kernel = Kernel(forked, KERNEL)
    assert kernel.read() == "running"
    kernel.kill()
    again = sw.open_session("cell", harness=DEMO, permissions="allow_all")
    durable(again.turns[-1].wait(60))
    return again


def durable(turn):
    assert (turn.status, turn.error, turn.durability_error) == ("completed", None, None)
    assert turn.durable_at is not None
    return turn
