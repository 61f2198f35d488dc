"""ACP over HTTP: envelopes go out by POST and come back as server-sent events."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from session_widgets.acp import messages
from session_widgets.acp.patience import Patience
from session_widgets.acp.problems import error_of, too_large
from session_widgets.acp.stream import EventStream, Received
from session_widgets.answers import PLAIN, ask
from session_widgets.errors import BadValue, SessionWidgetsError, TransportError
from session_widgets.model import Endpoint
from session_widgets.transcript.records import Json

ACCEPTED_WITHIN = 30.0  # seconds
CLOSED_WITHIN = 2.0  # seconds
SANDBOX_AGENT_TAKES = 2 << 20  # bytes
MOST_ANSWER = 128 << 20  # bytes; sandbox-agent answers a POST by the agent's response
_DROP_POST_AFTER = 1.0  # seconds

_log = logging.getLogger(__name__)


class AcpConnection:
    """One agent process behind a runner, or behind a sandbox-agent 0.4 server.

    Args:
        endpoint: where the runner answers, with its token.
        server_id: name of the agent process, unique for ever: a uuid.
        agent: which agent to start if there is none under that name yet.
        last_id: number of the last message that the caller holds; 0 for none.
        on_post_failed: told the id of a request and the error when a server without "async-post" fails
            a request after `post` has returned. A TransportError there says nothing about the outcome.
        give_up: seconds without an answer after which the runner counts as unreachable.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        server_id: str,
        agent: str,
        last_id: int = 0,
        *,
        on_post_failed: Callable[[str, SessionWidgetsError], None] | None = None,
        give_up: float = 3.0,
    ) -> None:
        self.endpoint = endpoint
        self.server_id = server_id
        self._client = httpx.AsyncClient(
            base_url=endpoint.url,
            headers={**PLAIN, **endpoint.headers},
            verify=endpoint.url.startswith("https:"),  # making a TLS context costs 20 ms
            trust_env=not _is_loopback(endpoint.url),
            limits=httpx.Limits(max_connections=None),
        )
        self._path = f"/v1/acp/{quote(server_id, safe='')}"
        self._agent = agent
        self._on_post_failed = on_post_failed
        self._give_up = give_up
        self._features: frozenset[str] | None = None
        self._known = last_id > 0
        self._posted_at = time.monotonic()
        self._posts: dict[str, asyncio.Task[None]] = {}
        self._closed = False
        self._stream = EventStream(self._client, self._path, last_id, give_up=give_up, may_appear=self._may_appear)

    @property
    def last_id(self) -> int:
        """Number of the last message that `batches` has yielded."""
        return self._stream.last_id

    async def post(self, envelope: Json) -> None:
        """Send one envelope.

        Returns once the runner has accepted it, or, for a request to a server without "async-post", once
        it is sent. The answer to a request comes through `batches` alone.

        Raises:
            BadValue: it cannot be written as JSON.
            TransportError: the runner cannot be reached, or broke off so that the outcome is unknown.
            AgentExited: the agent is gone.
            ProtocolError: it answers a request of the agent that another client has answered already.
            LimitExceeded: it is larger than the runner takes.
            SandboxAuth: the token was refused.
            AgentError: any other refusal.
        """
        if self._closed:
            raise TransportError("this connection was closed")
        try:
            body = orjson.dumps(envelope)
        except TypeError as error:
            raise BadValue(f"an envelope must be JSON: {error}") from error
        ours = "async-post" in await self.features()
        if not ours and len(body) > SANDBOX_AGENT_TAKES:  # its own 413 is often lost as it hangs up in mid-request
            raise too_large(len(body), f"sandbox-agent takes {SANDBOX_AGENT_TAKES:,}")
        self._posted_at = time.monotonic()
        is_request = messages.is_request(envelope)
        if ours:
            await self._post(body, envelope, resend=is_request)
        elif is_request:
            await self._post_in_background(body, envelope)
        else:
            await self._post(body, envelope)

    async def batches(self) -> AsyncGenerator[list[Received], None]:
        """Yield what the agent sends after `last_id`: in order, each message once, none missing.

        A batch holds what has arrived since the last one, at most 500 messages or about 1 MB; the first
        message after a silence comes at once. Cut streams are resumed. Ends after `_adapter/agent_exited`
        and when the connection is closed. Calling it again continues where the last call stopped.

        Raises:
            ProtocolError: messages are lost, and asking again did not bring them; the next call
                continues behind the gap.
            TransportError: the runner cannot be reached.
            AgentExited: the runner does not know this connection.
            SandboxAuth: the token was refused.
        """
        stream = self._stream.batches()
        try:
            async for batch in stream:
                if self._posts:
                    self._drop_answered(batch)
                yield batch
        finally:
            await stream.aclose()

    async def ack(self, id: int) -> None:
        """Let the runner forget messages up to `id`, which are stored here.

        Nothing happens if the runner does not offer it or cannot be reached: it then merely keeps them.
        """
        if self._closed or "ack" not in await self.features():
            return
        try:
            await self._client.post(f"{self._path}/ack", json={"id": id}, timeout=ACCEPTED_WITHIN)
        except httpx.TransportError as error:
            _log.debug("message %d of %s was not acknowledged: %r", id, self._path, error)

    async def features(self) -> frozenset[str]:
        """What the server can do beyond sandbox-agent's API; asked once.

        Raises:
            TransportError: the runner cannot be reached.
            SandboxAuth: the token was refused.
        """
        if self._features is None:
            response = await self._request("GET", "/v1/health", resend=True)
            try:
                self._features = frozenset(orjson.loads(response.content).get("features", ()))
            except (orjson.JSONDecodeError, AttributeError, TypeError) as error:
                raise TransportError("what answers there is no runner: its health is unreadable") from error
        return self._features

    async def close(self, grace: float | None = None) -> None:
        """Stop the agent and let go. Takes at most 2 s, raises nothing, and may be called again.

        Args:
            grace: seconds that the agent has to end by itself before it is killed; None leaves that to the runner.
        """
        if self._closed:
            return
        try:
            async with asyncio.timeout(CLOSED_WITHIN):
                params = {} if grace is None else {"graceMs": round(grace * 1000)}
                await self._client.delete(self._path, params=params)
        except (httpx.HTTPError, TimeoutError) as error:
            _log.debug("DELETE of %s got no answer: %r", self._path, error)
        await self.detach()

    async def detach(self) -> None:
        """Let go and leave the agent running."""
        self._closed = True
        await self._stream.close()
        posts = list(self._posts.values())
        for post in posts:
            post.cancel()
        await asyncio.gather(*posts, return_exceptions=True)
        await self._client.aclose()

    def _may_appear(self) -> bool:
        """Whether a 404 can be a matter of time: the first POST may still be starting the agent."""
        waited = time.monotonic() - self._posted_at
        return not self._known and (bool(self._posts) or waited < self._give_up)

    async def _post(self, body: bytes, envelope: Json, *, resend: bool = False, **options: Any) -> None:
        params = {} if self._known else {"agent": self._agent}
        await self._request(
            "POST",
            self._path,
            resend=resend,
            answering=messages.method_of(envelope) is None,
            content=body,
            params=params,
            headers={"content-type": "application/json", "accept": "application/json", "prefer": "respond-async"},
            **options,
        )
        self._known = True

    async def _post_in_background(self, body: bytes, envelope: Json) -> None:
        """Send a request to a server that answers a POST when the agent has answered, or never."""
        request_id = str(envelope["id"])
        sent = asyncio.Event()

        async def trace(name: str, _info: object) -> None:
            if name == "http11.send_request_body.complete":
                sent.set()

        task = asyncio.create_task(
            self._post(body, envelope, timeout=httpx.Timeout(self._give_up, read=None), extensions={"trace": trace})
        )
        self._posts[request_id] = task
        task.add_done_callback(lambda _: self._posts.pop(request_id))
        task.add_done_callback(lambda _: sent.set())
        try:
            await sent.wait()
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.done():
            task.result()
        else:
            task.add_done_callback(lambda _: self._report_failure(request_id, task))

    def _report_failure(self, request_id: str, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, SessionWidgetsError) and self._on_post_failed is not None:
            self._on_post_failed(request_id, error)
        elif error is not None:
            _log.warning("request %s failed: %r", request_id, error)

    def _drop_answered(self, batch: list[Received]) -> None:
        """Stop waiting for POSTs whose answer came by the stream: their own may never come."""
        loop = asyncio.get_running_loop()
        for received in batch:
            message = received.message
            if message.get("method") == messages.AGENT_EXITED:
                answered = list(self._posts.values())
            elif "method" not in message and (task := self._posts.get(str(message.get("id")))):
                answered = [task]
            else:
                continue
            for task in answered:
                loop.call_later(_DROP_POST_AFTER, task.cancel)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        resend: bool,
        answering: bool = False,
        timeout: httpx.Timeout | None = None,
        **options: Any,
    ) -> httpx.Response:
        """Make one HTTP request; try again if nothing was sent, or if `resend` says that it does no harm."""
        timeout = timeout or httpx.Timeout(ACCEPTED_WITHIN, connect=self._give_up)
        patience = Patience(self._give_up)
        while True:
            if self._closed:  # while it waited to try again, or since `post` asked for the features
                raise TransportError("the connection to the runner was closed before it took the message")
            try:
                response = await ask(self._client, method, path, most=MOST_ANSWER, timeout=timeout, **options)
            except httpx.TransportError as error:
                unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                if patience.is_over() or not (unsent or resend):
                    outcome = "cannot be reached" if unsent else "broke off; what became of the message is unknown"
                    raise TransportError(f"the runner {outcome}: {error!r:.200}") from error
                await patience.pause()
            else:
                if response.is_success:
                    return response
                raise error_of(response, answering=answering)


def _is_loopback(url: str) -> bool:
    """Whether no proxy of the environment may stand between."""
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
