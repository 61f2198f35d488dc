"""The gateway of a container without a network: a second container, the only way in and out. Everything here blocks.

The sandbox's container has its own loopback and no other interface: no route, no name server and no neighbour, whatever
the engine's version. Both containers share a volume with Unix sockets (`runner/doors.py`), which work in the virtual
machine of Docker Desktop, too. The gateway has a network: the runner's port is published there, and its proxy
(`runner/gateway.py`) reaches what the sandbox may.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson

from session_widgets._sandboxes.network import OPEN, Network, as_range
from session_widgets.errors import SandboxError

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

PART = "session_widgets.part"
"""Label of what belongs to the container of a sandbox."""
HOME = "session_widgets.home"
PYTHON = "/opt/session-widgets/bin/python"
INSIDE = "/run/session-widgets/door"
PROXY_PORT = 3128
WEB = (80, 443)
READY = b"ready"
START_SECONDS = 30
MEMORY = 256 << 20
PROCESSES = 32
LOG_LINES = 20


def egress_of(network: Network, model: Sequence[str]) -> dict[str, Any] | None:
    """Return the rules of the gateway's proxy; None if nothing leads out.

    Args:
        network: not `OPEN`.
        model: addresses of the model's API, "name" or "name:port".
    """
    places = () if isinstance(network, str) else network
    ranges = [str(found) for place in places if (found := as_range(place))]
    hosts: list[Any] = [[place, WEB, False] for place in places if not as_range(place)]
    for one in model:
        name, _, port = one.partition(":")
        hosts.append([name, [int(port or 443)], True])
    return {"hosts": hosts, "ranges": ranges} if hosts or ranges else None


def gateway_of(network: Network, model: Sequence[str], ports: Sequence[int], image: str) -> dict[str, Any] | None:
    """Return the part of a container's record for its gateway; None if it has a network.

    Args:
        network: what it may reach.
        model: addresses of the model's API, which it may reach besides.
        ports: the runner's, and those of programs.
        image: with the runner's Python, and nothing that a user's `setup` has changed.
    """
    if network == OPEN:
        return None
    return {"image": image, "ports": list(ports), "egress": egress_of(network, model)}


def doors_of(gateway: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the part of the runner's configuration."""
    if gateway is None:
        return {}
    proxy = PROXY_PORT if gateway["egress"] else None
    return {"doors": {"directory": INSIDE, "ports": gateway["ports"], "proxy": proxy}}


def proxy_variables(gateway: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the variables by which the sandbox's programs find the proxy."""
    if gateway is None or not gateway["egress"]:
        return {}
    proxy, none = f"http://127.0.0.1:{PROXY_PORT}", "localhost,127.0.0.1,::1"
    named = {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "NO_PROXY": none}
    return named | {name.lower(): value for name, value in named.items()} | {"NODE_USE_ENV_PROXY": "1"}


class Gateway:
    """The gateway of one container, and the volume with its sockets.

    Args:
        docker: the engine.
        name: of the sandbox's container.
        home: id of the installation, which the labels of all its containers have.
    """

    def __init__(self, docker: DockerClient, name: str, home: str) -> None:
        self._docker = docker
        self._name = name
        self._home = home

    def make_volume(self, labels: Mapping[str, str]) -> None:
        """Make the volume: before the sandbox's container, which is created with it."""
        self._docker.volumes.create(self._name, labels={**labels, PART: "doors"})

    def running(self) -> Container | None:
        """Return the gateway's container if it runs."""
        container = self._find()
        return container if container is not None and container.status == "running" else None

    def start(self, sandbox: Container, made: Mapping[str, Any]) -> Container:
        """Start a new container, in place of one that may be left. It may start before the sandbox does.

        Args:
            sandbox: its container.
            made: `gateway_of`.
        """
        from docker.types import LogConfig, Mount

        self.stop()
        config = {"directory": INSIDE, "ports": made["ports"], "egress": made["egress"]}
        labels = {key: value for key, value in sandbox.labels.items() if key.startswith("session_widgets.")}
        container = self._docker.containers.create(
            made["image"],
            name=self._container,
            hostname="gateway",
            user="0:0",
            entrypoint=[PYTHON, "-I", "-m", "session_widgets.runner.gateway"],
            command=[orjson.dumps(config).decode()],
            labels={**labels, PART: "gateway"},
            mounts=[Mount(INSIDE, self._name, type="volume")],
            ports={f"{port}/tcp": ("127.0.0.1", None) for port in made["ports"]},  # type: ignore[misc]  # None: any
            read_only=True,
            mem_limit=MEMORY,
            memswap_limit=MEMORY,
            pids_limit=PROCESSES,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            log_config=LogConfig(type="json-file", config={"max-size": "1m", "max-file": "2"}),
        )
        container.start()
        return container

    def stop(self) -> bool:
        """Remove the container; the volume stays. False if there was none."""
        from docker.errors import NotFound

        if (container := self._find()) is None:
            return False
        with suppress(NotFound):
            container.remove(force=True)
        return True

    def remove(self) -> bool:
        """Remove container and volume, once the sandbox's container is removed. False if there was no container."""
        from docker.errors import NotFound

        removed = self.stop()
        with suppress(NotFound):
            volume = self._docker.volumes.get(self._name)
            if (volume.attrs.get("Labels") or {}).get(HOME) == self._home:
                volume.remove()
        return removed

    @property
    def _container(self) -> str:
        return f"{self._name}-gateway"

    def _find(self) -> Container | None:
        from docker.errors import NotFound

        try:
            container = self._docker.containers.get(self._container)
        except NotFound:
            return None
        return container if container.labels.get(HOME) == self._home else None


def wait_until_it_listens(gateway: Container) -> None:
    """Wait for the line that the program prints then."""
    deadline = time.monotonic() + START_SECONDS
    while READY not in (log := gateway.logs(tail=LOG_LINES)).split():
        gateway.reload()
        if gateway.status in {"exited", "dead"} or time.monotonic() > deadline:
            said = log.decode(errors="replace").strip()
            raise SandboxError(
                f"the gateway {gateway.name}, which a sandbox with network= needs, did not start (it is "
                f"{gateway.status}). An image of an earlier release has none: build it again. Its log ends:\n{said}"
            )
        time.sleep(0.01)  # a line of a log is no event of the engine
    gateway.reload()
