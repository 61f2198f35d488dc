"""The `sandbox-agent` provider: agents, files and processes through a server of rivet's sandbox-agent 0.4.2.

"sandbox-agent" starts a server for each session; "sandbox-agent:URL" uses a running one, with its own agents, and
"sandbox-agent:URL#DIRECTORY" one that shares no file with this machine.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from uuid import uuid4

import httpx

from session_widgets._sandboxes import sandbox_agent_server as server
from session_widgets._sandboxes.addresses import Tokens, checked_url
from session_widgets._sandboxes.contract import Announce, SandboxInfo, SandboxSpec
from session_widgets._sandboxes.local import this_machine
from session_widgets._sandboxes.records import RECORD, alone, gone, info, made_of, recorded
from session_widgets._sandboxes.runner_tree import RunnerTree
from session_widgets._sandboxes.sandbox_agent_client import SandboxAgentClient
from session_widgets._sandboxes.sandbox_agent_elsewhere import ElsewhereSandbox
from session_widgets._sandboxes.sandbox_agent_files import SandboxAgentFiles
from session_widgets.errors import BadValue, NotFound, SandboxError, SandboxGone, TransportError
from session_widgets.host.daemon import Daemon, read_json, write_private
from session_widgets.host.tree import TEMPORARY
from session_widgets.model import Capability, Endpoint, Machine, SandboxRef

T = TypeVar("T")

NAME = "sandbox-agent"
TOKEN_VARIABLE = "SANDBOX_AGENT_TOKEN"  # noqa: S105 - a name


class SandboxAgentSandbox:
    """A sandbox-agent server with its working directory."""

    deadline: float | None = None

    def __init__(self, ref: SandboxRef, workspace: str, endpoint: Endpoint, memory: Path) -> None:
        self.ref = ref
        self.workspace = workspace
        self.runner = SandboxAgentClient(endpoint, workspace, memory)
        self.exec = self.runner.exec
        self.read = self.runner.read
        self.write = self.runner.write

    async def endpoint(self, port: int | None = None) -> Endpoint:
        """Return the server's endpoint; it forwards no other port."""
        if port is None:
            return self.runner.endpoint
        raise SandboxError(f"sandbox-agent forwards no port; port {port} was asked for.")

    def tree(self) -> RunnerTree:
        """It has none: its files are those of this machine."""
        raise SandboxError("this sandbox-agent shares the files of this machine, which need no synchronisation.")

    async def extend(self, seconds: float) -> None:
        """It never stops by itself."""

    async def aclose(self) -> None:
        """Close the connections; the server keeps running."""
        await self.runner.aclose()


