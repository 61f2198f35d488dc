"""The `sandbox-agent` provider: agents, files and processes through a server of rivet's sandbox-agent 0.4.2.

"sandbox-agent" starts a server for each session; "sandbox-agent:URL" uses a running one, with its own agents.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from session_widgets._sandboxes import sandbox_agent_server as server
from session_widgets._sandboxes.addresses import Tokens, checked_url
from session_widgets._sandboxes.contract import Announce, SandboxInfo, SandboxSpec
from session_widgets._sandboxes.local import this_machine
from session_widgets._sandboxes.records import RECORD, alone, info, made_of, recorded
from session_widgets._sandboxes.runner_tree import RunnerTree
from session_widgets._sandboxes.sandbox_agent_client import SandboxAgentClient
from session_widgets.errors import BadValue, NotFound, SandboxError, SandboxGone, TransportError
from session_widgets.host.daemon import Daemon, read_json, write_private
from session_widgets.host.tree import TEMPORARY
from session_widgets.model import Capability, Endpoint, Machine, SandboxRef

NAME = "sandbox-agent"
TOKEN_VARIABLE = "SANDBOX_AGENT_TOKEN"  # noqa: S105 - a name


class SandboxAgentSandbox:
    """A sandbox-agent server with its working directory."""

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
        """sandbox-agent has no archives and no conditions."""
        raise SandboxError("sandbox-agent 0.4.2 cannot synchronise files: it must see this machine's directory.")

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
    """

    capabilities = Capability.SHARES_FILES
    options: frozenset[str] = frozenset()

    def __init__(self, home: Path, url: str | None = None) -> None:
        self._root = home / NAME
        self._home = home
        self._url = url
        self._tokens = Tokens(self._root, TOKEN_VARIABLE)
        self.name = NAME
        if url is not None:
            self.name = f"{NAME}:{url}"
            self.capabilities = Capability.EXTERNAL | Capability.SHARES_FILES

    @classmethod
    def at(cls, home: Path, address: str, token: str | None) -> SandboxAgentProvider:
        """Return the provider for a running server; a token is stored in a file of `home`, readable only by its owner.

        Raises:
            BadValue: the address is not a URL, or contains a secret.
        """
        url = checked_url(address, "sandbox-agent:http://127.0.0.1:2468")
        provider = cls(home, url)
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
        if self._url is not None and location.startswith("s3://") and not _is_here(self._url):
            raise BadValue(
                f"a workspace in a bucket is kept in step with a directory of this machine, which {self._url} does not "
                "share: it could never be proven to be safe. Use a sandbox-agent on 127.0.0.1, or sandbox='docker'."
            )

    async def machine(self, workspace: str) -> Machine:
        """Return this machine; another person's server has its own harnesses."""
        here = this_machine(workspace, cache=self._home / "cache")
        return here if self._url is None else replace(here, harnesses="image")

    async def create(self, spec: SandboxSpec, announce: Announce) -> SandboxAgentSandbox:
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
            "env": {} if self._url else dict(spec.env),
            "agents": {} if self._url else {name: dict(entry) for name, entry in spec.agents.items()},
        }
        write_private(place / RECORD, made)
        try:
            for name in spec.agents:
                self.check(name, spec.workspace)
            Path(spec.workspace).mkdir(parents=True, exist_ok=True)
            sandbox = await self.attach(ref)
            if self._url is not None:
                await _check_shared(sandbox, self._url)
        except BaseException:
            await asyncio.shield(self.destroy(ref))
            raise
        return sandbox

    async def attach(self, ref: SandboxRef) -> SandboxAgentSandbox:
        """Reconnect to the server, or restart our own on the same workspace."""
        sandbox = await asyncio.to_thread(self._start_if_stopped, ref)
        try:
            await sandbox.runner.health()
        except BaseException as error:
            await sandbox.aclose()
            if not isinstance(error, TransportError):
                raise
            made = read_json(self._place(ref) / "sandbox.json")
            if made is None or made["url"] is not None:
                raise TransportError(f"sandbox-agent does not answer at {made['url'] if made else ref}.") from error
            await self.park(ref)
            sandbox = await asyncio.to_thread(self._start_if_stopped, ref)
            await sandbox.runner.health()
        return sandbox

    async def park(self, ref: SandboxRef) -> SandboxRef:
        """Stop our own server and all its processes; another person's server keeps running."""
        await asyncio.to_thread(self._stop, ref, remove=False)
        return ref

    async def destroy(self, ref: SandboxRef) -> bool:
        """Stop our own server and remove its records; the workspace stays."""
        if not self._place(ref).exists():
            return False
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
        f"the sandbox-agent at {url} does not see {sandbox.workspace} of this machine. Its own files could be neither "
        "compared nor kept: run it on this machine, or where this directory has the same path."
    )
