"""{local, docker, runner, e2b, ...} x {directory, sync, ...} x {warm, parked, ...}: files and memory survive.

A cell is green only if the host, by calls of its own, finds in the bucket what was acknowledged, byte for byte. CI runs
the cells that have each pair of values, `make nightly` all.
"""

from __future__ import annotations

import functools
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

import session_widgets as sw
from session_widgets._sandboxes.clouds import limits
from session_widgets._sessions import Session
from session_widgets.host.daemon import Daemon
from tests.matrix.page import DURABLE
from tests.matrix.pairwise import Cell, covering
from tests.standins.rented import CLOUDS, Rented, rented
from tests.support.boxes import Box
from tests.support.evidence import Evidence, in_bucket, in_directory
from tests.support.forked import Forked
from tests.support.kernels import Kernel, exactly_once
from tests.support.paths import ROOT

SANDBOXES = ("local", "docker", "runner", *CLOUDS)
ATTACHMENTS = ("directory", "sync", "fuse:s3fs", "fuse:weed")
EVENTS = ("warm", "parked", "killed", "switched")
ELSEWHERE = ("directory", "sync")
"""Attachments of a sandbox that shares no file with this machine: the kernel copies."""
NEEDS = {"docker": ["docker"], "runner": ["docker"], "fuse:s3fs": ["fuse", "s3fs"], "fuse:weed": ["fuse"]} | {
    name: ["boxes"] for name in CLOUDS
}
TIERS = {"warm": "warm", "parked": "resume", "killed": "load", "switched": "load"}

pytestmark = [pytest.mark.needs("seaweedfs"), pytest.mark.timeout(180)]


def cells() -> Iterator[Cell]:
    for sandbox in SANDBOXES:
        for attachment in ATTACHMENTS if sandbox in {"local", "docker"} else ELSEWHERE:
            for event in EVENTS:
                yield sandbox, attachment, event


IN_CI = {"-".join(cell) for cell in covering(cell for cell in cells() if cell[0] not in CLOUDS or cell[2] != "warm")}
"""In clouds each cell ends with a warm turn."""


def parameters() -> Iterator[object]:
    for sandbox, attachment, event in cells():
        target = NEEDS["docker"] if (sandbox, event) == ("local", "switched") else []
        wanted = NEEDS.get(sandbox, []) + NEEDS.get(attachment, []) + target
        marks = [pytest.mark.needs(name) for name in dict.fromkeys(wanted)]
        yield pytest.param(sandbox, attachment, event, marks=marks, id=f"{sandbox}-{attachment}-{event}")


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    """The machine of all sandboxes elsewhere."""
    with Box() as box:
        yield box


@pytest.fixture(scope="module")
def accounts(tmp_path_factory) -> Iterator[Callable[[str], Rented]]:
    """Returns the account at a vendor."""
    with ExitStack() as entered:
        yield functools.cache(lambda name: entered.enter_context(rented(name, tmp_path_factory.mktemp(name))))


@pytest.fixture
def elsewhere(request, sandbox, monkeypatch) -> Iterator[Box | Rented | None]:
    """The machine of a sandbox that is not on this one."""
    if sandbox == "runner":
        yield request.getfixturevalue("box")
    elif sandbox in CLOUDS:
        account = request.getfixturevalue("accounts")(sandbox)
        for name, value in account.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(limits, "SECONDS_BETWEEN", 0)
        yield account
        account.check()
    else:
        yield None


