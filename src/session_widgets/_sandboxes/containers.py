"""The containers of one installation: create, start, stop, find, remove. Everything here blocks.

`home/<id>/` is one container's record. Only the kernel uses its files. `state/` is mounted for the runner alone:
inside, only root and the runner's group, which contains no agent, can pass the directory above it. It contains the
journals, which outlive the container, and until the runner has read it the runner's configuration.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import orjson

from session_widgets._sandboxes.contract import RUNNER_LIMITS, SandboxInfo, SandboxSpec
from session_widgets._sandboxes.docker_engine import engine, is_conflict
from session_widgets._sandboxes.docker_gateway import (
    INSIDE,
    PART,
    Gateway,
    doors_of,
    gateway_of,
    proxy_variables,
    wait_until_it_listens,
)
from session_widgets._sandboxes.docker_setup import set_up
from session_widgets._sandboxes.images import ensure_image
from session_widgets._sandboxes.ownership import Account, container_account, hand_over
from session_widgets._sandboxes.records import CONFIG, RECORD, TOKEN, alone, gone, info, made_of, recorded
from session_widgets.errors import SandboxError
from session_widgets.host.daemon import installation, read_json, write_private

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

PROVIDER = "docker"
ROOT = "/workspace"
PRIVATE = "/run/session-widgets"
STATE = f"{PRIVATE}/state"
CAPABILITIES = ["SETUID", "SETGID", "KILL", "DAC_OVERRIDE"]
PORT = 2468
START_SECONDS = 30
STOP_SECONDS = 5
LOG_LINES = 20
REMOVE_SECONDS = 60
GOING = {"removing", "dead"}
FACTS = ("session", "owner", "created")


@dataclass(frozen=True, slots=True)
class Limits:
    """Resources of one container."""

    memory: int = 4 << 30
    cpus: float = 2
    processes: int = 512


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Running:
    """Address of a container's runner, and the ports of this machine that lead to its other ports."""

    url: str
    token: str = field(repr=False)
    ports: Mapping[int, int] = field(default_factory=dict)


