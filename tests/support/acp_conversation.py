"""A client as a session is one, without a store: it pumps, answers permission requests, and waits for results."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from session_widgets.acp import AcpConnection, Peer, PermissionRequest, Received, messages, protocol
from session_widgets.acp.permissions import selected
from session_widgets.errors import ProtocolError
from tests.support.acp_servers import Server

WITHIN = 20  # seconds


class Conversation:
    """Everything that was received so far, and the way to say something.

    `answering` is the kind of option that permission requests are answered with; None leaves them open.
    """

    def __init__(self, connection: AcpConnection, peer: Peer, answering: str | None) -> None:
        self.connection = connection
        self.peer = peer
        self.answering = answering
        self.received: list[Received] = []
        self.lost: list[str] = []
        self.session_id = ""

    async def call(self, method: str, params: dict) -> Any:
        return await asyncio.wait_for(await self.start(method, params), WITHIN)

    async def start(self, method: str, params: dict) -> asyncio.Future[Any]:
        call = self.peer.request(method, params)
        await self.connection.post(call.envelope)
        return call.result

    async def open(self, cwd: str) -> None:
        await self.call("initialize", protocol.initialize_params("0"))
        self.session_id = (await self.call("session/new", {"cwd": cwd, "mcpServers": []}))["sessionId"]

    async def prompt(self, text: str) -> dict:
        return await asyncio.wait_for(await self.begin(text), WITHIN)

    async def begin(self, text: str) -> asyncio.Future[Any]:
        params = {"sessionId": self.session_id, "prompt": [{"type": "text", "text": text}]}
        return await self.start("session/prompt", params)

    async def cancel(self) -> None:
        await self.connection.post(messages.notification("session/cancel", {"sessionId": self.session_id}))

    async def pump(self) -> None:
        while True:
            try:
                async for batch in self.connection.batches():
                    await self._take(batch)
            except ProtocolError as error:
                self.lost.append(str(error))
            else:
                return

    async def _take(self, batch: list[Received]) -> None:
        self.received += batch
        for received in batch:
            if self.peer.handle(received.message) == "request":
                await self._answer(received.message)

    async def _answer(self, message: dict) -> None:
        if message["method"] != "session/request_permission":
            await self.connection.post(messages.error(message, messages.METHOD_NOT_FOUND, "no such thing here"))
        elif self.answering:
            request = PermissionRequest.parse(message)
            option = next(option for option in request.options if option.kind == self.answering)
            await self.connection.post(messages.result(message, selected(option)))

    def updates(self, kind: str) -> list[dict]:
        updates = [r.message["params"]["update"] for r in self.received if r.message.get("method") == "session/update"]
        return [update for update in updates if update["sessionUpdate"] == kind]

    @property
    def text(self) -> str:
        return "".join(update["content"]["text"] for update in self.updates("agent_message_chunk"))

    def requests(self, method: str) -> list[dict]:
        return [r.message for r in self.received if r.message.get("method") == method]


@asynccontextmanager
async def conversation(
    server: Server, agent: str, *, answering: str | None = "allow_once", name: str = ""
) -> AsyncIterator[Conversation]:
    """Start an agent and a session with it; end the agent afterwards."""
    peer = Peer()
    connection = AcpConnection(server.endpoint, name or str(uuid4()), agent, on_post_failed=peer.fail)
    talk = Conversation(connection, peer, answering)
    pumping = asyncio.create_task(talk.pump())
    try:
        await talk.open(str(server.workspace))
        yield talk
    finally:
        # A DELETE takes sandbox-agent the 2 s that we give it; its agents end with it.
        await (connection.close() if server.ours else connection.detach())
        await pumping
