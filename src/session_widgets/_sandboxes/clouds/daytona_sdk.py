"""What belongs to the SDK of Daytona and not to one box: its client, which a loop's sessions share, and its errors."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from session_widgets._sandboxes.clouds.contract import said
from session_widgets._sandboxes.clouds.limits import slower
from session_widgets.errors import (
    ExecTimeout,
    SandboxAuth,
    SandboxBusy,
    SandboxError,
    SandboxGone,
    SandboxNotRunning,
    SandboxQuota,
    SessionWidgetsError,
    TransportError,
)

if TYPE_CHECKING:
    from daytona import AsyncDaytona

API_URL = "https://app.daytona.io/api"
KEYS = "https://app.daytona.io/dashboard/keys"
REMEDY = f"Keys are made at {KEYS}, with the permissions to write and to delete sandboxes."
CHANGE_SECONDS = 300
"""For a change of state: an archived disk is fetched first."""
CLOSE_SECONDS = 5
LINGER_SECONDS = 90
"""Longer than the time between two beats: while a session is attached, its connections are the same."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the account is. The key is never shown."""

    key: str = field(repr=False)
    url: str
    region: str | None

    @classmethod
    def read(cls) -> Settings:
        """Read the environment of the process."""
        given = os.environ.get
        return cls(given("DAYTONA_API_KEY", ""), given("DAYTONA_API_URL") or API_URL, given("DAYTONA_TARGET") or None)


class _Shared:
    """The client that the sessions of a loop share. It is closed when nobody has used it for a while."""

    def __init__(self, settings: Settings) -> None:
        self._calls = 0
        self._users: weakref.WeakSet[object] = weakref.WeakSet()
        self._used = asyncio.get_running_loop().time()
        self._settings = settings
        self._all = _clients()
        self._all[settings] = self
        self._making = asyncio.create_task(asyncio.to_thread(_client, settings))
        self._keeping = asyncio.create_task(self._keep())

    @asynccontextmanager
    async def use(self, user: object) -> AsyncIterator[AsyncDaytona]:
        self._calls += 1
        self._users.add(user)
        try:
            await asyncio.wait([self._making])  # a call that is cancelled leaves it to the others
            if self._making.exception() is not None:
                self._forget()
            yield self._making.result()
        finally:
            self._calls -= 1
            self._used = asyncio.get_running_loop().time()

    async def leave(self, user: object) -> None:
        self._users.discard(user)
        if not self._users and not self._calls:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)

    def _forget(self) -> None:
        if self._all.get(self._settings) is self:
            del self._all[self._settings]

    async def _keep(self) -> None:
        loop, made = asyncio.get_running_loop(), self._making
        try:
            await asyncio.wait([made])
            while made.exception() is None and (self._calls or loop.time() < self._used + LINGER_SECONDS):  # noqa: ASYNC110 - time has no event
                await asyncio.sleep(LINGER_SECONDS / 4)
        finally:
            self._forget()
            if made.done() and not made.cancelled() and made.exception() is None:
                await close(made.result())


def _client(settings: Settings) -> AsyncDaytona:
    """Make a client; it takes more than a second, and connects on its first use, to the loop of that."""
    from daytona import AsyncDaytona, DaytonaConfig

    with _process_environment():
        return AsyncDaytona(DaytonaConfig(api_key=settings.key, api_url=settings.url, target=settings.region))


async def close(client: AsyncDaytona) -> None:
    """Close a client. The SDK would leave a connection for events open that it is just making."""
    connecting = getattr(getattr(client, "_event_dispatcher", None), "_connect_task", None)
    if connecting is not None:
        await asyncio.wait([connecting], timeout=CLOSE_SECONDS)
    await client.close()  # type: ignore[no-untyped-call]  # the SDK gives it no types


@asynccontextmanager
async def using(user: object, settings: Settings) -> AsyncIterator[AsyncDaytona]:
    """Yield the client of this loop for these settings.

    Args:
        user: an adapter, until it calls `leave`.
        settings: of the account.
    """
    async with (_clients().get(settings) or _Shared(settings)).use(user) as client:
        yield client


async def leave(user: object, settings: Settings) -> None:
    """Close the client, unless others use it."""
    if (shared := _clients().get(settings)) is not None:
        await shared.leave(user)


