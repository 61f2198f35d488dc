"""The self-test of a provider: the checks of the contract, on sandboxes that are removed afterwards."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from session_widgets._sandboxes import SandboxSpec, get_provider
from session_widgets._sandboxes.conformance import CHECKS, OF_LIFE, SharingSubject, Subject
from session_widgets._sandboxes.contract import SandboxProvider
from session_widgets._sessions.owner import user
from session_widgets.errors import SandboxError, SessionWidgetsError
from session_widgets.model import SandboxRef
from session_widgets.progress import Progress, silent

SESSION = "self-test"
REACHABLE = "https://example.com/"
"""What a sandbox whose network has this host alone must reach."""


@dataclass(frozen=True, slots=True)
class Proof:
    """One check: the sentence of the contract, how long it took, and why it does not hold; None: it holds."""

    sentence: str
    seconds: float
    failure: str | None


async def self_test(name: str, progress: Progress = silent) -> AsyncIterator[Proof]:
    """Run the checks, each whether or not others have failed.

    Args:
        name: of the provider, as for `open_session`.
        progress: receives what is being done, such as the build of an image.

    Raises:
        SessionWidgetsError: no sandbox can be made; or some could not be removed, which the message names.
    """
    with tempfile.TemporaryDirectory(prefix="session-widgets-check-") as folder:
        provider = get_provider(name, Path(folder))
        provider.check("demo", str(Path(folder, "workspace")))
        try:
            shared: SandboxRef | None = await _create(provider, Path(folder), progress)
            # those that share it come first: a listing in a check of a sandbox's life must not show it
            for check in sorted(CHECKS, key=OF_LIFE.__contains__):
                if check in OF_LIFE and shared is not None:
                    await provider.destroy(shared)
                    shared = None
                subject = Subject(provider, lambda: _spec(Path(folder), progress), reachable=REACHABLE)
                if shared is not None:
                    subject = SharingSubject(provider, subject.spec, shared)
                began, failure = time.monotonic(), None
                try:
                    await check(subject)
                except (SessionWidgetsError, AssertionError) as error:
                    failure = str(error) or "it does not hold"
                sentence = " ".join((check.__doc__ or check.__name__).split())
                yield Proof(sentence, time.monotonic() - began, failure)
        finally:
            await asyncio.shield(_remove_all(provider))


async def _create(provider: SandboxProvider, folder: Path, progress: Progress) -> SandboxRef:
    announced: list[SandboxRef] = []
    subject = Subject(provider, lambda: _spec(folder, progress), announced)
    await (await provider.create(subject.spec(), subject.announce)).aclose()
    return announced[0]


def _spec(folder: Path, progress: Progress) -> SandboxSpec:
    return SandboxSpec(SESSION, str(folder / "workspace"), {}, owner=user(), idle_seconds=300, progress=progress)


async def _remove_all(provider: SandboxProvider) -> None:
    try:
        for ref in [info.ref async for info in provider.list()]:
            await provider.destroy(ref)
        if left := [str(info.ref) async for info in provider.list()]:
            raise SandboxError(f"these sandboxes could not be removed: {', '.join(left)}. Remove them at the provider.")
    finally:
        await provider.aclose()
