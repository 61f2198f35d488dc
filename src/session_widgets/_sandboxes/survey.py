"""All sandboxes of an installation, from every installed provider."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path

from session_widgets._sandboxes.clouds.limits import most_boxes
from session_widgets._sandboxes.clouds.provider import CloudProvider
from session_widgets._sandboxes.contract import SandboxInfo, SandboxProvider
from session_widgets._sandboxes.registry import get_provider, provider_names
from session_widgets.errors import SessionWidgetsError

log = logging.getLogger(__name__)

SECONDS = 30
"""For the answer of a vendor."""


@dataclass(frozen=True, slots=True)
class Found:
    """The answer of one provider.

    Attributes:
        name: of the provider.
        provider: None if it cannot be loaded.
        sandboxes: running and parked.
        most: how many may run at a time; None: any number.
        problem: why it cannot be used, with the remedy; empty if it can.
        complete: whether `sandboxes` are all of them; a cloud without a key and without records has none.
    """

    name: str
    provider: SandboxProvider | None
    sandboxes: tuple[SandboxInfo, ...] = ()
    most: int | None = None
    problem: str = ""
    complete: bool = True


async def survey(home: Path) -> list[Found]:
    """Ask every installed provider, all at once; one that fails or is silent hides no other.

    Args:
        home: the data directory.
    """
    return list(await asyncio.gather(*(_ask(name, home) for name in provider_names())))


async def _ask(name: str, home: Path) -> Found:
    provider = most = None
    sandboxes: tuple[SandboxInfo, ...] = ()
    complete = False
    try:
        provider = get_provider(name, home)
        if isinstance(provider, CloudProvider):
            most = most_boxes(name)
        try:
            async with asyncio.timeout(SECONDS):
                sandboxes = tuple([info async for info in provider.list()])
            complete = True
            if isinstance(provider, CloudProvider):
                provider.vendor.check()
        finally:
            await provider.aclose()
    except TimeoutError:
        return Found(name, provider, sandboxes, most, f"it did not answer within {SECONDS} s: ask again.", complete)
    except SessionWidgetsError as error:
        return Found(name, provider, sandboxes, most, str(error), complete)
    except Exception as error:  # of another package
        log.exception("the provider %r of sandboxes failed", name)
        return Found(name, provider, sandboxes, most, f"{type(error).__name__}: {error}", complete)
    return Found(name, provider, sandboxes, most)