class SandboxAgentProvider:
    """Its records are in `home/sandbox-agent`.

    Args:
        home: the data directory.
        url: the server to use; None starts one for each session.
        directory: of the server's machine, if it shares no file with this one: it gets a folder a session.
    """

    capabilities = Capability.SHARES_FILES
    options: frozenset[str] = frozenset()

    def __init__(self, home: Path, url: str | None = None, directory: str | None = None) -> None:
        self._root = home / NAME
        self._home = home
        self._url = url
        self._directory = directory
        self._tokens = Tokens(self._root, TOKEN_VARIABLE)
        self.name = NAME
        if url is not None:
            self.name = f"{NAME}:{url}"
            self.capabilities = Capability.EXTERNAL | Capability.SHARES_FILES
        if directory is not None:
            self.name = f"{NAME}:{url}#{directory}"
            self.capabilities = Capability.EXTERNAL

    @classmethod
    def at(cls, home: Path, address: str, token: str | None) -> SandboxAgentProvider:
        """Return the provider for a running server; a token is stored in a file of `home`, readable only by its owner.

        Raises:
            BadValue: the address is not a URL, or contains a secret, or the directory after "#" is not absolute.
        """
        address, elsewhere, directory = address.partition("#")
        url = checked_url(address, "sandbox-agent:http://127.0.0.1:2468")
        place = PurePosixPath(directory)
        if elsewhere and (not place.is_absolute() or ".." in place.parts):
            raise BadValue(
                f"an absolute directory of the server's machine was expected after '#'; got {directory!r:.80}."
            )
        provider = cls(home, url, str(place) if elsewhere else None)
        if token is not None:
            provider._tokens.store(url, token)
        return provider

    def check(self, harness: str, location: str) -> None:
        """Refuse agents unknown to the server, and buckets if it cannot see this machine's directory."""
        if harness not in server.AGENTS:
            raise BadValue(
                f"sandbox-agent {server.VERSION} starts agents by names that it knows: {', '.join(server.AGENTS)}; "
                f"got harness={harness!r}. Run this one with sandbox='local' or 'docker'."
            )
        shares = self._url is not None and self._directory is None
        if shares and location.startswith("s3://") and not _is_here(str(self._url)):
            raise BadValue(
                f"a workspace in a bucket is kept in step with a directory of this machine, which {self._url} does not "
                f"share. Name a directory of that machine: sandbox='{self.name}#/srv/box'."
            )

    async def machine(self, workspace: str) -> Machine:
        """Return this machine; another person's server has its own harnesses."""
        here = this_machine(workspace, cache=self._home / "cache")
        if self._directory is not None:
            root = f"{self._folder(workspace)}/workspace"
            return replace(here, root=root, python="python3", node=None, path="", harnesses="image")
        return here if self._url is None else replace(here, harnesses="image")

    async def create(self, spec: SandboxSpec, announce: Announce) -> SandboxAgentSandbox | ElsewhereSandbox:
        """Start a server on `spec.workspace`, or check that the given server sees it."""
        ref = SandboxRef(NAME, uuid4().hex[:12])
        await announce(ref)
        place = self._place(ref)
        place.mkdir(parents=True, mode=0o700)
        made = {
            "session": spec.session_id,
            "owner": spec.owner,
            "created": datetime.now(UTC).isoformat(),
            "workspace": spec.workspace,
            "url": self._url,
            "folder": self._folder(spec.workspace) if self._directory else None,
            "env": {} if self._url else dict(spec.env),
            "agents": {} if self._url else {name: dict(entry) for name, entry in spec.agents.items()},
        }
        self._claim(made)
        write_private(place / RECORD, made)
        try:
            for name in spec.agents:
                self.check(name, spec.workspace)
            if made["folder"]:
                await self._in_folder(made, SandboxAgentFiles.make)
                return await self.attach(ref)
            Path(spec.workspace).mkdir(parents=True, exist_ok=True)
            sandbox = await self.attach(ref)
            if self._url is not None and isinstance(sandbox, SandboxAgentSandbox):
                await _check_shared(sandbox, self._url)
        except BaseException:
            await asyncio.shield(self.destroy(ref))
            raise
        return sandbox

    async def attach(self, ref: SandboxRef) -> SandboxAgentSandbox | ElsewhereSandbox:
        """Reconnect to the server, or restart our own on the same workspace."""
        made = made_of(self._place(ref), NAME)
        if made.get("folder"):
            if not await self._in_folder(made, SandboxAgentFiles.exists):
                raise gone(self._place(ref), NAME)
            return ElsewhereSandbox(ref, self._tokens.endpoint(made["url"]), made["folder"])
        sandbox = await asyncio.to_thread(self._start_if_stopped, ref)
        try:
            await sandbox.runner.health()
        except BaseException as error:
            await sandbox.aclose()
            if not isinstance(error, TransportError):
                raise
            if made["url"] is not None:
                raise TransportError(f"sandbox-agent does not answer at {made['url']}.") from error
            await self.park(ref)
            sandbox = await asyncio.to_thread(self._start_if_stopped, ref)
            await sandbox.runner.health()
        return sandbox

    async def park(self, ref: SandboxRef) -> SandboxRef:
        """Stop our own server and all its processes; another person's server keeps running.

        Without shared files, the processes that work in the session's folder are killed.
        """
        made = read_json(self._place(ref) / RECORD)
        if made is not None and made.get("folder"):
            with suppress(SandboxGone):
                await self._in_folder(made, SandboxAgentFiles.stop)
            return ref
        await asyncio.to_thread(self._stop, ref, remove=False)
        return ref

    end_processes = park

    async def destroy(self, ref: SandboxRef) -> bool:
        """Stop our own server and remove its records; a workspace of this machine stays."""
        if not self._place(ref).exists():
            return False
        made = read_json(self._place(ref) / RECORD)
        if made is not None and made.get("folder"):
            await self._in_folder(made, SandboxAgentFiles.remove)
        await asyncio.to_thread(self._stop, ref, remove=True)
        return True

    async def list(self, session_id: str | None = None) -> AsyncIterator[SandboxInfo]:
        """Yield the sandboxes recorded under this home; another person's server counts as running."""
        for place, made in recorded(self._root):
            if session_id in {None, made["session"]}:
                running = made["url"] is not None or Daemon(place).process() is not None
                yield info(NAME, place.name, made, running=running)

    async def aclose(self) -> None:
        """Does nothing: the provider holds no connections."""

    def _folder(self, workspace: str) -> str:
        """Return the folder of a workspace, the same for each of its sandboxes."""
        name = hashlib.sha256(f"{self._home}\0{workspace}".encode()).hexdigest()[:12]
        return f"{self._directory}/session-widgets-{name}"

    def _claim(self, made: Mapping[str, Any]) -> None:
        """Refuse the folder of another session: making it empties it. A lost record of the same session is removed."""
        for place, other in recorded(self._root):
            if made["folder"] and (other["url"], other.get("folder")) == (made["url"], made["folder"]):
                if other["session"] != made["session"]:
                    raise SandboxError(
                        f"session {other['session']!r} uses this workspace on that sandbox-agent. Delete that session, "
                        "or switch it to another sandbox."
                    )
                shutil.rmtree(place)

    async def _in_folder(self, made: Mapping[str, Any], work: Callable[[SandboxAgentFiles], T]) -> T:
        files = SandboxAgentFiles(self._tokens.endpoint(made["url"]), made["folder"])
        try:
            return await asyncio.to_thread(work, files)
        finally:
            files.close()

    def _place(self, ref: SandboxRef) -> Path:
        if ref.provider != NAME or not ref.id.isalnum():
            raise SandboxGone(f"{ref} is not a sandbox of the provider '{NAME}'.")
        return self._root / ref.id

    def _start_if_stopped(self, ref: SandboxRef) -> SandboxAgentSandbox:
        place = self._place(ref)
        with alone(place, NAME):
            made = made_of(place, NAME)
            endpoint = self._ours(place, made) if made["url"] is None else self._tokens.endpoint(made["url"])
            return SandboxAgentSandbox(ref, made["workspace"], endpoint, place / "snapshot.json")

    def _ours(self, place: Path, made: dict[str, Any]) -> Endpoint:
        if Daemon(place).process() is None:
            server.start(place, made)
        where = read_json(place / "server.json")
        if where is None:
            raise SandboxError(f"the records in {place} are incomplete; park the session and try again.")
        return Endpoint(f"http://127.0.0.1:{where['port']}", {"authorization": f"Bearer {where['token']}"})

    def _stop(self, ref: SandboxRef, *, remove: bool) -> None:
        place = self._place(ref)
        if not place.exists():
            return
        with alone(place, NAME):
            server.stop(place)
            if remove:  # under the lock, otherwise another process could start it half removed
                shutil.rmtree(place, ignore_errors=True)


def _is_here(url: str) -> bool:
    host = httpx.URL(url).host
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


async def _check_shared(sandbox: SandboxAgentSandbox, url: str) -> None:
    """Verify that a server sees the directory of this machine, not another one with the same path."""
    try:
        await _read_back(sandbox, url)
    except BaseException:
        await sandbox.aclose()
        raise


async def _read_back(sandbox: SandboxAgentSandbox, url: str) -> None:
    name, said = f"{TEMPORARY}{secrets.token_hex(8)}", secrets.token_bytes(16)
    here = Path(sandbox.workspace) / name
    here.write_bytes(said)
    try:
        with suppress(NotFound, BadValue):
            if await sandbox.read(name) == said:
                return
    finally:
        here.unlink(missing_ok=True)
    raise SandboxError(
        f"the sandbox-agent at {url} does not see {sandbox.workspace} of this machine. Name a directory of its own "
        f"machine, and the files are copied: sandbox='sandbox-agent:{url}#/srv/box'."
    )
