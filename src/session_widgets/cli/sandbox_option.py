"""The sandbox options of `session-widgets run`, as the value that `open_session` accepts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from session_widgets.errors import BadValue

if TYPE_CHECKING:
    from session_widgets._sandboxes.options import Sandbox


def sandbox_of(
    name: str | None,
    image: str | None,
    cpus: float | None,
    memory: str | None,
    env: Sequence[str],
    mounts: Sequence[str],
    setup: Sequence[str],
    network: Sequence[str],
    *,
    confine: bool = False,
) -> str | Sandbox | None:
    """Return the sandbox: its name, or a `Sandbox` if other options are set.

    Args:
        name: of the sandbox.
        image: of Docker.
        cpus: processors.
        memory: such as "2g".
        env: names of variables of this terminal; their values are secrets of the command line's user.
        mounts: "/of/this/machine:/inside" each.
        setup: commands.
        network: "open" or "none" alone, or hosts and ranges.
        confine: whether a local sandbox is confined.

    Raises:
        BadValue: a value is invalid, or the name is missing.
    """
    if not (image or cpus or memory or env or mounts or setup or network or confine):
        return name
    if name is None:
        raise BadValue(
            "--image, --cpus, --memory, --env, --mount, --setup, --network and --confine are options of a sandbox: add "
            "--sandbox docker, or --sandbox local for --confine."
        )
    from session_widgets._sandboxes.network import NONE, OPEN
    from session_widgets._sandboxes.options import Sandbox

    if missing := [variable for variable in env if variable not in os.environ]:
        raise BadValue(f"--env takes the name of a variable that is set here; {', '.join(missing)} is not.")
    pairs = [mount.rpartition(":") for mount in mounts]
    if any(not host for host, _, _ in pairs):
        raise BadValue("--mount is /of/this/machine:/inside, as in --mount /data/corpus:/data.")
    values = {variable: os.environ[variable] for variable in env}
    places = {host: inside for host, _, inside in pairs}
    return Sandbox(
        name,
        image=image,
        cpus=cpus,
        memory=memory,
        env=values,
        mounts=places,
        setup=tuple(setup),
        network=network[0] if tuple(network) in ((OPEN,), (NONE,)) else tuple(network) or OPEN,
        confine=confine,
    )
