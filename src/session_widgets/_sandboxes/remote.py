"""The `runner` provider: "runner:URL" is a runner on another machine, which shares no file with this one.

One session at a time claims it (`session-widgets runner DIR` starts one). Its records are in `home/runners`.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

from session_widgets._sandboxes.addresses import Tokens, checked_url
from session_widgets._sandboxes.claim_client import HEADER, ClaimClient, NoClaim
from session_widgets._sandboxes.contract import Announce, SandboxInfo, SandboxSpec
from session_widgets._sandboxes.records import RECORD, info, made_of, recorded
from session_widgets._sandboxes.runner_client import RunnerClient
from session_widgets._sandboxes.runner_tree import RunnerTree
from session_widgets.errors import BadValue, SandboxError, SandboxGone, TransportError
from session_widgets.host.daemon import read_json, write_private
from session_widgets.model import Capability, Endpoint, Machine, SandboxRef
from session_widgets.progress import Progress, silent

NAME = "runner"
EXAMPLE = "runner:http://127.0.0.1:9000"
TOKEN_VARIABLE = "SESSION_WIDGETS_RUNNER_TOKEN"  # noqa: S105 - the name of the variable, not a token


class RemoteSandbox:
    """A runner on another machine."""

    deadline: float | None = None

    def __init__(self, ref: SandboxRef, workspace: str, endpoint: Endpoint) -> None:
        self.ref = ref
        self.workspace = workspace
        self.runner = RunnerClient(endpoint, workspace)
        self.exec = self.runner.exec
        self.read = self.runner.read
        self.write = self.runner.write

    def tree(self) -> RunnerTree:
        """Return the workspace as a file tree."""
        return RunnerTree(self.runner.endpoint, self.workspace, int(self.ref.id, 16))

    async def endpoint(self, port: int | None = None) -> Endpoint:
        """Return the runner's endpoint; it forwards no other port."""
        if port is None:
            return self.runner.endpoint
        raise SandboxError(f"a runner on another machine forwards no port; port {port} was asked for.")

    async def extend(self, seconds: float) -> None:
        """Any request extends the idle deadline; there is no other deadline."""

    async def aclose(self) -> None:
        """Close the connections; the runner keeps running."""
        await self.runner.aclose()


class RemoteProvider:
    """Uses a runner that a person has started.

    Args:
        home: the data directory.
        url: the runner's address; None only lists and removes.
    """

    capabilities = Capability.EXTEND
    options = frozenset({"env", "idle"})

    def __init__(self, home: Path, url: str | None = None) -> None:
        self._root = home / "runners"
        self._url = url
        self._tokens = Tokens(self._root, TOKEN_VARIABLE)
        self._machine: Machine | None = None
        self.name = NAME if url is None else f"{NAME}:{url}"

    @classmethod
    def at(cls, home: Path, address: str, token: str | None) -> RemoteProvider:
        """Return the provider for a runner; a token is stored in a file of `home`, readable only by its owner.

        Raises:
            BadValue: the address is not a URL, or contains a secret.
        """
        provider = cls(home, checked_url(address, EXAMPLE))
        if token is not None:
            provider._tokens.store(provider._here, token)
        return provider

    @property
    def _here(self) -> str:
        if self._url is None:
            raise BadValue(f"sandbox='runner' needs the address of a runner: sandbox={EXAMPLE!r}.")
        return self._url

    def check(self, harness: str, location: str) -> None:
        """Accepts any harness and any workspace, but no missing address."""
        assert self._here

    async def machine(self, workspace: str) -> Machine:
        """Return the runner's machine."""
        if self._machine is None:
            async with aclosing(self._client(self._here)) as client:
                self._machine = await client.machine()
        return self._machine

    async def create(self, spec: SandboxSpec, announce: Announce) -> RemoteSandbox:
        """Claim the runner, and upload the harness if it does not have it."""
        ref = SandboxRef(NAME, uuid4().hex[:12])
        machine = await self.machine(spec.workspace)
        await announce(ref)
        place = self._place(ref)
        place.mkdir(parents=True, mode=0o700)
        made = {
            "session": spec.session_id,
            "owner": spec.owner,
            "created": datetime.now(UTC).isoformat(),
            "url": self._here,
            "root": machine.root,
            "env": dict(spec.env),
            "agents": {name: dict(entry) for name, entry in spec.agents.items()},
            "uploads": dict(spec.mounts),
            "idle": spec.idle_seconds,
        }
        write_private(place / RECORD, made)
        try:
            return await self._claim(ref, made, spec.progress, new=True)
        except BaseException:
            with suppress(SandboxError):  # without an answer the record stays: a sweep releases the runner
                await asyncio.shield(self.destroy(ref))
            raise

    async def attach(self, ref: SandboxRef) -> RemoteSandbox:
        """Reconnect to the runner, or start the work of a parked session again."""
        return await self._claim(ref, made_of(self._place(ref), NAME), silent, new=False)

    async def park(self, ref: SandboxRef) -> SandboxRef:
        """Kill all processes of the session; its files stay there."""
        made = read_json(self._place(ref) / RECORD)
        if made is not None:
            async with aclosing(self._client(made["url"])) as client:
                with suppress(SandboxGone):
                    await client.park(ref.id)
        return ref

    end_processes = park

    async def destroy(self, ref: SandboxRef) -> bool:
        """Kill all processes of the session, remove its files there, and release the runner."""
        place = self._place(ref)
        made, released = read_json(place / RECORD), False
        if made is not None:  # else a kernel was killed before it wrote the record, or after it removed it
            async with aclosing(self._client(made["url"])) as client:
                with suppress(SandboxGone, NoClaim):
                    await client.release(ref.id)
                    released = True
        shutil.rmtree(place, ignore_errors=True)
        return released

    async def list(self, session_id: str | None = None) -> AsyncIterator[SandboxInfo]:
        """Yield the recorded sandboxes of this runner, or of all; one that cannot be reached counts as stopped."""
        for place, made in recorded(self._root):
            if session_id in {None, made["session"]} and self._url in {None, made["url"]}:
                yield info(NAME, place.name, made, running=await self._runs(place.name, made["url"]))

    async def aclose(self) -> None:
        """Does nothing: the provider holds no connections."""

    def _place(self, ref: SandboxRef) -> Path:
        if ref.provider != NAME or not ref.id.isalnum():
            raise SandboxGone(f"{ref} is not a sandbox of the provider '{NAME}'.")
        return self._root / ref.id

    def _client(self, url: str) -> ClaimClient:
        return ClaimClient(self._tokens.endpoint(url))

    async def _claim(self, ref: SandboxRef, made: dict[str, Any], progress: Progress, *, new: bool) -> RemoteSandbox:
        async with aclosing(self._client(made["url"])) as client:
            wanted = {name: made[name] for name in ("session", "owner", "env", "agents")}
            await client.claim({"id": ref.id, "idleSeconds": made["idle"], **wanted}, new=new)
            for folder, inside in made["uploads"].items():
                await client.upload(PurePosixPath(inside).name, Path(folder), progress)
            endpoint = client.endpoint
        return RemoteSandbox(ref, made["root"], Endpoint(endpoint.url, {**endpoint.headers, HEADER: ref.id}))

    async def _runs(self, id: str, url: str) -> bool:
        try:
            async with aclosing(self._client(url)) as client:
                held = await client.holder()
        except (SandboxGone, NoClaim, TransportError):
            return False
        return held.get("id") == id and held.get("state") == "running"
