"""Checks of the provider contract for any provider, including third-party ones.

`session-widgets sandboxes check NAME` runs them from the terminal; in a test:

```python
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(check, tmp_path):
    await check(Subject(MyProvider(tmp_path), lambda: my_spec(tmp_path)))
```
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from urllib.parse import urlsplit

from session_widgets._sandboxes.contract import Sandbox, SandboxProvider, SandboxSpec
from session_widgets._sandboxes.runner_client import RunnerClient
from session_widgets.errors import (
    BadPath,
    ExecTimeout,
    NotFound,
    SandboxAuth,
    SandboxGone,
    SandboxNotRunning,
    TransportError,
)
from session_widgets.model import Endpoint, SandboxRef

BAD_PATHS = ("../outside", "a/../../outside", "/etc/hostname", "~/x", "a\0b", "")


@dataclass(slots=True)
class Subject:
    """A provider under test, with a function that makes the spec of a new sandbox.

    Attributes:
        reachable: address of a page, which a sandbox whose network has its host reaches; None: that is not checked.
    """

    provider: SandboxProvider
    spec: Callable[[], SandboxSpec]
    announced: list[SandboxRef] = field(default_factory=list)
    reachable: str | None = None

    async def announce(self, ref: SandboxRef) -> None:
        """Record the references that `create` announces."""
        self.announced.append(ref)

    @asynccontextmanager
    async def sandbox(self) -> AsyncIterator[Sandbox]:
        """Create a sandbox and destroy it afterwards."""
        sandbox = await self.provider.create(self.spec(), self.announce)
        try:
            yield sandbox
        finally:
            await sandbox.aclose()
            await self.provider.destroy(sandbox.ref)


async def announces_before_it_is_ready(subject: Subject) -> None:
    """`create` announces the reference first, and it is the sandbox's."""
    async with subject.sandbox() as sandbox:
        assert subject.announced == [sandbox.ref]
        assert SandboxRef.parse(str(sandbox.ref)) == sandbox.ref
        assert sandbox.ref.provider == subject.provider.name.partition(":")[0]


async def machine_is_as_described(subject: Subject) -> None:
    """`machine` names the workspace, the interpreter and the folders that are there, before the sandbox is."""
    machine = await subject.provider.machine(subject.spec().workspace)
    async with subject.sandbox() as sandbox:
        assert machine == await subject.provider.machine(subject.spec().workspace)
        assert machine.root == sandbox.workspace
        imported = await sandbox.exec(f"'{machine.python}' -I -c 'import session_widgets; print(1)'", timeout=None)
        assert (imported.code, imported.out) == (0, "1\n")
        kernel = (await sandbox.exec("uname -s")).out.strip().lower()
        assert machine.platform.partition("-")[0] == kernel
        if machine.node is not None:
            assert (await sandbox.exec(f"'{machine.node}' --version", timeout=None)).out.startswith("v")


async def exit_code_is_a_result(subject: Subject) -> None:
    """A failing command raises nothing."""
    async with subject.sandbox() as sandbox:
        result = await sandbox.exec("echo out; echo err >&2; exit 3")
        assert (result.code, result.out, result.err) == (3, "out\n", "err\n")


async def exec_takes_input_environment_and_directory(subject: Subject) -> None:
    """`stdin`, `env` and `cwd` reach the command; it starts in the workspace."""
    async with subject.sandbox() as sandbox:
        await sandbox.write("sub/here.txt", b"x")
        assert (await sandbox.exec("pwd")).out.rstrip("\n") == sandbox.workspace
        assert (await sandbox.exec("ls", cwd="sub")).out == "here.txt\n"
        result = await sandbox.exec('printf %s "$GIVEN"; cat', env={"GIVEN": "a'b \"$c"}, stdin=b"\x00\xffin")
        assert result.out_bytes == b"a'b \"$c\x00\xffin"


