"""The commands of `setup=` as layers of an image: built once with the engine, and found again by its name.

The name is a hash of the image below and the commands, so another image or other commands make another one. Everything
here blocks. The commands run before a sandbox exists, with this machine's network, and see nothing of a session.
"""

from __future__ import annotations

import hashlib
import io
import re
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import orjson

from session_widgets._sandboxes.images import (
    LABEL,
    NOISE,
    TAIL_LINES,
    alone,
    build_arguments,
    has_image,
    tar_of,
    until,
)
from session_widgets._sandboxes.setup_commands import SETUP_SECONDS, WRITABLE, doing, failed, too_slow
from session_widgets.errors import SandboxError
from session_widgets.progress import Progress

if TYPE_CHECKING:
    from docker import DockerClient

REPOSITORY = "session-widgets-setup"
_ENDED = {124, 137}
"""Exit codes of `timeout`: ended in time, killed."""
_SHELL = "/bin/sh"
_OF_THE_ENGINE = ("---> ", "Removing intermediate container ")
_FIRST = 5
"""Number of the step with the first command."""
_STEP = re.compile(r"Step (\d+)/\d+ : ")


def set_up(
    docker: DockerClient, lock: Path, progress: Progress, cancelled: Event, image: str, commands: Sequence[str]
) -> str:
    """Return the name of an image in which the commands have run; the image itself if there are none.

    Args:
        docker: the engine.
        lock: one process at a time holds this file.
        progress: receives which command runs.
        cancelled: setting it stops the call at the next line of output.
        image: on this machine.
        commands: of `Sandbox.setup`.

    Raises:
        SandboxError: a command failed or took too long, or the image has no shell; the message has the output.
    """
    if not commands:
        return image
    found = docker.images.get(image)
    user = str(found.attrs["Config"].get("User") or "0:0")
    dockerfile = _dockerfile(image, user, commands)
    digest = hashlib.sha256(f"{found.id}\0{dockerfile}".encode()).hexdigest()
    name = f"{REPOSITORY}:{digest[:16]}"
    if has_image(docker, name):
        return name
    with alone(lock, progress, cancelled):
        if not has_image(docker, name):
            _build(docker, name, dockerfile, commands, image, progress, cancelled)
    return name


def _dockerfile(image: str, user: str, commands: Sequence[str]) -> str:
    run = f'export HOME=/root; cd /root; exec timeout -k 10 {SETUP_SECONDS} {_SHELL} -c -- "$1" 2>&1'
    lines = [f"FROM {image}", "ARG PIP_INDEX_URL", "ARG NPM_CONFIG_REGISTRY", "USER 0:0"]
    lines += [f"RUN {orjson.dumps([_SHELL, '-c', run, 'setup', command]).decode()}" for command in commands]
    lines += [f"RUN {orjson.dumps([_SHELL, '-c', f'{WRITABLE}; true']).decode()}", f"USER {user}"]
    return "\n".join(lines) + "\n"


def _build(
    docker: DockerClient,
    name: str,
    dockerfile: str,
    commands: Sequence[str],
    image: str,
    progress: Progress,
    cancelled: Event,
) -> None:
    lines = docker.api.build(
        fileobj=io.BytesIO(tar_of({"Dockerfile": dockerfile.encode()})),
        custom_context=True,
        tag=name,
        rm=True,
        forcerm=True,
        decode=True,
        timeout=None,
        network_mode="host",
        buildargs=build_arguments(),
        labels={LABEL: "1"},
    )
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    number, began, error = 0, time.monotonic(), None
    for line in until(lines, cancelled):
        text = NOISE.sub("", line.get("stream") or "").strip()
        if step := _STEP.match(text):
            number, began = int(step[1]) - _FIRST + 1, time.monotonic()
            tail.clear()
            if 1 <= number <= len(commands):
                progress(doing(number, len(commands), commands[number - 1]))
        elif text and not text.startswith(_OF_THE_ENGINE):
            tail.extend(text.splitlines())
        error = line.get("errorDetail", error)
    if error is None:
        return
    said, why, code = "\n".join(tail), str(error.get("message")), error.get("code")
    if not 1 <= number <= len(commands) or code is None:
        if _SHELL in why:
            raise SandboxError(
                f"the image {image!r} has no shell ({_SHELL}), which setup= needs. Leave setup= out, or choose an "
                "image that was built from sandbox-image/."
            )
        raise SandboxError(f"the commands of setup= could not be run in the image {image!r}: {why}\n{said}")
    command = commands[number - 1]
    if code in _ENDED and time.monotonic() - began >= SETUP_SECONDS:
        raise too_slow(command, said)
    raise failed(command, code, said)
