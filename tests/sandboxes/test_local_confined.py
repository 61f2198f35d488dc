"""A confined local sandbox: the contract, what it hides, and attacks on this machine from inside."""

import asyncio
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import psutil
import pytest

import session_widgets
from session_widgets._sandboxes import SandboxSpec, get_provider
from session_widgets._sandboxes.conformance import (
    CHECKS,
    OF_LIFE,
    SharingSubject,
    Subject,
    environment_reaches_commands,
    named_hosts_alone_are_reached,
    no_network_is_none,
    tree_and_files_are_one,
)
from session_widgets._sessions.loop import private_loop
from session_widgets.errors import SandboxError
from tests.support.ordinary_user import as_ordinary_user
from tests.support.page import page
from tests.support.paths import ROOT

pytestmark = pytest.mark.needs("bwrap")

ATTACK = Path(__file__).with_name("attack_from_confinement.py").read_text()
PACKAGE = Path(session_widgets.__file__).parent


def spec(home, **options):
    return SandboxSpec("s1", str(home / "workspace"), {}, **{"confine": True, **options})


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A data directory."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def shared(home):
    """A sandbox of all tests here that need none of their own."""
    provider = get_provider("local", home)
    subject = Subject(provider, lambda: spec(home, network="none"))

    async def make():
        sandbox = await provider.create(subject.spec(), subject.announce)
        await sandbox.aclose()
        return sandbox.ref

    ref = private_loop().run(make())
    yield SharingSubject(provider, subject.spec, ref)
    private_loop().run(provider.destroy(ref))


@pytest.mark.parametrize("check", [one for one in CHECKS if one not in OF_LIFE], ids=lambda check: check.__name__)
async def test_conformance(check, shared):
    await check(shared)


@pytest.mark.parametrize(
    "check",
    [environment_reaches_commands, no_network_is_none, tree_and_files_are_one],
    ids=lambda check: check.__name__,
)
async def test_conformance_of_its_life(check, tmp_path):
    await check(Subject(get_provider("local", tmp_path), lambda: spec(tmp_path)))


def plant_key():
    """Put a key into the session keyring of this process, where this machine has keyrings."""
    add, session = {"x86_64": 248, "aarch64": 217}[os.uname().machine], -3
    ctypes.CDLL(None).syscall(add, b"user", b"session-widgets-test", b"secret", ctypes.c_size_t(6), session)
    return "session-widgets-test"


@pytest.mark.parametrize("network", ["open", "none"])
async def test_no_attack_on_this_machine_succeeds(tmp_path, monkeypatch, network):
    own = tmp_path / "own"
    (own / ".ssh").mkdir(parents=True)
    (own / ".ssh" / "id_ed25519").write_text("secret")
    monkeypatch.setenv("HOME", str(own))
    data = tmp_path / "data"
    subject = Subject(get_provider("local", data), lambda: spec(tmp_path, network=network))
    with socket.socket(socket.AF_UNIX) as abstract, socket.socket(socket.AF_UNIX) as known:
        abstract.bind(f"\0session-widgets-{os.getpid()}-{network}")
        known.bind(str(tmp_path / "socket"))
        for one in (abstract, known):
            one.listen()
        async with subject.sandbox() as sandbox:
            place = data / "sandboxes" / sandbox.ref.id
            assert (place / "runner.json").exists()
            facts = {
                "secrets": [
                    *map(str, (place / "runner.json", place / "state", place, own / ".ssh", own, "/etc/shadow"))
                ],
                "outside": ["/", "/usr", "/etc", "/run", "/run/session-widgets/runner"],
                "elsewhere": [str(tmp_path), str(data), str(own)],
                "pids": [os.getpid(), (await sandbox.runner.health())["pid"]],
                "abstract": f"session-widgets-{os.getpid()}-{network}",
                "socket": str(tmp_path / "socket"),
                "key": plant_key(),
                "closed": network == "none",
                "workspace": sandbox.workspace,
                "programs": [sys.prefix, str(PACKAGE)],
            }
            done = await sandbox.exec(
                'python -c "$ATTACK" "$FACTS"', env={"ATTACK": ATTACK, "FACTS": json.dumps(facts)}
            )
            assert done.code == 0, done.err
            became = json.loads(done.out)
            assert {name: how for name, how in became.items() if how == "done"} == {}
            assert (await sandbox.runner.health())["status"] == "ok"
            assert [path for path in facts["elsewhere"] if Path(path, "planted").exists()] == []
            strange = f"python -c 'import urllib.request as r; r.urlopen(\"{sandbox.runner.endpoint.url}/v1/health\")'"
            answer = (await sandbox.exec(strange)).err
            assert ("401" in answer) if network == "open" else ("refused" in answer)


async def test_what_is_visible_is_what_programs_need(shared):
    async with shared.sandbox() as sandbox:
        seen = await sandbox.exec("ls -A / /run /run/session-widgets ~; echo $HOME $TMPDIR; ps -e | wc -l")
        assert seen.code == 0
        assert "/run/session-widgets/home /tmp" in seen.out
        assert int(seen.out.split()[-1]) <= 6, "processes of this machine"
        run = await sandbox.exec("python -c 'import session_widgets.demo' && git --version && sh -c 'echo $$'")
        assert run.code == 0, run.err


