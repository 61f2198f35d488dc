"""The builder of E2B: templates, which have a size.

One exists while it is built; the tag `ready` marks a complete one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from uuid import uuid4

from session_widgets._sandboxes.clouds.contract import BoxSpec
from session_widgets._sandboxes.clouds.e2b_errors import NOT_FOUND, TITLE, errors
from session_widgets._sandboxes.clouds.recipes import Recipe
from session_widgets.errors import BadValue, SandboxError

READY = "ready"
CPUS, MEMORY_MB = 2, 1024
"""Of a template unless the user says; `_store/sandbox_rate_queries.py` knows it for the costs without `image=`."""
LEAST_MEMORY_MB = 128
_REFUSED_SIZE = re.compile("400: (CPU count|Memory) ")


class E2BImages:
    """Templates of the account. E2B keeps the layers of all of them, so that a step is run once."""

    def name(self, recipe: Recipe, spec: BoxSpec) -> str:
        """Return the name of a template; one of the default size has the name of its content alone."""
        size = size_of(spec)
        return recipe.name(*(size if size != (CPUS, MEMORY_MB) else ()))

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
        cpus, memory = size_of(spec)
        mine = f"{name}:build-{uuid4().hex[:8]}"  # another installation may build the same meanwhile
        with errors():
            try:
                await AsyncTemplate.build(
                    template,
                    mine,
                    cpu_count=cpus,
                    memory_mb=memory,
                    on_build_logs=lambda entry: log(entry.message),
                )
            except BuildException as error:
                if _REFUSED_SIZE.match(str(error)):
                    raise BadValue(f"E2B refuses cpus= or memory= of the sandbox: {error}") from error
                raise SandboxError(f"{TITLE} could not build the image of the sandbox: {error}") from error
            await AsyncTemplate.assign_tags(mine, READY)
        return f"{name}:{READY}"


def size_of(spec: BoxSpec) -> tuple[int, int]:
    """Return the processors of a template and its memory in MiB. E2B wants even numbers of both, or one processor."""
    cpus = CPUS if spec.cpus is None else spec.cpus
    if cpus != 1 and cpus % 2:
        raise BadValue(f"E2B has one processor or an even number of them: cpus must be 1, 2, 4, ...; got {cpus:g}.")
    memory = MEMORY_MB if spec.memory is None else max(LEAST_MEMORY_MB, 2 * math.ceil(spec.memory / (2 << 20)))
    return int(cpus), memory
