"""The `runner` provider: the contract, and its own features, with a runner that shares no file with this process."""

from __future__ import annotations

import asyncio
import stat

import pytest

from session_widgets._sandboxes import SandboxSpec, get_provider
from session_widgets._sandboxes.conformance import CHECKS, Subject
from session_widgets.errors import BadValue, SandboxAuth, SandboxError, SandboxGone, TransportError
from session_widgets.model import Capability, SandboxRef
from tests.support.boxes import Box
from tests.support.holders import holders
from tests.support.runner import TOKEN, RunnerProcess

pytestmark = pytest.mark.needs("docker")


@pytest.fixture(scope="module")
def box():
    with Box() as box:
        yield box


def spec(session="s1", **options):
    return SandboxSpec(session, "", {}, **options)


@pytest.fixture
def subject(box, tmp_path):
    return Subject(box.provider(tmp_path), spec)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(check, subject):
    await check(subject)


async def test_it_shares_nothing(subject, box):
    assert Capability.SHARES_FILES not in subject.provider.capabilities
    async with subject.sandbox() as sandbox:
        await sandbox.write("a", b"x")
        assert box.mounts == []
        assert (await sandbox.exec("hostname")).out.strip() == box.hostname


async def test_a_second_session_is_refused_with_the_name_of_the_first(subject):
    async with subject.sandbox():
        with pytest.raises(SandboxError, match=r"session 's1' .* holds this runner"):
            await subject.provider.create(spec("s2"), subject.announce)
        assert [info.session_id async for info in subject.provider.list()] == ["s1"], "no record is left of it"
        assert [info.running async for info in subject.provider.list()] == [True]


async def test_a_client_of_before_reaches_no_session_of_now(subject):
    """Its kernel does not know yet that another one has deleted its session."""
    old = await subject.provider.create(spec("old"), subject.announce)
    await subject.provider.destroy(old.ref)
    async with subject.sandbox() as sandbox:
        await sandbox.write("mine", b"x")
        for call in (old.exec("rm mine"), old.read("mine"), old.write("mine", b"y"), old.runner.manifest()):
            with pytest.raises(SandboxGone):
                await call
        tree = old.tree()
        with pytest.raises(SandboxGone):
            await asyncio.to_thread(tree.manifest, {})
        tree.close()
        assert await sandbox.read("mine") == b"x"
    await old.aclose()


async def test_a_wrong_token_is_an_error_of_its_own(box, tmp_path):
    provider = get_provider(f"runner:{box.url}", tmp_path, "wrong")
    with pytest.raises(SandboxAuth):
        await provider.machine("")


async def test_a_harness_is_uploaded_once(subject, box, tmp_path):
    installed = tmp_path / "pi-1-aa"
    (installed / "node_modules" / "pi").mkdir(parents=True)
    (installed / "node_modules" / "pi" / "run.js").write_text("code")
    (installed / "node_modules" / "run").symlink_to("pi/run.js")
    folder = (await subject.provider.machine("")).harness_folder
    told: list[str] = []
    uploading = lambda: spec(mounts={str(installed): f"{folder}/{installed.name}"}, progress=told.append)  # noqa: E731
    one = Subject(subject.provider, uploading)
    for _ in range(2):
        async with one.sandbox() as sandbox:
            found = await sandbox.exec(f"cat {folder}/pi-1-aa/node_modules/run && touch {folder}/pi-1-aa/x")
            assert (found.out, found.code) == ("code", 1 if box.has_two_users else found.code)
    assert len(told) == 1
    assert told[0].startswith("Uploading pi-1-aa to the sandbox: 0 of 0 MB")


async def test_the_token_is_in_a_private_file_and_nowhere_else(subject, box, tmp_path):
    async with subject.sandbox():
        (holder,) = holders(tmp_path, box.token)
        assert holder.suffix == ".token"
        assert stat.S_IMODE(holder.stat().st_mode) == 0o600


@pytest.mark.parametrize("address", ["x", "ftp://a", "http://", "http://a:b@c", "http://a?token=b"])
def test_an_address_is_a_plain_url(address, tmp_path):
    with pytest.raises(BadValue):
        get_provider(f"runner:{address}", tmp_path)


