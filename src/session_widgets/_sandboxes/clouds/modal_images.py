"""The builder of Modal: one layer a command, kept by Modal. A complete image is published under its name."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from session_widgets._sandboxes.clouds.contract import BoxSpec
from session_widgets._sandboxes.clouds.modal_errors import TITLE, errors
from session_widgets._sandboxes.clouds.recipes import Recipe, title_of
from session_widgets._sandboxes.images import TAIL_LINES
from session_widgets.errors import SandboxError, TransportError

if TYPE_CHECKING:
    import modal

    from session_widgets._sandboxes.clouds.modal import ModalVendor

BUILD_SECONDS = 1800
LOG_SECONDS = 15


class ModalImages:
    """Images of the account. That of this package is built on Modal's own Debian, with the notebook's Python."""

    def __init__(self, account: ModalVendor) -> None:
        self._account = account

    def name(self, recipe: Recipe, spec: BoxSpec) -> str:
        """Return the name of an image."""
        return recipe.name(*([] if recipe.base else sys.version_info[:2]))

    async def find(self, name: str) -> str | None:
        """Return the id of the image that was published under this name."""
        sdk, client, app = await self._account.opened()
        with errors():
            try:
                image = await sdk.Image.from_name(name, client=client).build.aio(app)
            except sdk.exception.NotFoundError:
                return None
        return str(image.object_id)

    async def build(self, name: str, recipe: Recipe, spec: BoxSpec, log: Callable[[str], None]) -> str:
        """Build the layers one after the other, and publish the last one."""
        sdk, client, app = await self._account.opened()
        steps = len(recipe.commands) + 1
        with errors(spec):
            image = sdk.Image.from_registry(recipe.base) if recipe.base else sdk.Image.debian_slim()
        log(f"step 1 of {steps}: get {recipe.base or 'the base image'}")
        await _built(image, app, spec, log)
        for number, command in enumerate(recipe.commands, start=2):
            log(f"step {number} of {steps}: {title_of(command)}")
            image = sdk.Image.from_id(image.object_id, client=client).run_commands(command)
            await _built(image, app, spec, log)
        with errors(spec):
            await image.publish.aio(name, client=client)
        return str(image.object_id)


async def _built(image: modal.Image, app: modal.App, spec: BoxSpec, log: Callable[[str], None]) -> None:
    from modal.exception import ImageBuildError

    try:
        async with asyncio.timeout(BUILD_SECONDS):
            with errors(spec):
                try:
                    await image.build.aio(app)
                except ImageBuildError as error:
                    await _tell(image, log)
                    first = str(error).partition("\n")[0]
                    raise SandboxError(f"{TITLE} could not build the image of the sandbox: {first}") from error
    except TimeoutError as error:
        minutes = BUILD_SECONDS // 60
        raise TransportError(f"{TITLE} took longer than {minutes} minutes for a step of the image.") from error


async def _tell(image: modal.Image, log: Callable[[str], None]) -> None:
    """Log the end of the output of a failed build; the build has failed, with or without it."""
    with suppress(Exception):
        async with asyncio.timeout(LOG_SECONDS):
            async for entry in image.logs.tail.aio(TAIL_LINES):
                log(entry.message)