async def test_home_and_tmp_are_of_the_sandbox_and_stay_until_it_is_destroyed(tmp_path):
    subject = Subject(get_provider("local", tmp_path), lambda: spec(tmp_path))
    async with subject.sandbox() as sandbox:
        assert (await sandbox.exec("echo kept > /tmp/one && echo kept > ~/two && echo kept > three")).code == 0
        assert not Path("/tmp/one").exists()
        again = await subject.provider.attach(await subject.provider.park(sandbox.ref))
        assert (await again.exec("cat /tmp/one ~/two three")).out == "kept\n" * 3
        await again.aclose()
    assert (tmp_path / "workspace" / "three").read_text() == "kept\n"
    assert list((tmp_path / "sandboxes").iterdir()) == []


async def test_a_mount_is_read_only_and_without_the_data_directory(tmp_path):
    (tmp_path / "corpus" / "data" / "sandboxes").mkdir(parents=True)
    (tmp_path / "corpus" / "text").write_text("words")
    mounts = {str(tmp_path / "corpus"): "/corpus"}
    provider = get_provider("local", tmp_path / "corpus" / "data")
    async with Subject(provider, lambda: spec(tmp_path, mounts=mounts)).sandbox() as sandbox:
        assert (await sandbox.exec("cat /corpus/text; ls -A /corpus/data")).out == "words"
        assert "Read-only" in (await sandbox.exec("touch /corpus/new")).err


async def test_python_in_the_workspace_cannot_be_changed_or_replaced(tmp_path, monkeypatch):
    """The kernel and the next runner start it outside."""
    inside = tmp_path / "workspace" / "env" / "lib"
    inside.mkdir(parents=True)
    monkeypatch.setattr(sys, "exec_prefix", str(inside))
    async with Subject(get_provider("local", tmp_path / "data"), lambda: spec(tmp_path)).sandbox() as sandbox:
        for attempt in ("touch env/lib/new", "mv env/lib x", "mv env x", "rm -r env"):
            assert (await sandbox.exec(attempt)).code != 0, attempt
        assert (await sandbox.exec("touch env/new && mkdir other")).code == 0
    (inside.parent / "new").unlink()
    inside.rmdir()
    inside.symlink_to("/usr")
    with pytest.raises(SandboxError, match="is a link in the workspace"):
        await Subject(get_provider("local", tmp_path / "data"), lambda: spec(tmp_path)).sandbox().__aenter__()


async def test_a_link_that_was_left_in_tmp_leads_nowhere(tmp_path):
    """A mount point of the next start, made by an earlier program of the sandbox."""
    subject = Subject(get_provider("local", tmp_path), lambda: spec(tmp_path))
    async with subject.sandbox() as sandbox:
        await subject.provider.park(sandbox.ref)
        first = tmp_path / "sandboxes" / sandbox.ref.id / "tmp" / tmp_path.relative_to("/tmp").parts[0]
        target = tmp_path / "target"
        target.mkdir()
        first.rename(first.with_name("moved"))
        first.symlink_to(target)
        again = await subject.provider.attach(sandbox.ref)
        assert (await again.exec("touch here")).code == 0
        assert list(target.iterdir()) == []
        await again.aclose()


async def test_the_command_alone_receives_a_signal_and_its_code_is_known(shared):
    async with shared.sandbox() as sandbox:
        endpoint = await sandbox.endpoint()
        async with httpx.AsyncClient(base_url=endpoint.url, headers=endpoint.headers) as http:
            ending = "import signal, sys, time\nsignal.signal(15, lambda *_: (time.sleep(.3), sys.exit(7)))\n"
            program = f"{ending}open('ready', 'w').close()\nwhile True: signal.pause()"
            started = (await http.post("/v1/processes", json={"command": "python", "args": ["-c", program]})).json()
            while "ready" not in [entry.name for entry in await sandbox.runner.list()]:
                await asyncio.sleep(0.02)
            await http.post(f"/v1/processes/{started['id']}/stop", params={"waitMs": 5000})
            ended = (await http.get(f"/v1/processes/{started['id']}")).json()
            assert (ended["status"], ended["exitCode"]) == ("exited", 7)


async def test_a_terminal_has_its_size_and_takes_an_interrupt(shared):
    async with shared.sandbox() as sandbox:
        endpoint = await sandbox.endpoint()
        async with httpx.AsyncClient(base_url=endpoint.url, headers=endpoint.headers) as http:
            script = "trap 'stty size > size; exit 3' INT; : > ready; while :; do sleep 0.05; done"
            command = {"command": "sh", "args": ["-c", script], "tty": True}
            started = (await http.post("/v1/processes", json=command)).json()
            while "ready" not in [entry.name for entry in await sandbox.runner.list()]:
                await asyncio.sleep(0.02)
            typed = {"data": "Aw==", "encoding": "base64"}
            assert (await http.post(f"/v1/processes/{started['id']}/input", json=typed)).is_success
            while (ended := (await http.get(f"/v1/processes/{started['id']}")).json())["status"] != "exited":
                await asyncio.sleep(0.02)
            assert ended["exitCode"] == 3
            assert await sandbox.read("size") == b"24 80\n"