async def environment_reaches_commands(subject: Subject) -> None:
    """Commands have `SandboxSpec.env`, also after parking; a command's own `env` takes precedence.

    Those of `SandboxSpec.setup` have run once, as root.
    """
    if "env" not in subject.provider.options:
        return
    setup = ("id -u >> /srv/setup",) if "setup" in subject.provider.options else ()
    spec = replace(subject.spec(), env={"GIVEN": "a'b \"$c", "OWN": "theirs"}, setup=setup)
    async with Subject(subject.provider, lambda: spec).sandbox() as sandbox:
        show = 'printf %s "$GIVEN $OWN"'
        assert (await sandbox.exec(show, env={"OWN": "mine"})).out == "a'b \"$c mine"
        again = await subject.provider.attach(await subject.provider.park(sandbox.ref))
        assert (await again.exec(show)).out == "a'b \"$c theirs"
        if setup:
            assert (await again.exec("cat /srv/setup; echo more >> /srv/setup")).out_bytes == b"0\n", (
                "not once, as root"
            )
        await again.aclose()


async def bytes_survive(subject: Subject) -> None:
    """Files and output are bytes and never decoded."""
    data = bytes(range(256)) * 40
    async with subject.sandbox() as sandbox:
        await sandbox.write("deep/er/data.bin", data)
        assert await sandbox.read("deep/er/data.bin") == data
        assert await sandbox.read("deep/er/data.bin", 250, 10) == data[250:260]
        assert await sandbox.read("deep/er/data.bin", len(data), 10) == b""
        assert (await sandbox.exec("cat deep/er/data.bin")).out_bytes == data
        await sandbox.write("empty", b"")
        assert await sandbox.read("empty") == b""


async def timeout_kills_everything_below(subject: Subject) -> None:
    """A command that exceeds its timeout is killed with its children."""
    async with subject.sandbox() as sandbox:
        try:
            await sandbox.exec("(sleep 1.5; touch late) & sleep 60", timeout=0.3)
        except ExecTimeout:
            pass
        else:
            raise AssertionError("exec returned although its timeout had passed")
        assert not await _appears(sandbox, "late", seconds=2.5)


async def cancelling_kills_everything_below(subject: Subject) -> None:
    """Cancelling an exec kills the command with its children."""
    async with subject.sandbox() as sandbox:
        running = asyncio.create_task(sandbox.exec("touch begun; (sleep 1.5; touch late) & sleep 60", timeout=None))
        assert await _appears(sandbox, "begun", seconds=10)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert not await _appears(sandbox, "late", seconds=2.5)


async def paths_stay_inside(subject: Subject) -> None:
    """No path leads out of the workspace, by `..` or by a link; a missing path is `NotFound`."""
    async with subject.sandbox() as sandbox:
        for path in BAD_PATHS:
            await _raises(BadPath, sandbox.read(path))
            await _raises(BadPath, sandbox.write(path, b"x"))
        await sandbox.exec("ln -s /etc/hostname out; ln -s / root; mkdir directory")
        await _raises(BadPath, sandbox.read("out"))
        await _raises(BadPath, sandbox.read("root/etc/hostname"))
        await _raises(BadPath, sandbox.write("root/tmp/written", b"x"))
        await _raises(BadPath, sandbox.read("directory"))
        await _raises(NotFound, sandbox.read("missing"))


async def attach_finds_the_same_machine(subject: Subject) -> None:
    """A second client sees the same files, the same processes and the same deadline."""
    async with subject.sandbox() as sandbox:
        await sandbox.write("note", b"kept")
        again = await subject.provider.attach(sandbox.ref)
        assert await again.read("note") == b"kept"
        assert (await again.runner.health())["nonce"] == (await sandbox.runner.health())["nonce"]
        assert again.deadline == sandbox.deadline
        assert again.deadline is None or again.deadline > time.time()
        await again.aclose()


