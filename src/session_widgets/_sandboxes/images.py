"""The image of Docker sandboxes: selection, pull and build.

`SESSION_WIDGETS_IMAGE` names an image, which is pulled if it is missing. By default the image is built from the folder
`sandbox-image` of this package, and its tag is a hash of its sources. `python -m session_widgets._sandboxes.images`
builds it by hand.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import io
import os
import re
import tarfile
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from session_widgets._sandboxes.docker_engine import engine
from session_widgets.errors import SandboxError
from session_widgets.progress import Progress

if TYPE_CHECKING:
    from docker import DockerClient

REPOSITORY = "session-widgets-sandbox"
LABEL = "session_widgets.image"
BASE_LABEL = "session_widgets.base"
TAIL_LINES = 25

_PACKAGE = Path(__file__).resolve().parent.parent
_INSIDE = ("errors.py", "version.py", "host", "runner")
_AGENT = ("demo",)
"""The agent that needs no installation. The catalog is not included, so that its changes do not change the image."""
_ARGUMENTS = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PIP_INDEX_URL", "NPM_CONFIG_REGISTRY")
_STEP = re.compile(r"Step (\d+)/(\d+) : (?:RUN : ([^;]+);)?", re.DOTALL)
_BASE = re.compile(r"^ARG BASE=(\S+)@sha256:[0-9a-f]{64}$", re.MULTILINE)
NOISE = re.compile(r"\x1b\[[0-9;]*m|\(Reading database.*?installed\.\)", re.DOTALL)


def ensure_image(
    docker: DockerClient, lock: Path, progress: Progress, cancelled: Event, wanted: str | None = None
) -> str:
    """Return the name of an image on this machine, after pulling or building it if necessary.

    `wanted` is pulled if it is missing; None is the image of this package. One process at a time holds the file `lock`.
    Setting `cancelled` stops the call at the next line of output.

    Raises:
        SandboxError: it can be neither found nor built; the message ends with the last output.
    """
    wanted = wanted or os.environ.get("SESSION_WIDGETS_IMAGE")
    content = {} if wanted else build_context()
    name = wanted or tag_of(content)
    if has_image(docker, name):
        return name
    with alone(lock, progress, cancelled):
        if has_image(docker, name):
            return name
        if wanted:
            _pull(docker, name, progress, cancelled)
        else:
            build(docker, name, content, {}, progress, cancelled)
    return name


def has_image(docker: DockerClient, name: str) -> bool:
    """Whether an image is on this machine."""
    from docker.errors import ImageNotFound

    try:
        docker.images.get(name)
    except ImageNotFound:
        return False
    return True


def build(
    docker: DockerClient,
    name: str,
    content: Mapping[str, bytes],
    arguments: Mapping[str, str],
    progress: Progress,
    cancelled: Event,
) -> None:
    """Build `content` as `name`. Build containers use this machine's network: a proxy may listen on its loopback.

    The output is read to its end, even after an error: only then does the SDK release the connection.
    """
    lines = docker.api.build(
        fileobj=io.BytesIO(tar_of(content)),
        custom_context=True,
        tag=name,
        rm=True,
        forcerm=True,
        decode=True,
        timeout=None,
        network_mode="host",
        buildargs=build_arguments() | base_argument(docker, content["Dockerfile"].decode()) | dict(arguments),
        labels={LABEL: "1"},
    )
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    error = None
    for line in until(lines, cancelled):
        text = NOISE.sub("", line.get("stream") or "").strip()
        if step := _STEP.match(text):
            number, count, what = step.groups()
            progress(f"Building the sandbox image, step {number} of {count}{': ' + what if what else ''}")
        if text:
            tail.extend(text.splitlines())
        error = line.get("error", error)
    if error is not None:
        said = "\n".join(tail)
        raise SandboxError(f"the sandbox image could not be built: {error}\nThe output ended:\n{said}")


def build_context() -> dict[str, bytes]:
    """Return the source files of the image, by name."""
    folder = _folder()
    files = {name: (folder / name).read_bytes() for name in ("Dockerfile", "requirements.txt", "node.txt")}
    bundle = os.environ.get("SESSION_WIDGETS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    files["extra-ca.crt"] = _certificates(bundle) if bundle else b""
    files["session_widgets/__init__.py"] = b'"""The part of session-widgets that runs in a sandbox."""\n'
    for name in (*_INSIDE, *_AGENT):
        start = _PACKAGE / name
        for file in sorted(start.rglob("*.py")) if start.is_dir() else [start]:
            files[f"session_widgets/{file.relative_to(_PACKAGE).as_posix()}"] = file.read_bytes()
    return files


def dockerfile() -> str:
    """Return the Dockerfile of the image."""
    return (_folder() / "Dockerfile").read_text(encoding="utf-8")


def node_requirements() -> bytes:
    """Return the requirements file of the image's Node.js."""
    return (_folder() / "node.txt").read_bytes()


