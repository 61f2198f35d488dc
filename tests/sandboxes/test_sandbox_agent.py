"""The provider for real sandbox-agent 0.4.2 servers: the contract as far as such a server can keep it."""

import asyncio
import os
import signal
import stat
import sys

import psutil
import pytest

from session_widgets._sandboxes import SandboxSpec, conformance, get_provider
from session_widgets._sandboxes.conformance import CHECKS, Subject
from session_widgets.errors import BadPath, BadValue, MissingDependency, NotFound, SandboxError, TransportError
from session_widgets.host.daemon import Daemon
from tests.support.sandbox_agent import server as real

pytestmark = pytest.mark.needs("sandbox-agent")

DEMO = {"command": [sys.executable, "-P", "-m", "session_widgets.demo"], "env": {}}
NOT_POSSIBLE = {
    conformance.tree_and_files_are_one: "it has no archives, and no conditions on a write",
    conformance.attach_finds_the_same_machine: "its health has no nonce: test_a_second_client_finds_the_same_server",
}
OF_OTHERS = NOT_POSSIBLE | {
    conformance.park_stops_and_attach_restores: "a server of somebody else is not ours to stop",
    conformance.list_names_its_own: "it is never parked",
}


@pytest.fixture(autouse=True)
def program(monkeypatch):
    binary = real.binary()
    binary.chmod(0o755)
    monkeypatch.setenv("SESSION_WIDGETS_SANDBOX_AGENT", str(binary))


def spec(home, session="s1", **options):
    return SandboxSpec(session, str(home / "workspace"), {"pi": DEMO}, **options)


@pytest.fixture
def subject(tmp_path):
    return Subject(get_provider("sandbox-agent", tmp_path), lambda: spec(tmp_path))


@pytest.fixture
def foreign(tmp_path):
    """A server that somebody else has started."""
    place = tmp_path / "theirs"
    place.mkdir()
    with real.sandbox_agent(place, {"pi": DEMO["command"]}) as endpoint:
        token = endpoint.headers["Authorization"].removeprefix("Bearer ")
        provider = get_provider(f"sandbox-agent:{endpoint.url}", tmp_path, token)
        yield Subject(provider, lambda: spec(tmp_path))


@pytest.mark.parametrize("check", [c for c in CHECKS if c not in NOT_POSSIBLE], ids=lambda check: check.__name__)
async def test_conformance(check, subject):
    await check(subject)


@pytest.mark.parametrize("check", [c for c in CHECKS if c not in OF_OTHERS], ids=lambda check: check.__name__)
async def test_conformance_of_a_server_that_was_there(check, foreign):
    await check(foreign)


async def test_a_second_client_finds_the_same_server(subject):
    async with subject.sandbox() as sandbox:
        again = await subject.provider.attach(sandbox.ref)
        assert (await again.endpoint()).url == (await sandbox.endpoint()).url
        await again.aclose()


async def test_files_larger_than_its_limit(subject, tmp_path):
    data = os.urandom(5_000_001)
    async with subject.sandbox() as sandbox:
        await sandbox.write("big.bin", data)
        assert await sandbox.read("big.bin") == data
        assert await sandbox.read("big.bin", 2_999_990, 20) == data[2_999_990:3_000_010]
        (tmp_path / "local").write_bytes(data[::-1])
        await sandbox.runner.upload(tmp_path / "local", "sub/up.bin")
        await sandbox.runner.download("sub/up.bin", tmp_path / "down")
        assert (tmp_path / "down").read_bytes() == data[::-1]
        assert len(set((await sandbox.exec("md5sum; md5sum < big.bin", stdin=data)).out.split()) - {"-"}) == 1
        assert sorted(p.name for p in (tmp_path / "workspace").iterdir()) == ["big.bin", "sub"], "no piece is left"


async def test_files_are_listed_moved_and_deleted(subject):
    async with subject.sandbox() as sandbox:
        files = sandbox.runner
        await sandbox.write("a/one.txt", b"1")
        await files.mkdir("a/empty")
        await sandbox.exec("ln -s one.txt a/link; ln -s / a/root; mkfifo a/pipe; chmod 755 a/one.txt")
        kinds = {info.path: info.type for info in await files.list(recursive=True)}
        assert kinds == {
            "a": "directory", "a/one.txt": "file", "a/empty": "directory",
            "a/link": "symlink", "a/root": "symlink", "a/pipe": "other",
        }  # fmt: skip
        assert (await files.stat("a/link")).type == "symlink"
        await sandbox.write("a/one.txt", b"2")
        assert (await sandbox.exec("test -x a/one.txt")).code == 0, "a file keeps its mode"
        await sandbox.write("b", b"")
        with pytest.raises(BadPath):
            await files.move("a/one.txt", "b")
        await files.move("a/one.txt", "c")
        with pytest.raises(BadPath):
            await files.delete("a")
        await files.delete("a/root")  # the link, not what it leads to
        await files.delete("a", recursive=True)
        assert [info.path for info in await files.list()] == ["b", "c"]
        for gone in (files.list("a"), files.stat("a"), files.delete("a"), files.move("a", "d")):
            with pytest.raises(NotFound):
                await gone


async def test_what_changed_since_a_snapshot(subject):
    async with subject.sandbox() as sandbox:
        await sandbox.write("kept", b"1")
        await sandbox.write("gone", b"1")
        await sandbox.runner.snapshot("turn-1")
        await sandbox.exec("rm gone; echo more >> kept; echo new > new")
        assert [(c.path, c.change) for c in await sandbox.runner.changes("turn-1")] == [
            ("gone", "deleted"), ("kept", "modified"), ("new", "created"),
        ]  # fmt: skip
        with pytest.raises(NotFound):
            await sandbox.runner.changes("turn-0")