async def park_stops_and_attach_restores(subject: Subject) -> None:
    """After `park` no process runs; after `attach` the files are there. Parking twice is allowed."""
    async with subject.sandbox() as sandbox:
        await sandbox.write("note", b"kept")
        await sandbox.exec("(while :; do date +%s%N > beat; sleep 0.1; done) >/dev/null 2>&1 &")
        ref = await subject.provider.park(await subject.provider.park(sandbox.ref))
        await _raises((TransportError, SandboxNotRunning, SandboxGone), sandbox.exec("true"))
        again = await subject.provider.attach(ref)
        assert await again.read("note") == b"kept"
        beat = await again.read("beat")
        await asyncio.sleep(0.5)
        assert await again.read("beat") == beat, "a process survived park()"
        await again.aclose()


async def tree_and_files_are_one(subject: Subject) -> None:
    """`tree` shows the files of the workspace, and another sandbox's is another directory."""
    async with subject.sandbox() as sandbox:
        await sandbox.exec("mkdir -p deep empty; printf words > deep/file; chmod 750 deep/file; ln -s file deep/link")
        tree = sandbox.tree()
        try:
            manifest = await asyncio.to_thread(tree.manifest, {})
            seen = manifest.entries["deep/file"]
            assert (seen.kind, seen.size, seen.mode) == ("file", 5, 0o750)
            assert [manifest.entries[path].kind for path in ("deep/link", "empty")] == ["link", "directory"]
            written = await asyncio.to_thread(tree.write, seen, BytesIO(b"others"), seen)
            assert await sandbox.read("deep/file") == b"others"
            assert (written.mode, written.mtime_ns) == (seen.mode & 0o777, seen.mtime_ns)
        finally:
            tree.close()
    async with subject.sandbox() as another:
        tree = another.tree()
        try:
            assert (await asyncio.to_thread(tree.manifest, {})).root != manifest.root
        finally:
            tree.close()


async def destroyed_is_gone(subject: Subject) -> None:
    """`destroy` is idempotent, and `attach` raises `SandboxGone` afterwards."""
    async with subject.sandbox() as sandbox:
        assert await subject.provider.destroy(sandbox.ref) is True
        assert await subject.provider.destroy(sandbox.ref) is False
        await _raises(SandboxGone, subject.provider.attach(sandbox.ref))


async def list_names_its_own(subject: Subject) -> None:
    """`list` yields running and parked sandboxes, by session."""
    async with subject.sandbox() as sandbox:
        session = subject.spec().session_id
        assert [(info.ref, info.running) async for info in subject.provider.list(session)] == [(sandbox.ref, True)]
        assert [info async for info in subject.provider.list("another-session")] == []
        await subject.provider.park(sandbox.ref)
        assert [info.running async for info in subject.provider.list()] == [False]


async def others_references_lead_nowhere(subject: Subject) -> None:
    """References of another provider and unknown ids raise `SandboxGone`; none is used as a path."""
    for ref in (SandboxRef("another", "0123456789ab"), *(_own(subject, id) for id in ("0123456789ab", "../x", "a/b"))):
        await _raises(SandboxGone, subject.provider.attach(ref))


async def no_network_is_none(subject: Subject) -> None:
    """With `network="none"`, programs in the sandbox reach no other machine, and no name server."""
    if "network" not in subject.provider.options or (
        "confine" in subject.provider.options and not subject.spec().confine
    ):
        return
    async with replace(subject, spec=lambda: replace(subject.spec(), network="none")).sandbox() as sandbox:
        attempts = {**_ELSEWHERE, "a name": "socket.getaddrinfo('example.org', 443)"}
        assert await _reached(subject, sandbox, attempts) == []


async def named_hosts_alone_are_reached(subject: Subject) -> None:
    """With a list as `network`, a host of it answers; no other host does, by its name or by an address."""
    if "network" not in subject.provider.options or subject.reachable is None:
        return
    host = urlsplit(subject.reachable).hostname or ""
    async with replace(subject, spec=lambda: replace(subject.spec(), network=(host,))).sandbox() as sandbox:
        here, other = (f"urllib.request.urlopen({url!r}, timeout=10)" for url in (subject.reachable, _OTHER))
        assert await _reached(subject, sandbox, {"the host": here, "another": other, **_ELSEWHERE}) == ["the host"]
        again = await subject.provider.attach(await subject.provider.park(sandbox.ref))
        assert await _reached(subject, again, {"the host": here, "another": other}) == ["the host"]
        await again.aclose()