class Containers:
    """Keeps its records in `home`, and labels every container with the id of that directory."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def images(self, spec: SandboxSpec, cancelled: Event) -> tuple[str, str]:
        """Return the image for a new container, and the one in which its commands of `setup` have run.

        What is missing is built or pulled.
        """
        self._home.mkdir(parents=True, mode=0o700, exist_ok=True)
        lock, progress = self._home / "image.lock", spec.progress
        with engine() as docker:
            image = ensure_image(docker, lock, progress, cancelled, spec.image)
            return image, set_up(docker, lock, progress, cancelled, image, spec.setup)

    def make(self, id: str, spec: SandboxSpec, base: str, image: str) -> None:
        """Record and create a container, without starting it. `base` is for what belongs to it, without `setup`."""
        from docker.types import LogConfig, Mount

        place = self._home / id
        place.mkdir(parents=True, mode=0o700)
        created = datetime.now(UTC).isoformat()
        gateway = gateway_of(spec.network, spec.model_hosts, (PORT, *spec.ports), base)
        labels = self._labels(id, spec, created)
        with engine() as docker:
            about = docker.info()
            account = container_account(rootless="name=rootless" in (about.get("SecurityOptions") or ()))
            made = {
                "session": spec.session_id,
                "owner": spec.owner,
                "created": created,
                "workspace": spec.workspace,
                "image": image,
                "gateway": gateway,
                "account": [account.uid, account.gid, account.rootless],
                "config": {
                    "root": ROOT,
                    "state": STATE,
                    "host": "0.0.0.0",  # noqa: S104 - of the container; published on loopback alone
                    "port": PORT,
                    "idle_seconds": spec.idle_seconds,
                    "env": {**spec.env, **proxy_variables(gateway)},
                    "agents": spec.agents,
                    "user": account.inside,
                    **doors_of(gateway),
                },
            }
            write_private(place / RECORD, made)
            (place / "state").mkdir(mode=0o700)
            hand_over(place / "state", account)
            _hand_over_workspace(Path(spec.workspace), account)
            if gateway is None:
                network: dict[str, Any] = {
                    "ports": {f"{port}/tcp": ("127.0.0.1", None) for port in (PORT, *spec.ports)}
                }
            else:
                network = {"network_mode": "none", "use_config_proxy": False}
                self._gateway(docker, id).make_volume(labels)
            docker.containers.create(
                image,
                name=_name(id),
                hostname="sandbox",
                user=account.runner,
                labels=labels,
                mounts=[
                    Mount(ROOT, spec.workspace, type="bind"),
                    Mount(STATE, str(place / "state"), type="bind"),
                    *([Mount(INSIDE, _name(id), type="volume")] if gateway else ()),
                    *(Mount(inside, host, type="bind", read_only=True) for host, inside in spec.mounts.items()),
                ],
                tmpfs={PRIVATE: f"{account.private},size=64k,noexec,nosuid,nodev"},
                mem_limit=spec.memory or LIMITS.memory,
                memswap_limit=spec.memory or LIMITS.memory,
                nano_cpus=int(min(spec.cpus or LIMITS.cpus, about["NCPU"]) * 1e9),
                pids_limit=LIMITS.processes,
                cap_drop=["ALL"],
                cap_add=CAPABILITIES if account.inside else [],
                security_opt=["no-new-privileges"],
                log_config=LogConfig(type="json-file", config={"max-size": "1m", "max-file": "2"}),
                **network,
            )

    def start_if_stopped(self, id: str) -> Running:
        """Return the runner's address, after starting the container if it does not run."""
        place = self._home / id
        with alone(place, PROVIDER), engine() as docker:
            made = made_of(place, PROVIDER)
            container = self._find(docker, id)
            if container is None or container.status in GOING or made["config"]["state"] != STATE:
                raise gone(place, PROVIDER)  # of another state: an earlier release protected less
            gateway = new = None
            if made.get("gateway"):
                known = self._gateway(docker, id)
                gateway = known.running() if container.status in {"running", "paused"} else None
                gateway = gateway or (new := known.start(container, made["gateway"]))
            if container.status == "paused":
                container.unpause()
            elif container.status != "running":
                self._start(place, container, made)
            if new is not None:
                wait_until_it_listens(new)
            ports = _host_ports(gateway or container)
            secret, port = read_json(place / TOKEN), ports.pop(PORT, None)
            if secret is None or port is None:
                raise SandboxError(f"the records of sandbox 'docker:{id}' are incomplete; park it and try again.")
            return Running(f"http://127.0.0.1:{port}", secret["token"], ports)

    def stop(self, id: str) -> None:
        """Send SIGTERM to the runner, then SIGKILL."""
        place = self._home / id
        if not place.exists():
            return
        with alone(place, PROVIDER), engine() as docker:
            if container := self._find(docker, id):
                container.stop(timeout=STOP_SECONDS)
            self._gateway(docker, id).stop()

    def remove(self, id: str) -> bool:
        """Remove the container, then its record; False if there was no container."""
        place = self._home / id
        with engine() as docker:
            if not place.exists():
                return self._remove(docker, id)
            with alone(place, PROVIDER):  # otherwise another process could start it half removed
                removed = self._remove(docker, id)
                (place / RECORD).unlink(missing_ok=True)
                shutil.rmtree(place, ignore_errors=True)
                return removed

    def list(self) -> list[SandboxInfo]:
        """Return the recorded containers, and those of this installation without a record."""
        with engine() as docker:
            found = docker.containers.list(
                all=True,
                ignore_removed=True,
                filters={"label": f"session_widgets.home={installation(self._home)}"},
            )
        found.sort(key=lambda one: PART not in one.labels)  # a gateway counts only if the container itself is gone
        containers = {container.labels["session_widgets.id"]: container for container in found}
        infos = []
        for place, made in recorded(self._home):
            infos.append(info(PROVIDER, place.name, made, running=_runs(containers.pop(place.name, None))))
        for id, container in sorted(containers.items()):
            labels = {fact: container.labels[f"session_widgets.{fact}"] for fact in FACTS}
            infos.append(info(PROVIDER, id, labels, running=_runs(container)))
        return infos

    def _gateway(self, docker: DockerClient, id: str) -> Gateway:
        return Gateway(docker, _name(id), installation(self._home))

    def _find(self, docker: DockerClient, id: str) -> Container | None:
        from docker.errors import NotFound

        try:
            container = docker.containers.get(_name(id))
        except NotFound:
            return None
        return container if container.labels.get("session_widgets.home") == installation(self._home) else None

    def _remove(self, docker: DockerClient, id: str) -> bool:
        from docker.errors import APIError, NotFound

        container = self._find(docker, id)
        removed = container is not None
        if container is not None:
            try:
                container.remove(force=True, v=True)
            except NotFound:
                removed = False
            except APIError as error:
                if not is_conflict(error, "already in progress"):
                    raise
                _wait_until_removed(container)
        return self._gateway(docker, id).remove() or removed

    def _labels(self, id: str, spec: SandboxSpec, created: str) -> dict[str, str]:
        facts = {
            "home": installation(self._home),
            "id": id,
            "session": spec.session_id,
            "owner": spec.owner,
            "created": created,
        }
        return {"session_widgets": "1"} | {f"session_widgets.{name}": fact for name, fact in facts.items()}

    def _start(self, place: Path, container: Container, made: dict[str, Any]) -> None:
        from docker.errors import APIError

        account = Account(*made["account"])
        _hand_over_workspace(Path(made["workspace"]), account)
        known = {"token": secrets.token_urlsafe(32), "nonce": secrets.token_hex(16)}
        write_private(place / TOKEN, known)
        write_private(place / "state" / CONFIG, made["config"] | known | {"limits": RUNNER_LIMITS})
        try:
            container.start()
        except APIError as error:
            if is_conflict(error, "marked for removal"):  # by a kernel that was killed before the engine answered
                raise gone(place, PROVIDER) from error
            raise
        _wait_ready(container, place / "state" / "ready.json", known["nonce"])
        container.reload()