async def test_without_an_address_it_only_lists_and_removes(subject, tmp_path):
    nameless = get_provider("runner", tmp_path)
    with pytest.raises(BadValue, match="needs the address"):
        nameless.check("demo", "/w")
    sandbox = await subject.provider.create(spec(), subject.announce)
    await sandbox.aclose()
    assert [info.ref async for info in nameless.list()] == [sandbox.ref]
    assert await nameless.destroy(sandbox.ref)
    assert [info async for info in nameless.list()] == []


async def test_nobody_at_the_address(tmp_path):
    provider = get_provider("runner:http://127.0.0.1:9", tmp_path, "t")
    with pytest.raises(TransportError, match=r"no runner answers.*ssh -L"):
        await provider.machine("")


async def test_a_runner_that_no_session_can_claim(tmp_path):
    runner = RunnerProcess(tmp_path / "box")
    try:
        provider = get_provider(f"runner:{runner.url}", tmp_path / "home", TOKEN)
        with pytest.raises(SandboxError, match="session-widgets runner DIR"):
            await provider.create(spec(), lambda ref: asyncio.sleep(0))
        assert [info async for info in provider.list()] == []
    finally:
        runner.stop()


async def test_agents_reach_neither_the_claim_nor_the_runner(subject, box):
    """Where they are another user than the runner."""
    with_key = Subject(subject.provider, lambda: spec(env={"KEY": "planted"}))
    async with with_key.sandbox() as sandbox:
        for command in (
            "cat /box/state/claim.json",
            "ls /box/state",
            "touch /harnesses/x",
            "kill -9 $(pgrep -f session_widgets.runner | head -1)",
            "cat /proc/$(pgrep -f session_widgets.runner | head -1)/environ",
        ):
            assert (await sandbox.exec(command)).code != 0, command
        assert (await sandbox.exec("id -u; id -G")).out == "1000\n1000\n"
        assert box.token not in (await sandbox.exec("grep -rs . /box /config.json; env")).out


async def test_a_directory_with_files_is_left_alone(tmp_path):
    runner = RunnerProcess(tmp_path / "box", claims=True, agents={})
    try:
        (runner.root / "photo").write_text("x")
        provider = get_provider(f"runner:{runner.url}", tmp_path / "home", TOKEN)
        with pytest.raises(SandboxError, match="empty it"):
            await provider.create(spec(), lambda ref: asyncio.sleep(0))
        assert (runner.root / "photo").read_text() == "x"
        assert [info async for info in provider.list()] == []
    finally:
        runner.stop()


async def test_a_reference_of_another_home_is_gone(subject):
    with pytest.raises(SandboxGone):
        await subject.provider.attach(SandboxRef("runner", "abc123"))


async def test_an_upload_that_breaks_is_done_again(tmp_path):
    """The runner is killed in the middle: its next one has nothing of it, and the session's next attempt sends it."""
    installed = tmp_path / "big-1-aa"
    (installed / "node_modules").mkdir(parents=True)
    (installed / "node_modules" / "program").write_bytes(bytes(40 << 20))
    runners = [RunnerProcess(tmp_path / "box", claims=True, agents={})]
    port = runners[0].port
    announced: list[SandboxRef] = []

    def kill(_: str) -> None:
        runners[0].process.kill()

    async def announce(ref: SandboxRef) -> None:
        announced.append(ref)

    try:
        provider = get_provider(f"runner:{runners[0].url}", tmp_path / "home", TOKEN)
        folder = (await provider.machine("")).harness_folder
        with pytest.raises(TransportError):
            await provider.create(spec(mounts={str(installed): f"{folder}/big-1-aa"}, progress=kill), announce)
        runners.append(RunnerProcess(tmp_path / "box", claims=True, agents={}, port=port))
        assert not (tmp_path / "box" / "harnesses" / "big-1-aa").exists()
        sandbox = await provider.attach(announced[0])
        assert (tmp_path / "box" / "harnesses" / "big-1-aa" / "node_modules" / "program").stat().st_size == 40 << 20
        await sandbox.aclose()
        assert await provider.destroy(announced[0])
    finally:
        for runner in runners:
            runner.stop()
