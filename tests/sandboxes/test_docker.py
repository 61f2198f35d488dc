"""The docker provider: the contract, and its own features."""

import asyncio
import fcntl
import io
import os
import stat
import tarfile
import threading

import httpx
import psutil
import pytest
from docker.errors import APIError
from docker.models.containers import Container

from session_widgets._harnesses import catalog
from session_widgets._harnesses.harness import RuntimePaths
from session_widgets._sandboxes import SandboxSpec, get_provider
from session_widgets._sandboxes.conformance import CHECKS, Subject
from session_widgets._sandboxes.docker_engine import engine
from session_widgets._sandboxes.images import _BASE, base_argument, build, build_context, ensure_image
from session_widgets._sandboxes.sweep import sweep
from session_widgets.acp import AcpConnection
from session_widgets.errors import SandboxError, SandboxGone
from tests.support.holders import holders
from tests.support.waiting import until_async

pytestmark = pytest.mark.needs("docker")

FORK_UNTIL_REFUSED = """
import subprocess
born = []
try:
    while len(born) < 700:
        born.append(subprocess.Popen(["sleep", "30"]))
except BlockingIOError:
    pass
for process in born:
    process.kill()
print(len(born))
"""


def spec(home, **options):
    return SandboxSpec("s1", str(home / "a workspace: é"), **({"agents": {}} | options))


@pytest.fixture
def subject(tmp_path):
    return Subject(get_provider("docker", tmp_path), lambda: spec(tmp_path))


def inspect(ref):
    with engine() as docker:
        return docker.api.inspect_container(f"session-widgets-{ref.id}")


def change(ref, what, **options):
    """Do something to a container behind the provider's back."""
    with engine() as docker:
        getattr(docker.containers.get(f"session-widgets-{ref.id}"), what)(**options)


def bound_to(home):
    """The containers that hold something of this home."""
    with engine() as docker:
        found = docker.api.containers(all=True)
    return [c["Names"] for c in found if any(m.get("Source", "").startswith(f"{home}/") for m in c["Mounts"])]


async def listed(provider):
    return [(info.ref, info.running) async for info in provider.list()]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(check, subject):
    await check(subject)


async def test_limits_are_set_and_rights_are_dropped(subject):
    async with subject.sandbox() as sandbox:
        host = inspect(sandbox.ref)["HostConfig"]
        assert (host["Memory"], host["MemorySwap"], host["PidsLimit"]) == (4 << 30, 4 << 30, 512)
        assert 0 < host["NanoCpus"] <= 2_000_000_000
        assert not any(host[name] for name in ("Privileged", "Devices"))
        assert (host["CapDrop"], set(host["CapAdd"])) == (["ALL"], {"SETUID", "SETGID", "KILL", "DAC_OVERRIDE"})
        assert host["RestartPolicy"]["Name"] in {"", "no"}
        assert host["LogConfig"]["Config"] == {"max-size": "1m", "max-file": "2"}
        born = await sandbox.exec('python3 -c "$SCRIPT"', env={"SCRIPT": FORK_UNTIL_REFUSED})
        assert 300 < int(born.out) < 512
        assert (await sandbox.runner.health())["status"] == "ok"


async def test_files_have_one_owner_on_both_sides(subject, tmp_path):
    workspace = tmp_path / "a workspace: é"
    workspace.mkdir()
    (workspace / "ours").write_text("from the kernel")
    async with subject.sandbox() as sandbox:
        assert (await sandbox.exec("echo more >> ours && mkdir made && touch made/theirs")).code == 0
        uid = os.getuid() or 1000
        assert {path.stat().st_uid for path in [workspace, *workspace.rglob("*")]} == {uid}
        await subject.provider.park(sandbox.ref)
        (workspace / "later").write_text("from the kernel, while it was parked")
        again = await subject.provider.attach(sandbox.ref)
        assert (await again.exec("echo more >> later")).code == 0
        await again.aclose()


async def test_the_token_is_in_one_private_file_and_nowhere_else(subject, tmp_path):
    async with subject.sandbox() as sandbox:
        token = (await sandbox.endpoint()).headers["authorization"].removeprefix("Bearer ")
        assert token not in str(inspect(sandbox.ref))
        with engine() as docker:
            container = docker.containers.get(f"session-widgets-{sandbox.ref.id}")
            assert token.encode() not in container.logs()
            inside = [psutil.Process(int(row[1])) for row in container.top()["Processes"]]
        assert any("session_widgets.runner" in process.cmdline() for process in inside)
        for process in inside:
            assert not any(token in word for word in [*process.cmdline(), *process.environ().values()])
        (holder,) = holders(tmp_path, token)
        assert holder.name == "runner.json"
        assert stat.S_IMODE(holder.stat().st_mode) == 0o600
        assert stat.S_IMODE(holder.parent.stat().st_mode) == 0o700


