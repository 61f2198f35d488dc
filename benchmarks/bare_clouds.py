"""The SDKs of the clouds, called directly: what sandboxes of a cloud are measured against."""

from __future__ import annotations

import asyncio
import json
import shlex
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import httpx

from session_widgets._sandboxes.clouds.archive import runner_archive, this_target
from session_widgets.model import Endpoint
from tests.standins.account import Account
from tests.standins.daytona_account import DaytonaAccount
from tests.standins.e2b_account import E2BAccount
from tests.standins.modal_account import ModalAccount

PORT = 2468
AT_ONCE = 1_000
"""Files of one request, for an SDK that sends several."""
BESIDE = 16
"""Requests side by side, for one that sends a file each."""
SECONDS = 900
_START = """
mkdir -p /opt/bare/state /workspace && tar xzf /tmp/runner.tar.gz -C /opt/bare
install -m 600 /tmp/runner.json /opt/bare/
cd /
(PYTHONPATH=/opt/bare exec python3 -P -m session_widgets.runner --config /opt/bare/runner.json) </dev/null \
  >/dev/null 2>&1 &
"""


class Box(Protocol):
    """A box of a vendor, by its SDK."""

    async def exec(self, command: str) -> str:
        """Run a command as root."""

    async def upload(self, files: Mapping[str, Path]) -> None:
        """Copy files into it."""

    async def download(self, files: Sequence[str], to: Path) -> None:
        """Copy files out of it."""

    async def endpoint(self) -> Endpoint:
        """Return the address of `PORT`."""

    async def destroy(self) -> None:
        """Remove it."""


class E2B:
    """E2B: many files in one request, and one request for each to read."""

    def __init__(self, sandbox: Any, url: str) -> None:
        self._sandbox = sandbox
        self._url = url

    @classmethod
    async def create(cls, account: E2BAccount) -> E2B:
        from e2b import AsyncSandbox

        return cls(await AsyncSandbox.create(timeout=SECONDS), account.url)

    async def exec(self, command: str) -> str:
        return str((await self._sandbox.commands.run(command, user="root", cwd="/", timeout=SECONDS)).stdout)

    async def upload(self, files: Mapping[str, Path]) -> None:
        for some in _portions(list(files.items())):
            entries = [{"path": path, "data": file.read_bytes()} for path, file in some]
            await self._sandbox.files.write_files(entries, user="root", request_timeout=SECONDS)

    async def download(self, files: Sequence[str], to: Path) -> None:
        async def one(path: str) -> None:
            data = await self._sandbox.files.read(path, format="bytes", user="root", request_timeout=SECONDS)
            _put(to, path, data)

        await _side_by_side([one(path) for path in files])

    async def endpoint(self) -> Endpoint:
        headers = {"E2b-Sandbox-Id": self._sandbox.sandbox_id, "E2b-Sandbox-Port": str(PORT)}
        return Endpoint(self._url, headers)

    async def destroy(self) -> None:
        await self._sandbox.kill()


class Daytona:
    """Daytona: many files in one request, both ways."""

    def __init__(self, client: Any, sandbox: Any) -> None:
        self._client = client
        self._sandbox = sandbox

    @classmethod
    async def create(cls, account: DaytonaAccount) -> Daytona:
        from daytona import AsyncDaytona, CreateSandboxFromImageParams, DaytonaConfig

        given = account.environment
        client = AsyncDaytona(DaytonaConfig(api_key=given["DAYTONA_API_KEY"], api_url=given["DAYTONA_API_URL"]))
        return cls(client, await client.create(CreateSandboxFromImageParams(image="python:3.12"), timeout=SECONDS))

    async def exec(self, command: str) -> str:
        return str((await self._sandbox.process.exec(shlex.join(["/bin/sh", "-c", command]), timeout=SECONDS)).result)

    async def upload(self, files: Mapping[str, Path]) -> None:
        from daytona import FileUpload

        for some in _portions(list(files.items())):
            entries = [FileUpload(source=file.read_bytes(), destination=path) for path, file in some]
            await self._sandbox.fs.upload_files(entries, timeout=SECONDS)

    async def download(self, files: Sequence[str], to: Path) -> None:
        from daytona import FileDownloadRequest

        for some in _portions(files):
            found = await self._sandbox.fs.download_files([FileDownloadRequest(source=path) for path in some], SECONDS)
            for one in found:
                assert isinstance(one.result, bytes), one.error
                _put(to, one.source, one.result)

    async def endpoint(self) -> Endpoint:
        link = await self._sandbox.get_preview_link(PORT)
        return Endpoint(link.url, {"x-daytona-preview-token": link.token})

    async def destroy(self) -> None:
        await self._client.delete(self._sandbox)
        await self._client.close()


