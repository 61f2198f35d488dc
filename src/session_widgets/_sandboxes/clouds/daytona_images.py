"""The builder of Daytona: snapshots, which have a size of their own. After two weeks without use one is inactive."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from session_widgets._sandboxes.clouds.contract import BoxSpec
from session_widgets._sandboxes.clouds.recipes import Recipe
from session_widgets.errors import BadValue, SandboxError, TransportError

if TYPE_CHECKING:
    from daytona import AsyncDaytona
    from daytona.common.snapshot import Snapshot

    from session_widgets._sandboxes.clouds.daytona import Daytona

BUILD_SECONDS = 1200
POLL_SECONDS = 1.0
_FAILED = {"error", "build_failed"}


class DaytonaImages:
    """Snapshots of the account."""

    def __init__(self, account: Daytona) -> None:
        self._account = account

    def name(self, recipe: Recipe, spec: BoxSpec) -> str | None:
        """Return the name of a snapshot; none can be built on another one."""
        if recipe.base is not None and is_snapshot(recipe.base):
            return None
        return recipe.name(sorted(size_of(spec).items()))

    async def find(self, name: str) -> str | None:
        """Return the snapshot if it is active."""
        async with self._account.client() as client:
            found = await _get(client, name)
        return name if found is not None and found.state == "active" else None

    async def build(self, name: str, recipe: Recipe, spec: BoxSpec, log: Callable[[str], None]) -> str:
        """Build a snapshot, activate one, or wait for one that another installation builds."""
        async with self._account.client() as client:
            try:
                async with asyncio.timeout(BUILD_SECONDS):
                    while (found := await _get(client, name)) is None or found.state != "active":
                        if found is None:
                            await _create(client, name, recipe, spec, log)
                        elif found.state in _FAILED:
                            await client.snapshot.delete(found)
                        elif found.state == "inactive":
                            await client.snapshot.activate(found)
                        await asyncio.sleep(POLL_SECONDS if found else 0)
            except TimeoutError as error:
                minutes = BUILD_SECONDS // 60
                raise TransportError(f"Daytona built no image of the sandbox within {minutes} minutes.") from error
        return name


async def _create(client: AsyncDaytona, name: str, recipe: Recipe, spec: BoxSpec, log: Callable[[str], None]) -> None:
    from daytona import CreateSnapshotParams, Image, Resources
    from daytona.common.errors import DaytonaConflictError, DaytonaError

    image = Image.base(recipe.base or recipe.debian).dockerfile_commands(["USER root"]).run_commands(*recipe.commands)
    size = Resources(**size_of(spec))
    asked = CreateSnapshotParams(name=name, image=image, resources=size, entrypoint=["sleep", "infinity"])
    try:
        await client.snapshot.create(asked, on_logs=log)
    except DaytonaConflictError:
        return  # another one builds it
    except DaytonaError as error:
        failed = await _get(client, name)
        if failed is None or failed.state not in _FAILED:
            raise
        await client.snapshot.delete(failed)
        why = failed.error_reason or failed.state
        raise SandboxError(f"Daytona could not build the image of the sandbox: {why}") from error


async def _get(client: AsyncDaytona, name: str) -> Snapshot | None:
    from daytona.common.errors import DaytonaNotFoundError

    try:
        return await client.snapshot.get(name)
    except DaytonaNotFoundError as error:
        if error.source or name in error.message:  # else a proxy in between knows no such page
            return None
        raise


def is_snapshot(image: str) -> bool:
    """Whether a name is that of a snapshot: those of images have a tag, a digest or a registry."""
    return not set(image) & set(":/@")


def size_of(spec: BoxSpec) -> dict[str, Any]:
    """Return the size of a box or a snapshot, as `daytona.Resources` takes it."""
    size: dict[str, Any] = {"cpu": _cpus(spec.cpus), "memory": _gigabytes(spec.memory)}
    return size | ({"gpu": 1, "gpu_type": _gpu(spec.gpu)} if spec.gpu is not None else {})


def _cpus(cpus: float | None) -> int | None:
    if cpus is not None and cpus != int(cpus):
        raise BadValue(f"Daytona has whole processors: cpus must be 1, 2, ...; got {cpus:g}.")
    return None if cpus is None else int(cpus)


def _gigabytes(memory: int | None) -> int | None:
    return None if memory is None else max(1, math.ceil(memory / (1 << 30)))


def _gpu(gpu: str) -> Any:
    from daytona import GpuType

    names = {kind.value for kind in GpuType if kind.name != "UNKNOWN_DEFAULT_OPEN_API"}
    if gpu not in names:
        raise BadValue(f"Daytona has the GPUs {', '.join(sorted(names))}; got gpu={gpu!r:.40}.")
    return GpuType(gpu)