async def test_ports_are_open_on_loopback_alone(tmp_path):
    with_port = Subject(get_provider("docker", tmp_path), lambda: spec(tmp_path, ports=(8000,)))
    async with with_port.sandbox() as sandbox:
        port = int((await sandbox.endpoint()).url.rpartition(":")[2])
        listening = {c.laddr.ip for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr.port == port}
        assert listening == {"127.0.0.1"}
        serve = "echo page > index.html; (python3 -m http.server 8000 >/dev/null 2>&1 &)"
        assert (await sandbox.exec(f"{serve}; until curl -s 127.0.0.1:8000; do sleep 0.05; done")).out == "page\n"
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get((await sandbox.endpoint(8000)).url)).text == "page\n"
        with pytest.raises(SandboxError, match=r"does not publish port 8001: name it.*ports=\[8001\]"):
            await sandbox.endpoint(8001)


async def test_removed_behind_our_back_is_gone(subject, tmp_path):
    async with subject.sandbox() as sandbox:
        await sandbox.write("note", b"kept")
        change(sandbox.ref, "remove", force=True)
        with pytest.raises(SandboxGone):
            await subject.provider.attach(sandbox.ref)
        await subject.provider.park(sandbox.ref)
        assert await subject.provider.destroy(sandbox.ref) is False
        assert await listed(subject.provider) == []
        assert (tmp_path / "a workspace: é" / "note").read_bytes() == b"kept"


async def test_a_killed_container_starts_again_with_its_journals(tmp_path):
    provider = get_provider("docker", tmp_path)
    python = (await provider.machine(str(tmp_path))).python
    agents = {"demo": catalog.get("demo").entry("/workspace", RuntimePaths(python))}
    subject = Subject(provider, lambda: spec(tmp_path, agents=agents))
    async with subject.sandbox() as sandbox:
        await sandbox.write("note", b"kept")
        first = await said(sandbox, ask=True)
        assert b"agentInfo" in first
        change(sandbox.ref, "kill")
        again = await subject.provider.attach(sandbox.ref)
        assert await again.read("note") == b"kept"
        assert (await again.endpoint()).headers != (await sandbox.endpoint()).headers
        assert await said(again, ask=False) == first
        await again.aclose()


async def said(sandbox, *, ask):
    """The first envelope of the agent, after `initialize` if it is to be asked."""
    connection = AcpConnection(await sandbox.endpoint(), "c1", "demo")
    if ask:
        parameters = {"protocolVersion": 1, "clientCapabilities": {}}
        await connection.post({"jsonrpc": "2.0", "id": "one", "method": "initialize", "params": parameters})
    async for batch in connection.batches():
        await connection.detach()
        return batch[0].raw
    raise AssertionError("the stream ended")


async def test_a_paused_container_goes_on(subject):
    async with subject.sandbox() as sandbox:
        change(sandbox.ref, "pause")
        again = await subject.provider.attach(sandbox.ref)
        assert (await again.runner.health())["nonce"] == (await sandbox.runner.health())["nonce"]
        await again.aclose()


async def test_a_runner_that_hangs_is_started_again(subject, monkeypatch):
    monkeypatch.setattr("session_widgets._sandboxes.docker.HEALTH_SECONDS", 1)
    async with subject.sandbox() as sandbox:
        before = await sandbox.runner.health()
        suspend_runner(sandbox.ref)
        again = await subject.provider.attach(sandbox.ref)
        assert (await again.runner.health())["nonce"] != before["nonce"]
        await again.aclose()


def suspend_runner(ref):
    with engine() as docker:
        rows = docker.containers.get(f"session-widgets-{ref.id}").top()["Processes"]
    runner = next(int(row[1]) for row in rows if "session_widgets.runner" in row[-1] and "tini" not in row[-1])
    psutil.Process(runner).suspend()


@pytest.mark.parametrize("delay", [0, 0.05, 0.15, 0.3, 0.5])
async def test_a_cancelled_create_leaves_nothing(subject, tmp_path, delay):
    creating = asyncio.create_task(subject.provider.create(subject.spec(), subject.announce))
    await until_async(lambda: subject.announced)
    await asyncio.sleep(delay)
    creating.cancel()
    done = (await asyncio.gather(creating, return_exceptions=True))[0]
    if not isinstance(done, BaseException):  # it was quicker
        await done.aclose()
        await subject.provider.destroy(done.ref)
    assert bound_to(tmp_path) == []
    assert await listed(subject.provider) == []


async def test_an_image_without_a_runner_is_reported_and_leaves_nothing(subject, tmp_path, monkeypatch):
    monkeypatch.setenv("SESSION_WIDGETS_IMAGE", "debian:bookworm-slim")
    with pytest.raises(SandboxError, match="did not answer"):
        await subject.provider.create(subject.spec(), subject.announce)
    assert bound_to(tmp_path) == []
    assert await listed(subject.provider) == []