def base_argument(docker: DockerClient, dockerfile: str) -> dict[str, str]:
    """Return the build argument for the base image, unless it is the one that the Dockerfile pins by digest.

    An image of that name made on this machine (`.ci/base-image`) replaces it: no registry has that image.
    """
    from docker.errors import ImageNotFound

    pinned = _BASE.search(dockerfile)
    if pinned is None:
        return {}
    try:
        here = docker.images.get(pinned[1])
    except ImageNotFound:
        return {}
    made_here = BASE_LABEL in here.labels or not here.attrs.get("RepoDigests")
    return {"BASE": pinned[1]} if made_here else {}


def tag_of(content: Mapping[str, bytes]) -> str:
    """Return the name of the image built from this context."""
    digest = hashlib.sha256()
    for name, data in sorted(content.items()):
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return f"{REPOSITORY}:{digest.hexdigest()[:16]}"


def _folder() -> Path:
    """Return `sandbox-image`: part of an installed package, beside `src` in a checkout."""
    installed = _PACKAGE / "sandbox_image"
    return installed if installed.is_dir() else _PACKAGE.parent.parent / "sandbox-image"


def _certificates(bundle: str) -> bytes:
    try:
        return Path(bundle).read_bytes()
    except OSError as error:
        raise SandboxError(
            f"the certificates that SESSION_WIDGETS_CA_BUNDLE or SSL_CERT_FILE name cannot be read: {error}"
        ) from error


def build_arguments() -> dict[str, str]:
    """Return the build arguments that this process's environment names."""
    given = {name: os.environ.get(name) or os.environ.get(name.lower()) for name in _ARGUMENTS}
    return {name: value for name, value in given.items() if value}


def tar_of(content: Mapping[str, bytes]) -> bytes:
    """Return the files of a build as an archive."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    return target.getvalue()


def _pull(docker: DockerClient, name: str, progress: Progress, cancelled: Event) -> None:
    from docker.errors import APIError
    from docker.utils import parse_repository_tag

    progress(f"Pulling the sandbox image {name}")
    repository, tag = parse_repository_tag(name)
    done: dict[str, bool] = {}
    why = None
    try:
        for line in until(docker.api.pull(repository, tag or "latest", stream=True, decode=True), cancelled):
            why = line.get("error", why)
            if "id" in line and "progressDetail" in line:
                done[line["id"]] = line.get("status") in {"Pull complete", "Already exists"}
                progress(f"Pulling the sandbox image {name}: {sum(done.values())} of {len(done)} layers")
    except APIError as error:
        raise SandboxError(f"the sandbox image {name!r} could not be pulled: {error.explanation or error}") from error
    if why is not None:
        raise SandboxError(f"the sandbox image {name!r} could not be pulled: {why}")


def until(lines: Iterable[dict[str, Any]], cancelled: Event) -> Iterator[dict[str, Any]]:
    """Yield lines of output; raise `SandboxError` once `cancelled` is set."""
    for line in lines:
        if cancelled.is_set():
            raise SandboxError("making the sandbox was cancelled.")
        yield line


@contextmanager
def alone(lock: Path, progress: Progress, cancelled: Event) -> Iterator[None]:
    """Let one process at a time make an image."""
    handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    told = False
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    progress("Waiting for another process that makes the sandbox image")
                told = True
            if cancelled.is_set():
                raise SandboxError("making the sandbox was cancelled.")
            time.sleep(0.1)
        yield
    finally:
        os.close(handle)


def main() -> None:
    """Build the image from the terminal, with build arguments of the Dockerfile."""
    parser = argparse.ArgumentParser(prog="python -m session_widgets._sandboxes.images", description=main.__doc__)
    parser.add_argument("--tag", help="its name; by default the one that sandboxes use")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    asked = parser.parse_args()
    content = build_context()
    name = asked.tag or tag_of(content)
    arguments = dict(item.split("=", 1) for item in asked.build_arg)
    with engine() as docker:
        build(docker, name, content, arguments, print, Event())
        size = docker.images.get(name).attrs["Size"]
    print(f"{name}: {size / 1e6:.0f} MB")  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