class Modal:
    """Modal: a command of its own for each file."""

    def __init__(self, sandbox: Any) -> None:
        self._sandbox = sandbox

    @classmethod
    async def create(cls, account: ModalAccount) -> Modal:
        import modal

        app = await modal.App.lookup.aio("bare", create_if_missing=True)
        sandbox = await modal.Sandbox.create.aio(
            "sleep", "infinity", app=app, image=modal.Image.debian_slim(), timeout=SECONDS, encrypted_ports=[PORT]
        )
        return cls(sandbox)

    async def exec(self, command: str) -> str:
        process = await self._sandbox.exec.aio("/bin/sh", "-c", command)
        out, _ = await asyncio.gather(process.stdout.read.aio(), process.wait.aio())
        return str(out)

    async def upload(self, files: Mapping[str, Path]) -> None:
        write = self._sandbox.filesystem.write_bytes.aio
        await _side_by_side([write(file.read_bytes(), path) for path, file in files.items()])

    async def download(self, files: Sequence[str], to: Path) -> None:
        async def one(path: str) -> None:
            _put(to, path, await self._sandbox.filesystem.read_bytes.aio(path))

        await _side_by_side([one(path) for path in files])

    async def endpoint(self) -> Endpoint:
        tunnel = (await self._sandbox.tunnels.aio())[PORT]
        return Endpoint(f"http://{tunnel.host}:{tunnel.port}")

    async def destroy(self) -> None:
        await self._sandbox.terminate.aio(wait=True)


VENDORS: Mapping[str, tuple[type[Account | ModalAccount], Any]] = {
    "e2b": (E2BAccount, E2B),
    "daytona": (DaytonaAccount, Daytona),
    "modal": (ModalAccount, Modal),
}


@asynccontextmanager
async def box(name: str, account: Any) -> AsyncIterator[Box]:
    """Create a box, and remove it at the end."""
    made = await VENDORS[name][1].create(account)
    try:
        yield made
    finally:
        await made.destroy()


async def to_first_answer(name: str, account: Any, place: Path) -> float:
    """Return the seconds from nothing to the agent's first answer: a box, the runner, the demo agent in it.

    This is the least that anybody has to ask for: two files, one command, and requests to the runner.
    """
    archive = place / "runner.tar.gz"
    archive.write_bytes(runner_archive(this_target()).data)
    token = uuid4().hex
    agent = {"command": ["python3", "-P", "-m", "session_widgets.demo"], "env": {"PYTHONPATH": "/opt/bare"}}
    config = {"root": "/workspace", "state": "/opt/bare/state", "host": "0.0.0.0", "port": PORT}
    config |= {"token": token, "nonce": uuid4().hex, "agents": {"demo": agent}}
    (place / "runner.json").write_text(json.dumps(config))
    began = time.perf_counter()
    async with box(name, account) as made:
        await made.upload({f"/tmp/{file.name}": file for file in (archive, place / "runner.json")})
        await made.exec(_START)
        reached = await made.endpoint()
        headers = {**reached.headers, "authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=reached.url, headers=headers, trust_env=False) as client:
            async with asyncio.timeout(60):
                while not await _is_healthy(client):  # noqa: ASYNC110 - only asking shows it
                    await asyncio.sleep(0.01)
            first = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": 1}}
            answer = await client.post("/v1/acp/bare", params={"agent": "demo"}, json=first, timeout=60)
            assert "result" in answer.json(), answer.text
        return time.perf_counter() - began


async def _is_healthy(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/v1/health")).status_code == 200
    except httpx.HTTPError:
        return False


async def _side_by_side(work: Sequence[Any]) -> None:
    free = asyncio.Semaphore(BESIDE)

    async def one(job: Any) -> None:
        async with free:
            await job

    await asyncio.gather(*map(one, work))


def _portions(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE)]


def _put(to: Path, path: str, data: bytes | bytearray) -> None:
    target = to / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