async def test_sweep_removes_only_unreferenced_sandboxes(subject, tmp_path):
    elsewhere = Subject(get_provider("docker", tmp_path / "other"), lambda: spec(tmp_path / "other"))
    async with subject.sandbox() as wanted, subject.sandbox() as orphan, elsewhere.sandbox() as stranger:
        (tmp_path / "containers" / orphan.ref.id / "sandbox.json").unlink()
        assert {ref for ref, _ in await listed(subject.provider)} == {wanted.ref, orphan.ref}
        swept = await sweep(subject.provider, lambda info: info.ref == wanted.ref)
        assert [(info.ref, info.session_id) for info in swept] == [(orphan.ref, "s1")]
        assert await listed(subject.provider) == [(wanted.ref, True)]
        assert (await stranger.runner.health())["status"] == "ok"
        assert await subject.provider.destroy(stranger.ref) is False
        assert (await stranger.runner.health())["status"] == "ok"


def test_a_build_that_fails_shows_the_end_of_its_output():
    told = []
    broken = {"Dockerfile": b"FROM debian:bookworm-slim\nRUN : try it; echo this is the reason; exit 3\n"}
    with engine() as docker, pytest.raises(SandboxError, match="this is the reason"):
        build(docker, "session-widgets-broken", broken, {}, told.append, threading.Event())
    assert told[-1] == "Building the sandbox image, step 2 of 3: try it"


def test_the_base_is_pinned_unless_it_was_made_on_this_machine():
    assert _BASE.search(build_context()["Dockerfile"].decode()), "the base has no digest"
    dockerfile = f"ARG BASE=session-widgets-own-base:1@sha256:{'0' * 64}\nFROM ${{BASE}}\n"
    told = []
    with engine() as docker:
        assert base_argument(docker, dockerfile) == {}
        with pytest.raises(SandboxError, match="session-widgets-own-base"):  # no other base takes its place
            build(docker, "session-widgets-based", {"Dockerfile": dockerfile.encode()}, {}, print, threading.Event())
        with tarfile.open(fileobj=(data := io.BytesIO()), mode="w") as tar:
            tar.addfile(tarfile.TarInfo("here"))
        docker.api.import_image_from_data(data.getvalue(), repository="session-widgets-own-base", tag="1")
        try:
            assert base_argument(docker, dockerfile) == {"BASE": "session-widgets-own-base:1"}
            content = {"Dockerfile": f"{dockerfile}LABEL a=b\n".encode()}
            build(docker, "session-widgets-based", content, {}, told.append, threading.Event())
            docker.images.remove("session-widgets-based")
        finally:
            docker.images.remove("session-widgets-own-base:1")


def test_a_failed_pull_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("SESSION_WIDGETS_IMAGE", "127.0.0.1:1/nothing:1")
    told = []
    with engine() as docker, pytest.raises(SandboxError, match=r"127\.0\.0\.1:1/nothing:1.*could not be pulled"):
        ensure_image(docker, tmp_path / "lock", told.append, threading.Event())
    assert told[0] == "Pulling the sandbox image 127.0.0.1:1/nothing:1"


def test_one_process_at_a_time_makes_the_image(tmp_path, monkeypatch):
    monkeypatch.setenv("SESSION_WIDGETS_IMAGE", "127.0.0.1:1/nothing:1")
    cancelled = threading.Event()

    def tell(text):
        assert "another process" in text
        cancelled.set()

    with (tmp_path / "lock").open("w") as lock, engine() as docker:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SandboxError, match="cancelled"):
            ensure_image(docker, tmp_path / "lock", tell, cancelled)


async def test_a_container_whose_removal_has_begun_is_gone(subject, monkeypatch):
    """A kernel asked the engine to remove it, and was killed before the answer."""
    sandbox = await subject.provider.create(subject.spec(), subject.announce)
    await sandbox.aclose()
    await subject.provider.park(sandbox.ref)

    def refuse(words):
        def call(self, *_, **__):
            response = httpx.Response(409)
            raise APIError("409 Client Error: Conflict", response=response, explanation=f"{words} xyz")

        return call

    monkeypatch.setattr(Container, "start", refuse("container is marked for removal and cannot be started"))
    with pytest.raises(SandboxGone):
        await subject.provider.attach(sandbox.ref)
    monkeypatch.setattr(Container, "remove", refuse("removal of container is already in progress:"))
    removing = asyncio.create_task(subject.provider.destroy(sandbox.ref))
    await asyncio.sleep(0.2)
    assert not removing.done()
    monkeypatch.undo()
    change(sandbox.ref, "remove", force=True)
    assert await removing
