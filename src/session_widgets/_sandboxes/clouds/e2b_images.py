"""The builder of E2B: templates. A template exists while it is built; the tag `ready` marks a complete one."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from session_widgets._sandboxes.clouds.contract import BoxSpec
from session_widgets._sandboxes.clouds.e2b_errors import NOT_FOUND, TITLE, errors
from session_widgets._sandboxes.clouds.recipes import Recipe
from session_widgets.errors import SandboxError

READY = "ready"
CPUS, MEMORY_MB = 2, 1024
"""Of a template; `_store/sandbox_rate_queries.py` knows it for the costs of those without `image=`."""


class E2BImages:
    """Templates of the account. E2B keeps the layers of all of them, so that a step is run once."""

    def name(self, recipe: Recipe, spec: BoxSpec) -> str:
        """Return the name of a template."""
        return recipe.name()

    async def find(self, name: str) -> str | None:
        """Return the template if its build is complete."""
        from e2b import AsyncTemplate, SandboxException

        with errors():
            try:
                tags = await AsyncTemplate.get_tags(name)
            except SandboxException as error:
                if error.status_code != NOT_FOUND:
                    raise
                return None
        return f"{name}:{READY}" if any(tag.tag == READY for tag in tags) else None

    async def build(self, name: str, recipe: Recipe, spec: BoxSpec, log: Callable[[str], None]) -> str:
        """Build a template; the SDK polls for its output."""
        from e2b import AsyncTemplate
        from e2b.exceptions import BuildException

        start = AsyncTemplate()
        template = start.from_image(recipe.debian) if recipe.base is None else start.from_template(recipe.base)
        for command in recipe.commands:
            template = template.run_cmd(command, user="root")
        mine = f"{name}:build-{uuid4().hex[:8]}"  # another installation may build the same meanwhile
        with errors():
            try:
                await AsyncTemplate.build(
                    template,
                    mine,
                    cpu_count=CPUS,
                    memory_mb=MEMORY_MB,
                    on_build_logs=lambda entry: log(entry.message),
                )
            except BuildException as error:
                raise SandboxError(f"{TITLE} could not build the image of the sandbox: {error}") from error
            await AsyncTemplate.assign_tags(mine, READY)
        return f"{name}:{READY}"