async def endpoint_needs_its_token(subject: Subject) -> None:
    """The runner accepts the endpoint's headers, refuses requests without them, and `repr` hides them."""
    async with subject.sandbox() as sandbox:
        endpoint = await sandbox.endpoint()
        assert not any(secret in repr(endpoint) for secret in endpoint.headers.values())
        stranger = RunnerClient(Endpoint(endpoint.url), sandbox.workspace)
        await _raises(SandboxAuth, stranger.health())
        await stranger.aclose()


CHECKS: tuple[Callable[[Subject], Awaitable[None]], ...] = (
    announces_before_it_is_ready,
    machine_is_as_described,
    exit_code_is_a_result,
    exec_takes_input_environment_and_directory,
    environment_reaches_commands,
    bytes_survive,
    timeout_kills_everything_below,
    cancelling_kills_everything_below,
    paths_stay_inside,
    attach_finds_the_same_machine,
    park_stops_and_attach_restores,
    tree_and_files_are_one,
    destroyed_is_gone,
    list_names_its_own,
    others_references_lead_nowhere,
    no_network_is_none,
    named_hosts_alone_are_reached,
    endpoint_needs_its_token,
)


OF_LIFE = frozenset(
    {
        announces_before_it_is_ready,
        environment_reaches_commands,
        park_stops_and_attach_restores,
        tree_and_files_are_one,
        destroyed_is_gone,
        list_names_its_own,
        no_network_is_none,
        named_hosts_alone_are_reached,
    }
)
"""They need sandboxes of their own; the others can share one."""


class SharingSubject(Subject):
    """A provider whose `sandbox` is always the same, with an empty workspace."""

    def __init__(self, provider: SandboxProvider, spec: Callable[[], SandboxSpec], shared: SandboxRef) -> None:
        super().__init__(provider, spec)
        self._shared = shared

    @asynccontextmanager
    async def sandbox(self) -> AsyncIterator[Sandbox]:
        """Attach to it."""
        sandbox = await self.provider.attach(self._shared)
        try:
            await sandbox.exec("find . -mindepth 1 -delete")
            yield sandbox
        finally:
            await sandbox.aclose()


def _own(subject: Subject, id: str) -> SandboxRef:
    return SandboxRef(subject.provider.name.partition(":")[0], id)


_OTHER = "https://example.org/"
_ELSEWHERE = {
    "an address": "socket.create_connection(('1.1.1.1', 443), 3)",
    "an address of IPv6": "socket.create_connection(('2606:4700:4700::1111', 443), 3)",
    "what the cloud tells its machines": "socket.create_connection(('169.254.169.254', 80), 3)",
}


async def _reached(subject: Subject, sandbox: Sandbox, attempts: Mapping[str, str]) -> list[str]:
    """Return which attempts of a program in the sandbox succeed."""
    machine = await subject.provider.machine(subject.spec().workspace)
    lines = ["import socket, urllib.request"]
    for name, attempt in attempts.items():
        lines += ["try:", f"    {attempt}", f"    print({name!r})", "except OSError:", "    pass"]
    tried = await sandbox.exec('"$PROGRAM" -c "$SCRIPT"', env={"PROGRAM": machine.python, "SCRIPT": "\n".join(lines)})
    assert tried.code == 0, tried.err
    return tried.out.splitlines()


async def _appears(sandbox: Sandbox, path: str, seconds: float) -> bool:
    deadline = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < deadline:
        try:
            await sandbox.read(path)
        except NotFound:
            await asyncio.sleep(0.1)
        else:
            return True
    return False


async def _raises(expected: type[BaseException] | tuple[type[BaseException], ...], work: Awaitable[object]) -> None:
    try:
        await work
    except expected:
        return
    raise AssertionError(f"expected {expected}, and nothing was raised")
