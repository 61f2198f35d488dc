"""Docker checks of `doctor`."""

from __future__ import annotations

import os
from collections.abc import Iterator

from session_widgets._sandboxes.docker_engine import engine
from session_widgets._sandboxes.images import build_context, has_image, tag_of
from session_widgets.cli.checks import Check
from session_widgets.errors import MissingDependency, SandboxError


def docker_checks() -> Iterator[Check]:
    """Query the engine, and look for the sandbox image."""
    given = os.environ.get("SESSION_WIDGETS_IMAGE")
    image = given or tag_of(build_context())
    try:
        with engine() as docker:
            version, present = docker.version()["Version"], has_image(docker, image)
    except (MissingDependency, SandboxError) as error:
        cause, _, remedy = str(error).partition(": ")
        yield Check("Docker", False, cause, remedy or cause, optional=True)
        return
    yield Check("Docker", True, f"{version}; each container is limited, and its runner answers this machine alone")
    if present:
        yield Check("sandbox image", True, image)
    elif given:
        yield Check(
            "sandbox image",
            False,
            f"{image} is not here yet",
            "the first session with sandbox='docker' pulls it",
            optional=True,
        )
    else:
        yield Check(
            "sandbox image",
            False,
            f"{image} is not here yet",
            "the first session with sandbox='docker' builds it, which takes minutes; or now: "
            "python -m session_widgets._sandboxes.images",
            optional=True,
        )
