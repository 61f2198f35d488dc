"""Ending the sandboxes that nobody refers to any more."""

from __future__ import annotations

from collections.abc import Callable

from session_widgets.sandboxes.contract import SandboxInfo, SandboxProvider


async def sweep(provider: SandboxProvider, is_wanted: Callable[[SandboxInfo], bool]) -> list[SandboxInfo]:
    """Destroy the sandboxes of this installation that `is_wanted` does not know; age alone is no reason.

    A sandbox that is being made is announced, and so known, before it exists.

    Returns:
        What was destroyed.
    """
    unwanted = [info async for info in provider.list() if not is_wanted(info)]
    for info in unwanted:
        await provider.destroy(info.ref)
    return unwanted