def _wait_ready(container: Container, ready: Path, nonce: str) -> None:
    """Wait until the runner started with `nonce` reports that it listens."""
    deadline = time.monotonic() + START_SECONDS
    look = 0.0
    while _nonce(ready) != nonce:
        if (now := time.monotonic()) > look:
            container.reload()
            look = now + 0.25
            if container.status in {"exited", "dead"} or now > deadline:
                log = container.logs(tail=LOG_LINES).decode(errors="replace").strip()
                raise SandboxError(
                    f"the runner in container {container.name} did not answer within {START_SECONDS} s (it is "
                    f"{container.status}). Its log ends:\n{log}"
                )
        time.sleep(0.005)


def _wait_until_removed(container: Container) -> None:
    """Wait for a removal that another process has begun."""
    from docker.errors import NotFound

    deadline = time.monotonic() + REMOVE_SECONDS
    while time.monotonic() < deadline:
        try:
            container.reload()
        except NotFound:
            return
        time.sleep(0.05)  # between two looks: mostly the first finds nothing
    raise SandboxError(f"Docker has been removing container {container.name} for {REMOVE_SECONDS} s.")


def _hand_over_workspace(path: Path, account: Account) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        hand_over(path, account)
    except OSError as error:
        raise SandboxError(f"the workspace {path} cannot be used: {error.strerror or error}") from error


def _runs(container: Container | None) -> bool:
    return container is not None and container.status == "running" and PART not in container.labels


def _name(id: str) -> str:
    return f"session-widgets-{id}"


def _host_ports(container: Container) -> dict[int, int]:
    """Return the ports of this machine by those of the container."""
    published = {int(name.partition("/")[0]): found for name, found in container.ports.items() if found}
    return {port: int(found[0]["HostPort"]) for port, found in published.items()}


def _nonce(ready: Path) -> str | None:
    """Read a file that the agent may have made: no link, no pipe, no large file."""
    try:
        handle = os.open(ready, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        return str(orjson.loads(os.read(handle, 4096))["nonce"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    finally:
        os.close(handle)
