"""ACP over HTTP: envelopes go out by POST and come back as server-sent events."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from session_widgets.acp import messages
from session_widgets.acp.backoff import Backoff
from session_widgets.acp.problems import error_of, too_large
from session_widgets.acp.stream import EventStream, Received
from session_widgets.answers import PLAIN, ask, is_far
from session_widgets.errors import BadValue, SessionWidgetsError, TransportError
from session_widgets.model import Endpoint
from session_widgets.transcript.records import Json

ACCEPTED_WITHIN = 30.0  # seconds
GIVE_UP = 3.0  # seconds
CLOSED_WITHIN = 2.0  # seconds
SANDBOX_AGENT_TAKES = 2 << 20  # bytes
MOST_ANSWER = 128 << 20  # bytes; sandbox-agent answers a POST by the agent's response
_DROP_POST_AFTER = 1.0  # seconds

_log = logging.getLogger(__name__)


class AcpConnection:
    """One agent process behind a runner, or behind a sandbox-agent 0.4 server.

    Args:
        endpoint: address of the runner, with its token.
        server_id: unique name of the agent process: a uuid.
        agent: the agent to start if none runs under that name.
        last_id: number of the last message that the caller has; 0 for none.
        on_post_failed: called with the id of a request and the error when a server without "async-post" fails
            a request after `post` has returned. A TransportError leaves the outcome unknown.
        give_up: seconds without an answer after which the runner counts as unreachable; None: GIVE_UP.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        server_id: str,
        agent: str,
        last_id: int = 0,
        *,
        on_post_failed: Callable[[str, SessionWidgetsError], None] | None = None,
        give_up: float | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.server_id = server_id
        self._client = httpx.AsyncClient(
            base_url=endpoint.url,
            headers={**PLAIN, **endpoint.headers},
            verify=endpoint.url.startswith("https:"),  # creating a TLS context costs 20 ms
            trust_env=is_far(endpoint.url),
            limits=httpx.Limits(max_connections=None),
        )
        self._path = f"/v1/acp/{quote(server_id, safe='')}"
        self._agent = agent
        self._on_post_failed = on_post_failed
        self._give_up = give_up = GIVE_UP if give_up is None else give_up
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

    @property
    def heard_at(self) -> float:
        """When its stream last brought anything, heartbeats too, on the monotonic clock."""
        return self._stream.heard_at

    @property
    def extensions(self) -> frozenset[str]:
        """`features`, if its stream is open and they are known; else none."""
        return self._features if self._features is not None and self._stream.is_open else frozenset()

    async def post(self, envelope: Json, *, snapshot: str | None = None) -> None:
        """Send one envelope.

        Returns once the runner has accepted it, or, for a request to a server without "async-post", once
        it is sent. Only `batches` yields the answer.

        Args:
            envelope: the message.
            snapshot: name of a snapshot that a server with "changes" takes before it passes a request on. The
                notification `CHANGES` then precedes the answer, unless the changes are too many.

        Raises:
            BadValue: it has no JSON form.
            TransportError: the runner cannot be reached (`unsent`), or the connection broke, so the outcome is unknown.
            AgentExited: the agent has exited; `unsent` if it certainly did not receive the envelope.
            ProtocolError: it answers a request of the agent that another client has already answered.
            LimitExceeded: it is larger than the runner accepts.
            SandboxAuth: the token was refused.
            AgentError: any other refusal.
        """
        if self._closed:
            raise TransportError("this connection was closed", unsent=True)
        try:
            body = orjson.dumps(envelope)
        except TypeError as error:
            raise BadValue(f"an envelope must be JSON: {error}") from error
        ours = "async-post" in await self.features()
        if not ours and len(body) > SANDBOX_AGENT_TAKES:  # its 413 is often lost, because it disconnects early
            raise too_large(len(body), f"sandbox-agent takes {SANDBOX_AGENT_TAKES:,}")
        self._posted_at = time.monotonic()
        is_request = messages.is_request(envelope)
        if ours:
            await self._post(body, envelope, snapshot, resend=is_request)
        elif is_request:
            await self._post_in_background(body, envelope)
        else:
            await self._post(body, envelope)

    async def batches(self) -> AsyncGenerator[list[Received], None]:
        """Yield what the agent sends after `last_id`: in order, each message once, none missing.

        A batch holds the messages since the last one, at most 500 or about 1 MB; the first
        message after a silence is yielded at once. Cut streams are resumed. Ends after `_adapter/agent_exited`
        and when the connection is closed. The next call continues after the last message.

        Raises:
            ProtocolError: messages are lost, and a second request did not return them; the next call
                continues after the gap.
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
        """Allow the runner to delete messages up to `id`, which are stored here.

        Does nothing if the runner does not support it or cannot be reached: the messages are then kept.
        """
        if self._closed or "ack" not in await self.features():
            return
        try:
            await self._client.post(f"{self._path}/ack", json={"id": id}, timeout=ACCEPTED_WITHIN)
        except httpx.TransportError as error:
            _log.debug("message %d of %s was not acknowledged: %r", id, self._path, error)

    async def features(self) -> frozenset[str]:
        """Features of the server beyond sandbox-agent's API; requested once.

        Raises:
            TransportError: the runner cannot be reached.
            SandboxAuth: the token was refused.
        """
        if self._features is None:
            response = await self._request("GET", "/v1/health", resend=True)
            try:
                self._features = frozenset(orjson.loads(response.content).get("features", ()))
            except (orjson.JSONDecodeError, AttributeError, TypeError) as error:
                raise TransportError("the server there is not a runner: its health is unreadable") from error
        return self._features

    async def close(self, grace: float | None = None) -> None:
        """Stop the agent and close the connection. Takes at most 2 s, raises nothing, and may be called again.

        Args:
            grace: seconds from SIGTERM to SIGKILL; None for the runner's default.
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
        """Close the connection and leave the agent running."""
        self._closed = True
        await self._stream.close()
        posts = list(self._posts.values())
        for post in posts:
            post.cancel()
        await asyncio.gather(*posts, return_exceptions=True)
        await self._client.aclose()

    def _may_appear(self) -> bool:
        """Whether a 404 may be temporary: the first POST may still be starting the agent."""
        waited = time.monotonic() - self._posted_at
        return not self._known and (bool(self._posts) or waited < self._give_up)

    async def _post(
        self, body: bytes, envelope: Json, snapshot: str | None = None, *, resend: bool = False, **options: Any
    ) -> None:
        params = {} if self._known else {"agent": self._agent}
        prefer = "respond-async" if snapshot is None else f"respond-async, snapshot={snapshot}"
        await self._request(
            "POST",
            self._path,
            resend=resend,
            answering=messages.method_of(envelope) is None,
            content=body,
            params=params,
            headers={"content-type": "application/json", "accept": "application/json", "prefer": prefer},
            **options,
        )
        self._known = True

    async def _post_in_background(self, body: bytes, envelope: Json) -> None:
        """Send a request to a server that answers a POST only after the agent's answer, or never."""
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
        """Stop waiting for POSTs whose answer came by the stream: their own answer may never come."""
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
        """Make one HTTP request; retry if nothing was sent, or if `resend` allows a second attempt."""
        timeout = timeout or httpx.Timeout(ACCEPTED_WITHIN, connect=self._give_up)
        patience = Backoff(self._give_up)
        never_sent = True
        while True:
            if self._closed:  # closed during a pause, or since `post` requested the features
                closed = "the connection to the runner was closed before it accepted the message"
                raise TransportError(closed, unsent=never_sent)
            try:
                response = await ask(self._client, method, path, most=MOST_ANSWER, timeout=timeout, **options)
            except httpx.TransportError as error:
                unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                never_sent &= unsent
                if patience.is_over() or not (unsent or resend):
                    outcome = "cannot be reached" if unsent else "broke off; the outcome of the message is unknown"
                    raise TransportError(f"the runner {outcome}: {error!r:.200}", unsent=never_sent) from error
                await patience.pause()
            else:
                if response.is_success:
                    return response
                refusal = error_of(response, answering=answering)
                if isinstance(refusal, TransportError):
                    refusal.unsent &= never_sent  # an earlier attempt may have arrived
                raise refusal