async def test_keys_are_in_no_file_and_the_token_in_a_private_one(tmp_path):
    agents = {"pi": DEMO | {"env": {"OPENAI_API_KEY": "planted-key", "HOME": str(tmp_path)}}}
    subject = Subject(
        get_provider("sandbox-agent", tmp_path), lambda: SandboxSpec("s1", str(tmp_path / "workspace"), agents)
    )
    async with subject.sandbox() as sandbox:
        token = (await sandbox.endpoint()).headers["authorization"].removeprefix("Bearer ")
        holders = {
            file.name: stat.S_IMODE(file.stat().st_mode)
            for file in (tmp_path / "sandbox-agent").rglob("*")
            if file.is_file() and {token, "planted-key"} & set(_words(file))
        }
        assert holders == {"server.json": 0o600, "sandbox.json": 0o600}


def _words(file):
    return file.read_text(errors="ignore").replace('"', " ").split()


async def test_what_outlives_the_killed_server_dies_with_park(subject, tmp_path):
    async with subject.sandbox() as sandbox:
        await sandbox.exec("setsid sh -c 'echo $$ > escaped; exec sleep 300' >/dev/null 2>&1 &")
        while "escaped" not in [entry.name for entry in await sandbox.runner.list()]:
            await asyncio.sleep(0.05)
        escaped = psutil.Process(int(await sandbox.read("escaped")))
        os.kill(_server(tmp_path, sandbox).pid, signal.SIGKILL)
        with pytest.raises(TransportError):
            await sandbox.exec("true")
        await subject.provider.park(sandbox.ref)
        psutil.wait_procs([escaped], timeout=5)
        assert not escaped.is_running() or escaped.status() == psutil.STATUS_ZOMBIE


async def test_attach_restarts_a_killed_server(subject, tmp_path):
    async with subject.sandbox() as sandbox:
        await sandbox.write("note", b"kept")
        os.kill(_server(tmp_path, sandbox).pid, signal.SIGKILL)
        again = await subject.provider.attach(sandbox.ref)
        assert await again.read("note") == b"kept"
        assert (await again.endpoint()).headers != (await sandbox.endpoint()).headers
        await again.aclose()


def _server(tmp_path, sandbox):
    process = Daemon(tmp_path / "sandbox-agent" / sandbox.ref.id).process()
    assert process is not None
    return process


def test_harnesses_that_it_has_no_name_for(subject):
    with pytest.raises(BadValue, match="claude, codex"):
        subject.provider.check("demo", "/somewhere")
    subject.provider.check("claude", "s3://bucket/prefix")


def test_a_bucket_and_a_server_elsewhere(tmp_path):
    elsewhere = get_provider("sandbox-agent:https://agents.example", tmp_path)
    with pytest.raises(BadValue, match="does not share"):
        elsewhere.check("claude", "s3://bucket/prefix")
    elsewhere.check("claude", "/a/directory")
    get_provider("sandbox-agent:http://127.0.0.1:1", tmp_path).check("claude", "s3://bucket/prefix")


@pytest.mark.parametrize(
    "name", ["sandbox-agent:", "sandbox-agent:2468", "sandbox-agent:http://u:p@h", "sandbox-agent:http://h?token=x"]
)
def test_addresses_that_are_none(name, tmp_path):
    with pytest.raises(BadValue):
        get_provider(name, tmp_path)


def test_other_providers_take_no_address_and_no_token(tmp_path):
    with pytest.raises(BadValue, match="takes no address"):
        get_provider("local:x", tmp_path)
    with pytest.raises(BadValue, match="takes no token"):
        get_provider("sandbox-agent", tmp_path, "token")


async def test_no_program_and_another_version(subject, monkeypatch, tmp_path):
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\necho sandbox-agent 0.2.1\n")
    other.chmod(0o755)
    monkeypatch.setenv("SESSION_WIDGETS_SANDBOX_AGENT", str(other))
    with pytest.raises(MissingDependency, match=r"0\.2\.1.*0\.4\.2 is needed"):
        await subject.provider.create(subject.spec(), subject.announce)
    monkeypatch.delenv("SESSION_WIDGETS_SANDBOX_AGENT")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(MissingDependency, match="npm install"):
        await subject.provider.create(subject.spec(), subject.announce)
    assert [info async for info in subject.provider.list()] == []


@pytest.mark.needs("tmpfs")
async def test_a_server_that_does_not_see_the_directory(tmp_path):
    place = tmp_path / "theirs"
    place.mkdir()
    (tmp_path / "workspace").mkdir()
    hidden = f'mount -t tmpfs none {tmp_path / "workspace"} && exec "$0" "$@"'
    with real.sandbox_agent(place, {}, before=("unshare", "--mount", "sh", "-c", hidden)) as endpoint:
        token = endpoint.headers["Authorization"].removeprefix("Bearer ")
        subject = Subject(get_provider(f"sandbox-agent:{endpoint.url}", tmp_path, token), lambda: spec(tmp_path))
        with pytest.raises(SandboxError, match="does not see"):
            await subject.provider.create(subject.spec(), subject.announce)
        assert list((tmp_path / "workspace").iterdir()) == []
        assert [info async for info in subject.provider.list()] == []


async def test_a_server_that_is_not_there(tmp_path):
    subject = Subject(get_provider("sandbox-agent:http://127.0.0.1:9", tmp_path), lambda: spec(tmp_path))
    with pytest.raises(TransportError, match=r"does not answer at http://127\.0\.0\.1:9"):
        await subject.provider.create(subject.spec(), subject.announce)