_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Settings, _Shared]] = weakref.WeakKeyDictionary()


def _clients() -> dict[Settings, _Shared]:
    return _loops.setdefault(asyncio.get_running_loop(), {})


@contextmanager
def _process_environment() -> Iterator[None]:
    """Keep the SDK from `.env` and `.env.local` of the working directory, which may be a stranger's repository."""
    from daytona._utils.env import DaytonaEnvReader

    given = DaytonaEnvReader.__dict__["_load"]
    DaytonaEnvReader._load = staticmethod(lambda path: {})  # type: ignore[method-assign]  # the SDK has no option for it
    try:
        yield
    finally:
        DaytonaEnvReader._load = given  # type: ignore[method-assign]  # the one from before


def may_have_created(error: Exception) -> bool:
    """Whether a box may exist: the answer was lost, or one of this name, which is only ours, exists already."""
    from daytona.common.errors import DaytonaConflictError, DaytonaConnectionError, DaytonaError, DaytonaTimeoutError

    if isinstance(error, DaytonaTimeoutError) and error.sandbox_id:
        return False  # it exists and did not start
    lost = isinstance(error, DaytonaError) and (error.status_code or 0) >= 500
    return lost or isinstance(error, DaytonaConflictError | DaytonaConnectionError | DaytonaTimeoutError)


def is_changing(error: Exception) -> bool:
    """Whether the vendor refuses only until another change of the box's state is over."""
    from daytona.common.errors import DaytonaError

    return isinstance(error, DaytonaError) and "state change in progress" in error.message.lower()


def translate(error: Exception) -> SessionWidgetsError | None:
    """Return our error of one of the SDK; None for one that says only that something broke."""
    from daytona.common import errors

    if isinstance(error, TimeoutError):
        return TransportError(f"Daytona did not change the state of the sandbox within {CHANGE_SECONDS} s.")
    if not isinstance(error, errors.DaytonaError):
        return None
    text, status = error.message.lower(), error.status_code
    if "limit exceeded" in text or "quota" in text:
        return SandboxQuota(
            f"a limit of the Daytona account is reached: {said(error)}. Stopped sandboxes count too, until they are "
            "archived: sw.sandboxes() shows them. Destroy some, or raise the tier in the dashboard."
        )
    if isinstance(error, errors.DaytonaProcessExecutionTimeoutError):
        return ExecTimeout(f"a command in the sandbox took too long: {said(error)}")
    match status:
        case 401:
            return SandboxAuth(f"Daytona refused the key of DAYTONA_API_KEY: {said(error)}. {REMEDY}")
        case 403:
            return SandboxAuth(f"the key of DAYTONA_API_KEY may not do that: {said(error)}. {REMEDY}")
        case 429:
            return SandboxBusy(f"Daytona limits the rate: {said(error)}. {slower('daytona')}", retry_after=_wait(error))
        case 404 if error.code == "SANDBOX_NOT_FOUND" or "sandbox with id" in text:
            return SandboxGone(f"Daytona has no such sandbox any more: {said(error)}")
        case 400 if error.code == "SANDBOX_NOT_STARTED" or "not running" in text or "not started" in text:
            return SandboxNotRunning(f"the sandbox does not run: {said(error)}. The next prompt starts it.")
    if "no available runners" in text or "capacity" in text:
        return SandboxBusy(
            f"Daytona has no room for a sandbox now: {said(error)}. Wait, or set DAYTONA_TARGET to another region."
        )
    if "region" in text and status in {400, 404, 422}:
        return SandboxError(f"Daytona refused: {said(error)}. DAYTONA_TARGET names a region; the account has its own.")
    if "build_failed" in text:
        return SandboxError(
            f"Daytona could not make a snapshot of the image: {said(error)}. Is its name right, with a tag?"
        )
    if "state: " in text or status in {400, 409, 422} or (status == 404 and error.source):
        return SandboxError(f"Daytona refused: {said(error)}")
    return None


def _wait(error: Any) -> float | None:
    with suppress(ValueError):
        return float({name.lower(): value for name, value in error.headers.items()}.get("retry-after", ""))
    return None