@pytest.mark.parametrize(("sandbox", "attachment", "event"), list(parameters()))
def test_files_and_memory_survive(forked: Forked, elsewhere, sandbox, attachment, event, lab, home, record_property):
    record_property(DURABLE, (sandbox, attachment, event, TIERS[event]))
    options = {"harness": "demo", "sandbox": sandbox, "permissions": "allow_all"}
    if elsewhere is not None:
        options |= {"sandbox": elsewhere.name, "token": elsewhere.token}
    if attachment != "directory":
        options |= {"workspace": lab, "attachment": attachment}
    session = sw.open_session("cell", **options)
    evidence = in_bucket(lab, "cell") if attachment != "directory" else in_directory(Path(session.location))
    try:
        token = secrets.token_hex(16)
        first = session.send(
            f"write deep/token.txt <<EOT\n{token}\nEOT\nrun chmod 755 deep/token.txt && ln -s token.txt deep/link"
        )
        check_durable(first, evidence, {"deep/token.txt": f"{token}\n".encode()})
        session = happen(forked, event, session, sandbox, elsewhere)
        second = session.send(
            "run cat deep/token.txt; test -x deep/token.txt && readlink deep/link\nwrite after.txt <<EOT\nsecond\nEOT"
        )
        assert second.status == "completed", second.error
        said = str([step.content for step in second.steps if step.kind == "tool_call"])
        assert token in said, "the agent does not find its file"
        assert "token.txt" in said, "the link or the mode is lost"
        check_durable(second, evidence, {"deep/token.txt": f"{token}\n".encode(), "after.txt": b"second\n"})
        assert second.tier == TIERS[event]
        memory = session.send("remember")
        assert "write deep/token.txt" in memory.text, "the agent does not remember the first turn"
        exactly_once(session.events())
        assert not any(value == b"" for name, value in evidence().items() if "token" in name), "degraded to 0 bytes"
    finally:
        session.delete()
        sw.store().close()
    assert evidence() == {}, "delete() left something behind"


def check_durable(turn: sw.Turn, evidence: Evidence, files: dict[str, bytes]) -> None:
    assert turn.status == "completed", turn.error
    assert turn.durability_error is None
    assert turn.durable_at is not None
    found = evidence()
    assert {path: found.get(path) for path in files} == files


def happen(forked: Forked, event: str, session: Session, sandbox: str, elsewhere: Box | Rented | None) -> Session:
    if event == "parked":
        session.park()
        assert session.status == "parked"
    elif event == "switched":
        session.switch(sandbox="docker" if sandbox == "local" else "local")
    elif event == "killed":
        kill_all(forked, session, elsewhere)
        session = sw.open_session("cell", permissions="allow_all")
        session.turns[-1].wait(60)
    return session


def kill_all(forked: Forked, session: Session, elsewhere: Box | Rented | None) -> None:
    """SIGKILL a kernel in mid-turn, with the runner, container or machine and the mounter under it."""
    ref, home = session._controller.state.record.sandbox_ref, session.store.home
    mounted = session.attachment.startswith("fuse:")
    session.detach()
    sw.store().close()
    kernel = Kernel(
        forked,
        """
s = sw.open_session("cell", permissions="allow_all")
turn = s.start("run touch begun && sleep 60")
while "begun" not in [file.name for file in s.files.list()]: time.sleep(0.05)
print(json.dumps("running"))
time.sleep(60)
""",
    )
    assert kernel.read() == "running"
    kernel.kill()
    provider, _, name = ref.partition(":")
    if elsewhere is not None:
        elsewhere.kill()
        elsewhere.start()
    elif provider == "docker":
        subprocess.run(["docker", "kill", f"session-widgets-{name}"], check=True, capture_output=True)
    else:
        record = json.loads((Path(home) / "sandboxes" / name / "process.json").read_text())
        os.kill(record["pid"], signal.SIGKILL)
    if mounted:
        mounter = Daemon(Path(home) / "mounts" / "cell").process()
        assert isinstance(mounter, psutil.Process), "the mounter has ended with the kernel"
        mounter.kill()


def test_the_matrix_refuses_to_pass_without_a_store(tmp_path):
    """Where no store can be had, the whole of it fails in a run that may leave nothing out."""
    hide = 'from tests.support import needs\nneeds.NEEDS["seaweedfs"] = needs.Need(lambda: None, "get one")\n'
    (tmp_path / "no_store.py").write_text(hide)
    run = [sys.executable, "-m", "pytest", "-p", "no_store", "-p", "no:cacheprovider", "-k", "survive", __file__]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}", "REQUIRE": "all", "PYTEST_ADDOPTS": ""}
    done = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "needs seaweedfs: get one" in done.stdout
    assert f"{len(IN_CI)} errors" in done.stdout
    assert " passed" not in done.stdout
