"""What a vendor's builder makes: the image of this package, or another one with the commands of `setup`.

The image is that of `sandbox-image/Dockerfile` without the runner, which is uploaded: so a release with another runner
uses the image of the last one. Its steps are shell commands of one line without files, which every builder takes: E2B's
knows neither several stages nor copies between them. Harnesses are uploaded, too.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from session_widgets._sandboxes.clouds import inside
from session_widgets._sandboxes.images import dockerfile, node_requirements
from session_widgets._sandboxes.setup_commands import WRITABLE

NAME = "session-widgets"
AS_ROOT = f"export HOME=/root PATH={inside.OWN_PATH}:$PATH; cd /root"
"""Before each command of `setup`."""
_OWN = _, TOOLS, PLACE, NODE, VENV = (
    "install certificates and Python",
    "install git and other tools",
    "make a place to build in",
    "install Node.js",
    "make a Python for the agent",
)
"""Steps of the Dockerfile that clouds run, by their words."""
FAILED = "failed: setup command"
"""What a line of output begins with that names the number of a command and its exit code."""
_BASE = re.compile(r"^ARG BASE=(\S+)$", re.MULTILINE)
_STEP = re.compile(r"^RUN : ([^;\n]+); ((?:.*\\\n)*.*)$", re.MULTILINE)
_TITLE = re.compile(r"^: ([^;]+);")
_UNFIT = re.compile(r"\n|\r|<<|\\$")
"""What a line of a Dockerfile would not leave as it is."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """An image to be built, for all vendors.

    Attributes:
        base: name of an image of a registry (at E2B, if the user named it, of a template); None: that of this package.
        setup: the user's commands.
        node: whether Node.js is installed on another base that lacks it, if that has Python with pip and venv.
    """

    base: str | None
    setup: tuple[str, ...]
    node: bool = False

    @property
    def debian(self) -> str:
        """The image of a registry that the one of this package is built on."""
        found = _BASE.search(dockerfile())
        assert found is not None
        return found[1]

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands that root runs on the base, each one line of a shell."""
        if self.base is None:
            return (*_steps(*_OWN), *self.layer)
        return (*self.layer, *([_node_unless_there()] if self.node else []))

    @property
    def layer(self) -> tuple[str, ...]:
        """Those of `setup`, and one that notes that they are done."""
        if not self.setup:
            return ()
        count = len(self.setup)
        steps = [
            f": setup, {number} of {count}; {_line(number, text)}" for number, text in enumerate(self.setup, start=1)
        ]
        return (*steps, f": note the setup; {note(self.setup)}")

    def name(self, *more: object) -> str:
        """Return its name at a vendor: a hash of what goes in, and of what else decides about it there."""
        content = [self.base or self.debian, self.commands, more]
        return f"{NAME}-{hashlib.sha256(orjson.dumps(content, default=str)).hexdigest()[:16]}"


def title_of(command: str) -> str:
    """Return what a command of a recipe does, in words."""
    found = _TITLE.match(command)
    return found[1] if found else command


def mark(setup: Sequence[str]) -> str:
    """Return what the file `SETUP_DONE` of a box says once these commands have run."""
    return hashlib.sha256(orjson.dumps(list(setup))).hexdigest()


def note(setup: Sequence[str]) -> str:
    """Return the command that says in a box that these have run; agents may change what they installed for Python."""
    return f"{WRITABLE}; mkdir -p {inside.PRIVATE} && echo {mark(setup)} > {inside.SETUP_DONE}"


def _steps(*titles: str) -> tuple[str, ...]:
    """Return steps of the Dockerfile as lines; the user of the agents is made in the box."""
    steps = {title: re.sub(r"\s*\\\n\s*", " ", text) for title, text in _STEP.findall(dockerfile())}
    before = {
        TOOLS: "export DEBIAN_FRONTEND=noninteractive WITH_FUSE=0; ",
        NODE: f"export PIP_NO_CACHE_DIR=1; echo {_coded(node_requirements())} | base64 -d > /tmp/node.txt; ",
        VENV: "rm -rf /opt/build /tmp/node.txt; ",
    }
    return tuple(f": {title}; {before.get(title, '')}{steps[title]}" for title in titles)


def _node_unless_there() -> str:
    """Return a command that never fails: a sandbox without Node.js says what can be done."""
    install = f"/bin/sh -c {shlex.quote('set -e; ' + '; '.join(_steps(PLACE, NODE)))}"
    there, remove = f"PATH={inside.PATH} node --version 2>&1", "rm -rf /opt/build /tmp/node /tmp/node.txt"
    return f": install Node.js unless it is there; {there} || {install} || echo no Node.js was installed; {remove}"


def _line(number: int, command: str) -> str:
    """Return a command of `setup` as one line, which says its number and exit code if it fails."""
    if _UNFIT.search(command):
        command = f'eval "$(echo {_coded(command.encode())} | base64 -d)"'
    run = f"/bin/sh -c -- {shlex.quote(command)} </dev/null 2>&1"
    return f"{AS_ROOT}; {run} || {{ code=$?; echo {FAILED} {number} with code $code; exit $code; }}"


def _coded(data: bytes) -> str:
    return base64.b64encode(data).decode()
