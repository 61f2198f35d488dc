"""A notebook behind a proxy: every client reaches a far runner through it, and none the runner of this machine."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from session_widgets._sandboxes.claim_client import ClaimClient
from session_widgets._sandboxes.runner_client import RunnerClient
from session_widgets._sandboxes.runner_tree import RunnerTree
from session_widgets._sandboxes.tool_channel import ToolChannel
from session_widgets.acp import AcpConnection
from session_widgets.errors import SandboxError
from session_widgets.model import Endpoint
from tests.support.http_server import Request, serving

FAR = Endpoint("http://box.vendor.example")


async def connection(endpoint):
    acp = AcpConnection(endpoint, "s", "mock", give_up=0.1)
    await acp.post({"jsonrpc": "2.0", "method": "session/cancel"})
    await acp.detach()


async def claim(endpoint):
    client = ClaimClient(endpoint)
    with suppress(SandboxError, KeyError, TypeError):
        await client.holder()
    await client.aclose()


async def commands(endpoint):
    client = RunnerClient(endpoint, "/workspace")
    await client.health()
    await client.aclose()


async def tree(endpoint):
    files = RunnerTree(endpoint, "/workspace", 1)
    with suppress(SandboxError):
        await asyncio.to_thread(files.manifest, {})
    files.close()


async def tools(endpoint):
    channel = ToolChannel(endpoint, "s")
    with suppress(SandboxError, KeyError, TypeError):
        await channel.offer([])
    await channel.aclose()


@pytest.mark.parametrize("use", [connection, claim, commands, tree, tools], ids=lambda use: use.__name__)
@pytest.mark.parametrize("far", [True, False], ids=["far", "near"])
async def test_the_way_to_a_runner(use, far, monkeypatch):
    async def answer(request: Request) -> None:
        await request.reply(200, {})

    async with serving(answer) as (proxy, address), serving(answer) as (near, here):
        hosts = []
        for server in (proxy, near):
            monkeypatch.setattr(server, "_read", reading(server, server._read, hosts))
        monkeypatch.setenv("HTTP_PROXY", address.url)
        for name in ("NO_PROXY", "no_proxy", "http_proxy"):
            monkeypatch.delenv(name, raising=False)
        await use(FAR if far else here)
    assert {server for server, _ in hosts} == {proxy if far else near}
    assert {host for _, host in hosts} == {(FAR if far else here).url.removeprefix("http://")}


def reading(server, read, hosts):
    """Note which server was asked for which host."""

    async def noted(*streams):
        request = await read(*streams)
        hosts.append((server, request.headers["host"]))
        return request

    return noted
