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
AS_ROOT = f"export HOME=/root PATH={inside.PATH}; cd /root"
"""Before each command of `setup`."""
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
    """

    base: str | None
    setup: tuple[str, ...]

    @property
    def debian(self) -> str:
        """The image of a registry that the one of this package is built on."""
        found = _BASE.search(dockerfile())
        assert found is not None
        return found[1]

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands that root runs on the base, each one line of a shell."""
        return (*(_own_steps() if self.base is None else ()), *self.layer)

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


def _own_steps() -> tuple[str, ...]:
    """Return the steps of the Dockerfile that a cloud needs; the user of the agents is made in the box."""
    steps = {title: re.sub(r"\s*\\\n\s*", " ", text) for title, text in _STEP.findall(dockerfile())}
    node = base64.b64encode(node_requirements()).decode()
    order = {
        "install certificates and Python": "export DEBIAN_FRONTEND=noninteractive;",
        "install git and other tools": "export DEBIAN_FRONTEND=noninteractive WITH_FUSE=0;",
        "make a place to build in": "",
        "install Node.js": f"export PIP_NO_CACHE_DIR=1; echo {node} | base64 -d > /tmp/node.txt;",
        "make a Python for the agent": "rm -rf /opt/build /tmp/node.txt;",
    }
    return tuple(f": {title}; {before} {steps[title]}" for title, before in order.items())


def _line(number: int, command: str) -> str:
    """Return a command of `setup` as one line, which says its number and exit code if it fails."""
    if _UNFIT.search(command):
        command = f'eval "$(echo {base64.b64encode(command.encode()).decode()} | base64 -d)"'
    run = f"/bin/sh -c -- {shlex.quote(command)} </dev/null 2>&1"
    return f"{AS_ROOT}; {run} || {{ code=$?; echo {FAILED} {number} with code $code; exit $code; }}"
