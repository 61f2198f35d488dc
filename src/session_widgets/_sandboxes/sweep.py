"""Removes sandboxes that no session refers to."""

from __future__ import annotations

from collections.abc import Callable

from session_widgets._sandboxes.contract import SandboxInfo, SandboxProvider


async def sweep(provider: SandboxProvider, is_wanted: Callable[[SandboxInfo], bool]) -> list[SandboxInfo]:
    """Destroy the sandboxes of this installation for which `is_wanted` is false; age alone is no reason.

    A new sandbox is announced, and so known, before it exists.

    Returns:
        The destroyed sandboxes.
    """
    unwanted = [info async for info in provider.list() if not is_wanted(info)]
    for info in unwanted:
        await provider.destroy(info.ref)
    return unwanted