async def test_what_a_killed_runner_leaves_is_ended(tmp_path):
    subject = Subject(get_provider("local", tmp_path), lambda: spec(tmp_path))
    async with subject.sandbox() as sandbox:
        words = ["sleep", f"613.{os.getpid()}"]
        await sandbox.exec(f"setsid {' '.join(words)} >/dev/null 2>&1 &")
        while not (found := [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == words]):
            await asyncio.sleep(0.02)
        os.kill((await sandbox.runner.health())["pid"], signal.SIGKILL)
        await subject.provider.park(sandbox.ref)
        _, alive = psutil.wait_procs(found, timeout=5)
        assert alive == []


async def test_a_port_of_another_network_is_refused_with_the_reason(shared):
    async with shared.sandbox() as sandbox:
        with pytest.raises(SandboxError, match="network of its own"):
            await sandbox.endpoint(8000)


@pytest.mark.needs("docker")  # a bridge, whose address is none of the loopback
async def test_a_named_host_alone_answers(tmp_path):
    with page() as address:
        provider = get_provider("local", tmp_path)
        await named_hosts_alone_are_reached(Subject(provider, lambda: spec(tmp_path), reachable=f"http://{address}/"))


async def test_a_model_on_this_machine_is_reached_and_no_other_port_of_it(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as model, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [one.getsockname()[1] for one in (model, other)]
        hosts = (f"127.0.0.1:{ports[0]}",)
        async with Subject(
            get_provider("local", tmp_path), lambda: spec(tmp_path, network="none", model_hosts=hosts)
        ).sandbox() as sandbox:
            program = (
                "import socket, sys; [socket.create_connection(('127.0.0.1', int(port)), 3) for port in sys.argv[1:]]"
            )
            reached = sandbox.exec(f'python -c "{program}" {ports[0]}; echo $$')
            found, (connection, _) = await asyncio.gather(reached, asyncio.to_thread(model.accept))
            connection.close()
            assert (found.code, found.err) == (0, "")
            assert "refused" in (await sandbox.exec(f'python -c "{program}" {ports[1]}')).err
            assert (await sandbox.exec("yes | head -1")).err == "", "the end of a pipe is silent"
            runner = psutil.Process((await sandbox.runner.health())["pid"])
            while any(one.name() == "bwrap" for one in runner.children(recursive=True)):
                await asyncio.sleep(0.02)  # what passes its connections on ends with a command


async def test_a_network_is_not_closed_without_confinement(tmp_path):
    provider = get_provider("local", tmp_path)
    with pytest.raises(SandboxError, match="cannot limit the network"):
        await Subject(provider, lambda: spec(tmp_path, confine=False, network="none")).sandbox().__aenter__()
    assert [info async for info in provider.list()] == []


async def test_a_kernel_that_forbids_namespaces_is_named_with_the_remedy(tmp_path, monkeypatch):
    fake = tmp_path / "bin" / "bwrap"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    provider = get_provider("local", tmp_path)
    with pytest.raises(SandboxError, match="unprivileged_userns_clone=1"):
        await Subject(provider, lambda: spec(tmp_path)).sandbox().__aenter__()
    assert [info async for info in provider.list()] == []


@pytest.mark.needs("root")
async def test_a_workspace_of_another_user_is_refused(tmp_path):
    """Root has no rights inside; bubblewrap would begin in another directory."""
    (tmp_path / "workspace").mkdir(mode=0o700)
    os.chown(tmp_path / "workspace", 1000, 1000)
    with pytest.raises(SandboxError, match="belongs to user 1000"):
        await Subject(get_provider("local", tmp_path), lambda: spec(tmp_path)).sandbox().__aenter__()


@pytest.mark.needs("root")
async def test_a_command_in_a_directory_that_it_may_not_enter_does_not_begin_elsewhere(shared):
    async with shared.sandbox() as sandbox:
        await sandbox.exec("mkdir -m 0 closed")
        tried = await sandbox.exec("pwd", cwd="closed")
        assert (tried.out, tried.code) == ("", 1)
        assert "Can't chdir" in tried.err


@pytest.mark.needs("root")
@pytest.mark.timeout(120)
def test_an_ordinary_user_confines_as_well():
    """The attacks once more, with the rights of most users of notebooks."""
    attacks = f"{__file__}::{test_no_attack_on_this_machine_succeeds.__name__}[none]"
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to others
        words = [
            "-m",
            "pytest",
            "-q",
            "-n0",
            "--assert=plain",
            "-p",
            "no:cacheprovider",
            "--basetemp",
            f"{folder}/made",
            attacks,
        ]
        command = as_ordinary_user([sys.executable, *words], Path(folder))
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout + done.stderr
