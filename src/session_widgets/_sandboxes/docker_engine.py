"""The Docker engine of this machine: discovery, requests, and translation of its errors."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from session_widgets.errors import MissingDependency, SandboxError, SandboxQuota, TransportError

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.errors import APIError

TIMEOUT = 60


def check_sdk() -> None:
    """Raise `MissingDependency` if the package `docker` is not installed; does not import it."""
    if find_spec("docker") is None:
        raise MissingDependency("sandbox='docker' needs the package 'docker': pip install 'session-widgets[docker]'")


@contextmanager
def engine() -> Iterator[DockerClient]:
    """Return a client of the engine; every exception of the SDK is translated.

    Raises:
        MissingDependency: the package `docker` is not installed.
        SandboxError: Docker is not installed, does not run, denies access, or refused; the message says which.
        SandboxQuota: a disk is full.
        TransportError: the connection broke.
    """
    check_sdk()
    import docker
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException  # noqa: TID251 - what the SDK speaks with
    from urllib3.exceptions import HTTPError

    path = _socket_path()
    _check(path)
    try:
        client = docker.DockerClient(base_url=f"unix://{path}", timeout=TIMEOUT)
        try:
            yield client
        finally:
            client.close()
    except APIError as error:
        said = str(error.explanation or error)
        if "no space left on device" in said:
            raise SandboxQuota(f"the disk that Docker uses is full: {said}") from error
        raise SandboxError(f"Docker refused: {said}") from error
    except (DockerException, RequestException, HTTPError) as error:
        raise TransportError(f"the connection to Docker broke: {type(error).__name__}: {error}") from error


def is_conflict(error: APIError, words: str) -> bool:
    """Whether the engine refuses because of a state that its words name."""
    return error.status_code == 409 and words in str(error.explanation or error)


def _socket_path() -> str:
    from docker.context import ContextAPI

    url = os.environ.get("DOCKER_HOST") or ContextAPI.kwargs_from_context().get("base_url") or ""
    kind, _, path = url.partition("://")
    if not url:
        return "/var/run/docker.sock"
    if kind not in {"unix", "http+unix"}:
        raise SandboxError(
            f"Docker is set to another machine ({kind}://...), and a workspace can only be bound on this one. Unset "
            "DOCKER_HOST, or choose a context of this machine: docker context use default"
        )
    return "/" + path.lstrip("/")


def _check(path: str) -> None:
    """Raise an error with the remedy if no daemon answers at the socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(5)
        try:
            probe.connect(path)
        except PermissionError as error:
            raise SandboxError(
                f"this user may not use Docker (no permission for {path}): add yourself to the group 'docker' with "
                "'sudo usermod -aG docker $USER' and log in again."
            ) from error
        except (FileNotFoundError, NotADirectoryError) as error:
            if shutil.which("dockerd") or shutil.which("docker"):
                raise _not_running(path) from error
            raise SandboxError(
                f"Docker is not installed (no {path}, no 'docker' on PATH): https://docs.docker.com/engine/install"
            ) from error
        except OSError as error:
            raise _not_running(path) from error


def _not_running(path: str) -> SandboxError:
    return SandboxError(
        f"Docker is installed, but its daemon does not run (no answer at {path}): 'sudo systemctl start docker', "
        "or start Docker Desktop."
    )
