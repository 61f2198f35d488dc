"""The end of local sandboxes that no kernel can end any more."""

from __future__ import annotations

from pathlib import Path

from session_widgets._sandboxes.local import LocalProvider
from session_widgets._sessions.loop import private_loop


def destroy_sandboxes(home: Path) -> None:
    """End every local sandbox under `home`, for kernels that cannot do it any more."""

    async def destroy() -> None:
        provider = LocalProvider(home)
        for info in [info async for info in provider.list()]:
            await provider.destroy(info.ref)

    private_loop().run(destroy())
