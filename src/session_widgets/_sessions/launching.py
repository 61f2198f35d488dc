"""The launch of a session's harness in its sandbox; errors name missing requirements and remedies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from session_widgets._harnesses.harness import Harness, RuntimePaths
from session_widgets._harnesses.installing import Installation
from session_widgets._harnesses.node import need_node
from session_widgets._sandboxes import SandboxProvider
from session_widgets._sandboxes.options import Sandbox
from session_widgets.errors import HarnessNotReady
from session_widgets.host.machine import this_platform
from session_widgets.model import Capability, Machine


@dataclass(frozen=True, slots=True)
class Launch:
    """A harness's entry in the runner's configuration, its directories on this host, and its sandbox."""

    entry: Mapping[str, Any]
    mounts: Mapping[str, str]
    sandbox: Sandbox | None = None

    @property
    def env(self) -> Mapping[str, str]:
        """Variables of the agent process, besides those of its sandbox."""
        return self.entry.get("env") or {}

    @property
    def fingerprint(self) -> str:
        """Fingerprint of all these, such as of its key: a running sandbox keeps its values."""
        options = self.sandbox.json() if self.sandbox and self.sandbox.given else None
        given = [self.entry, options] if options else self.entry
        return hashlib.sha256(orjson.dumps(given, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class MissingRequirements:
    """Missing requirements of a harness: it is not installed, or one of these keys must be set."""

    install: bool = False
    keys: tuple[str, ...] = ()


def missing_requirements(harness: Harness, provider: SandboxProvider, home: Path) -> MissingRequirements:
    """Return the missing requirements of a harness; cheap."""
    if Capability.EXTERNAL in provider.capabilities:
        return MissingRequirements()
    install = harness.installs and Installation(harness, home).modules is None
    return MissingRequirements(install, () if any(os.environ.get(key) for key in harness.keys) else tuple(harness.keys))


def prepare(harness: Harness, machine: Machine, home: Path) -> Launch:
    """Return the launch entry of a harness.

    Args:
        harness: the harness.
        machine: of the sandbox.
        home: the data directory, with the installed harnesses.

    Raises:
        HarnessNotReady: it is not installed, was installed for another platform, or none of its keys is set.
        MissingDependency: Node.js is missing or too old.
    """
    if machine.harnesses == "image":
        return Launch({}, {})
    if harness.keys and not any(os.environ.get(key) for key in harness.keys):
        raise HarnessNotReady(
            f"{harness.title} needs a key: set os.environ[{harness.keys[0]!r}]"
            + (f" (or {', '.join(harness.keys[1:])})" if harness.keys[1:] else "")
            + " and send again. The sandbox receives it in a file only your user can read; no transcript contains it."
        )
    modules, mounts = _modules(harness, machine, home)
    node, path = machine.node, machine.path
    if machine.harnesses == "host" and harness.node:
        node = need_node(harness.node, harness.title)
        if node != machine.node:
            path = f"{Path(node).parent}{os.pathsep}{path}"  # scripts of the harness look for `node` on PATH
    place = RuntimePaths(machine.python, node, modules, path, machine.platform, machine.cache)
    return Launch(harness.entry(machine.root, place, os.environ), mounts)


def _modules(harness: Harness, machine: Machine, home: Path) -> tuple[str | None, Mapping[str, str]]:
    if not harness.installs:
        return None, {}
    installation = Installation(harness, home)
    if installation.modules is None:
        raise HarnessNotReady(
            f"{harness.title} {harness.version} is not installed. Install it: "
            f"session_widgets.install_harness({harness.id!r}), or session-widgets harness install {harness.id}"
        )
    if machine.harnesses == "host":
        return str(installation.modules), {str(installation.path): str(installation.path)}
    if machine.platform != this_platform():
        raise HarnessNotReady(
            f"{harness.title} is installed for {this_platform()}, and the sandbox is {machine.platform}."
        )
    name = harness.id if machine.harnesses == "mounted" else installation.path.name
    inside = f"{machine.harness_folder}/{name}"
    return f"{inside}/node_modules", {str(installation.path): inside}
