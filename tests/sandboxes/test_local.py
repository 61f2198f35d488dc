"""The local provider: the contract, and its own features."""

import asyncio
import os
import signal
import stat

import psutil
import pytest

from session_widgets._sandboxes import SandboxSpec, get_provider, local
from session_widgets._sandboxes.conformance import CHECKS, Subject
from session_widgets.errors import TransportError
from session_widgets.host.daemon import write_private
from tests.support.holders import holders
from tests.support.runner import alive
from tests.support.waiting import until


def spec(home, session="s1", **options):
    return SandboxSpec(session, str(home / "workspace"), {}, **options)


@pytest.fixture
def subject(tmp_path):
    return Subject(get_provider("local", tmp_path), lambda: spec(tmp_path))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(check, subject):
    await check(subject)


async def test_runner_is_its_own_session_and_group(subject):
    async with subject.sandbox() as sandbox:
        pid = (await sandbox.runner.health())["pid"]
        assert os.getsid(pid) == pid
        assert os.getpgid(pid) == pid
        assert os.getsid(0) != pid


async def test_a_command_may_take_any_time(subject):
    """`exec(timeout=None)` is no promise of a runner by itself: it cuts a command after 5 minutes."""
    async with subject.sandbox() as sandbox:
        config = (await sandbox.runner._call("GET", "/v1/processes/config")).json()
        assert config["maxRunTimeoutMs"] == 0
        assert (await sandbox.exec("echo slow", timeout=None)).out == "slow\n"


async def test_token_is_in_a_private_file_and_nowhere_else(subject, tmp_path):
    async with subject.sandbox() as sandbox:
        token = (await sandbox.endpoint()).headers["authorization"].removeprefix("Bearer ")
        process = psutil.Process((await sandbox.runner.health())["pid"])
        assert not any(token in word for word in [*process.cmdline(), *process.environ().values()])
        (holder,) = holders(tmp_path, token)
        assert holder.name == "runner.json"
        assert stat.S_IMODE(holder.stat().st_mode) == 0o600
        assert stat.S_IMODE(holder.parent.stat().st_mode) == 0o700


async def test_what_hid_below_a_runner_that_hangs_is_ended_with_it(subject, monkeypatch):
    monkeypatch.setattr(local, "STOP_SECONDS", 0.2)
    async with subject.sandbox() as sandbox:
        hidden = await sandbox.exec("env -i setsid sh -c 'sleep 612 >/dev/null 2>&1 & echo $!'")
        psutil.Process((await sandbox.runner.health())["pid"]).suspend()
        await subject.provider.park(sandbox.ref)
        until(lambda: not alive(int(hidden.out)), what="the end of a killed process")


async def test_keys_of_the_kernel_do_not_reach_the_sandbox(subject, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "planted-secret")
    async with subject.sandbox() as sandbox:
        assert "planted-secret" not in (await sandbox.exec("env")).out


async def test_workspace_modules_do_not_replace_ours(subject, tmp_path):
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "starlette.py").write_text("raise SystemExit('taken over')")
    async with subject.sandbox() as sandbox:
        assert (await sandbox.runner.health())["status"] == "ok"


async def test_what_escaped_the_killed_runner_dies_with_park(subject):
    async with subject.sandbox() as sandbox:
        await sandbox.exec("setsid sh -c 'echo $$ > escaped; exec sleep 300' >/dev/null 2>&1 &")
        while not await _exists(sandbox, "escaped"):
            await asyncio.sleep(0.05)
        escaped = psutil.Process(int(await sandbox.read("escaped")))
        runner = psutil.Process((await sandbox.runner.health())["pid"])
        os.kill(runner.pid, signal.SIGKILL)
        await subject.provider.park(sandbox.ref)
        psutil.wait_procs([escaped], timeout=5)
        assert not _lives(escaped)
        assert not _lives(runner)


