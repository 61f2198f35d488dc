"""A kernel killed at each step of opening, parking, switching and deleting: opening again repairs the leftovers."""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.kills.table import DOCKER, GIVEN, LOCAL, REMOTE, RESENT, S3FS, SANDBOX_AGENT, SOMETIMES, SYNC, Table
from tests.support.forked import Forked
from tests.support.forked_function import run
from tests.support.mid_turn import left_of
from tests.support.runner import TOKEN, RunnerProcess
from tests.support.sandbox_agent import server

OPERATIONS = ("open", "park", "switch", "fork", "delete")


class Chain:
    """Lives of kernels one after the other: each heals what the one before has left."""

    def __init__(self, forked: Forked, tmp_path: Path, operation: str, how: dict[str, Any]) -> None:
        self._forked = forked
        self._places = tmp_path
        self._operation = operation
        self._how = how
        self._home = str(tmp_path / "home 0")
        self._lives = 0
        self.met: set[str] = set()

    def live(self, step: str | None, after: str) -> None:
        """Let a kernel die before `step`."""
        before: str | None = None
        if self._operation == "open":
            self._lives += 1
            before, self._home = (self._home if self._lives > 1 else None), str(self._places / f"home {self._lives}")
        code, said = run(
            self._forked,
            "tests.kills.operations:life",
            home=self._home,
            session="s1",
            how=self._how,
            operation=self._operation,
            step=step,
            before=before,
        )
        self.met |= {one["met"] for one in said}
        assert code in {0, -signal.SIGKILL}, f"what was left by a kernel killed before {after!r} does not heal"
        assert code < 0 or step is None or step in SOMETIMES, f"the kernel did not come to {step!r}"

    def end(self, after: str) -> None:
        code, _ = run(self._forked, "tests.kills.operations:end", home=self._home, session="s1", how=self._how)
        assert code == 0, f"what was left by a kernel killed before {after!r} does not heal"


def check(chain: Chain, table: Collection[str], steps: Sequence[str]) -> None:
    after = ""
    for step in steps:
        chain.live(step, after)
        after = step
    chain.live(None, after)
    chain.end("the end of its work")
    assert sorted(chain.met | SOMETIMES.intersection(table)) == sorted(table)


def own(table: Table, operation: str) -> list[str]:
    """Return the steps for CI: a switch removes a sandbox as a deletion does."""
    return [step for step in table[operation] if operation != "switch" or step not in table["delete"]]


@pytest.fixture
def chain(
    forked: Forked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, dict[str, Any]], Chain]]:
    """Make a chain of an operation, and see that nothing is left after its end."""
    yield lambda operation, how: Chain(forked, tmp_path, operation, how)
    assert left_of(tmp_path, monkeypatch) == []


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let kernels find the sandbox-agent of the tests; to be asked for before `chain`."""
    server.binary().chmod(0o755)
    monkeypatch.setenv("SESSION_WIDGETS_SANDBOX_AGENT", str(server.binary()))


@pytest.fixture
def machine(chain: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Another machine: a runner that no kernel starts or ends. At the end it has no session and no file."""
    monkeypatch.setenv("SESSION_WIDGETS_RUNNER_TOKEN", TOKEN)
    runner = RunnerProcess(tmp_path / "box", claims=True, agents={})
    yield f"runner:{runner.url}"
    held, left = runner.http.get("/v1/session").status_code, list(runner.root.iterdir())
    runner.stop()
    assert (held, left) == (410, [])  # released, and empty


operations = pytest.mark.parametrize("operation", OPERATIONS)


@pytest.mark.timeout(600)
@operations
def test_local(operation, chain):
    check(chain(operation, {"sandbox": "local"}), LOCAL[operation], own(LOCAL, operation))