async def test_a_runner_that_does_not_listen_yet_is_waited_for(subject, tmp_path):
    """A kernel that was killed as it waited leaves one."""
    async with subject.sandbox() as sandbox:
        runner = (await sandbox.runner.health())["pid"]
        ready = next(tmp_path.glob("sandboxes/*/state/ready.json"))
        later = ready.rename(ready.with_suffix(".later"))
        attaching = asyncio.create_task(subject.provider.attach(sandbox.ref))
        done, _ = await asyncio.wait({attaching}, timeout=0.2)
        assert not done
        later.rename(ready)
        again = await attaching
        assert (await again.runner.health())["pid"] == runner
        await again.aclose()


async def test_a_runner_whose_pid_was_never_written_down_is_found(subject, tmp_path):
    """A kernel that was killed between its start and that leaves one."""
    async with subject.sandbox() as sandbox:
        runner = psutil.Process((await sandbox.runner.health())["pid"])
        record = next(tmp_path.glob("sandboxes/*/process.json"))
        write_private(record, {"argv": runner.cmdline()})
        again = await subject.provider.attach(sandbox.ref)
        assert (await again.runner.health())["pid"] == runner.pid
        await again.aclose()
        await subject.provider.park(sandbox.ref)
        assert not _lives(runner)


async def test_a_client_that_was_closed_says_so(subject):
    async with subject.sandbox() as sandbox:
        again = await subject.provider.attach(sandbox.ref)
        await again.aclose()
        with pytest.raises(TransportError, match="was closed"):
            await again.runner.connections()


async def test_attach_restarts_a_killed_runner_with_a_new_token(subject):
    async with subject.sandbox() as sandbox:
        await sandbox.write("note", b"kept")
        os.kill((await sandbox.runner.health())["pid"], signal.SIGKILL)
        again = await subject.provider.attach(sandbox.ref)
        assert await again.read("note") == b"kept"
        assert (await again.endpoint()).headers != (await sandbox.endpoint()).headers
        await again.aclose()


async def test_a_reused_pid_is_not_taken_for_the_runner(subject, tmp_path):
    async with subject.sandbox() as sandbox:
        await subject.provider.park(sandbox.ref)
        record = tmp_path / "sandboxes" / sandbox.ref.id / "process.json"
        record.write_text(f'{{"pid": {os.getpid()}, "started": 1.0}}')
        assert [info.running async for info in subject.provider.list()] == [False]
        await subject.provider.park(sandbox.ref)  # must not end this very process


async def test_a_clock_that_is_set_does_not_make_the_runner_another_process(subject, monkeypatch):
    async with subject.sandbox():
        monkeypatch.setattr("psutil._pslinux.boot_time", lambda: 1.0)  # which moves with the clock
        assert [info.running async for info in subject.provider.list()] == [True]


async def test_a_runner_that_cannot_start_says_why_and_leaves_nothing(subject, tmp_path):
    (tmp_path / "workspace").write_text("a file where the workspace should be")
    with pytest.raises(Exception, match="workspace"):
        await subject.provider.create(subject.spec(), subject.announce)
    assert subject.announced
    assert [info async for info in subject.provider.list()] == []


async def test_it_leaves_by_itself_when_nothing_happens(tmp_path):
    subject = Subject(get_provider("local", tmp_path), lambda: spec(tmp_path, idle_seconds=1))
    async with subject.sandbox() as sandbox:
        runner = psutil.Process((await sandbox.runner.health())["pid"])
        await sandbox.aclose()
        deadline = asyncio.get_running_loop().time() + 15
        while _lives(runner) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.1)
        assert not _lives(runner)
        again = await subject.provider.attach(sandbox.ref)
        assert (await again.runner.health())["status"] == "ok"
        await again.aclose()


async def test_two_clients_start_one_runner(subject):
    async with subject.sandbox() as sandbox:
        await subject.provider.park(sandbox.ref)
        both = await asyncio.gather(*(subject.provider.attach(sandbox.ref) for _ in range(2)))
        pids = {(await each.runner.health())["pid"] for each in both}
        assert len(pids) == 1
        for each in both:
            await each.aclose()


async def _exists(sandbox, name):
    return name in [entry.name for entry in await sandbox.runner.list()]


def _lives(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