@pytest.mark.timeout(600)
def test_a_prompt_that_its_agent_did_not_live_to_receive(chain):
    """Until another agent is started; the rest is `test_warm_prompts.py`'s."""
    steps = RESENT[1 : RESENT.index("commit out initialize") + 1]
    check(chain("prompt", {"sandbox": "local"}), set(RESENT), [step for step in steps if step not in SOMETIMES])


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "operation",
    [
        "replace",
        pytest.param("switch", marks=pytest.mark.nightly),
        pytest.param("open", marks=pytest.mark.nightly),
        pytest.param("delete", marks=pytest.mark.nightly),
    ],
)
def test_given(operation, chain, tmp_path):
    """A session that has skills and values of an environment: what that adds."""
    skills = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "SKILL.md").write_text(f"---\nname: {name}\ndescription: None.\n---\n")
        skills.append(str(tmp_path / name))
    pairs = [{"skills": [skills[0]], "env": {"ONE": "1"}}, {"skills": [skills[1]], "env": {"TWO": "2"}}]
    whole = {*LOCAL.get(operation, ()), *GIVEN[operation]}
    check(chain(operation, {"sandbox": "local", "given": pairs}), whole, GIVEN[operation])


@pytest.mark.needs("docker", "root")
@pytest.mark.timeout(600)
@operations
def test_docker(operation, chain):
    """Where it differs from `local`."""
    steps = [step for step in own(DOCKER, operation) if step not in LOCAL[operation] or operation == "switch"]
    check(chain(operation, {"sandbox": "docker"}), DOCKER[operation], steps)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "operation",
    [
        pytest.param("open", marks=pytest.mark.nightly),
        pytest.param("switch", marks=pytest.mark.nightly),
        "delete",
    ],
)
def test_machine(operation, machine, chain):
    """Where it differs from `local`; a switch does all that parking does."""
    other = {*LOCAL[operation], *(REMOTE["switch"] if operation == "delete" else ())}
    steps = [step for step in REMOTE[operation] if step not in other]
    check(chain(operation, {"sandbox": machine}), REMOTE[operation], steps)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("operation", ["open", "park", "switch", "delete"])
def test_every_step_of_a_machine(operation, machine, chain):
    check(chain(operation, {"sandbox": machine}), REMOTE[operation], REMOTE[operation])


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_every_step_of_a_switch(chain):
    check(chain("switch", {"sandbox": "local"}), LOCAL["switch"], LOCAL["switch"])


@pytest.mark.nightly
@pytest.mark.needs("docker", "root")
@pytest.mark.timeout(1200)
@operations
def test_every_step_of_docker(operation, chain):
    check(chain(operation, {"sandbox": "docker"}), DOCKER[operation], DOCKER[operation])


@pytest.mark.nightly
@pytest.mark.needs("sandbox-agent")
@pytest.mark.timeout(1200)
@operations
def test_sandbox_agent(operation, program, chain):
    how = {"sandbox": "sandbox-agent", "harnesses": ["pi", "opencode"]}  # names that it knows
    check(chain(operation, how), SANDBOX_AGENT[operation], SANDBOX_AGENT[operation])


@pytest.mark.needs("seaweedfs")
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("attachment", "table"),
    [
        pytest.param("sync", SYNC, id="sync"),
        pytest.param("fuse:s3fs", S3FS, id="s3fs", marks=pytest.mark.needs("fuse", "s3fs")),
    ],
)
def test_opening_in_a_bucket_has_the_listed_effects(attachment, table, lab, chain):
    """Nothing is killed here: the night does it before each effect."""
    how = {"sandbox": "local", "workspace": lab, "attachment": attachment}
    check(chain("open", how), table["open"], ())


@pytest.mark.nightly
@pytest.mark.needs("seaweedfs")
@pytest.mark.timeout(1200)
@operations
def test_sync(operation, lab, chain):
    check(chain(operation, {"sandbox": "local", "workspace": lab}), SYNC[operation], SYNC[operation])


@pytest.mark.nightly
@pytest.mark.needs("seaweedfs", "fuse", "s3fs")
@pytest.mark.timeout(1200)
@operations
def test_mounted(operation, lab, chain):
    how = {"sandbox": "local", "workspace": lab, "attachment": "fuse:s3fs"}
    check(chain(operation, how), S3FS[operation], S3FS[operation])
