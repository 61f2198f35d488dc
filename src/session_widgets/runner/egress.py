"""What a sandbox may reach: names of hosts and ranges of IPv4 addresses. Pure: it resolves and connects to nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

WEB = (80, 443)
ANY = "*."
METADATA = frozenset(map(IPv4Address, ("168.63.129.16", "100.100.100.200")))
"""Services of Azure's and Alibaba's machines; those of other clouds are addresses of the link."""
_WIDEST = 8
"""A wider range than all private ones is meant for the internet, and opens no private address."""


@dataclass(frozen=True, slots=True)
class Host:
    """A name, or "*." and a name for all names below it; an address counts as a name.

    Attributes:
        private: whether the name may stand for an address that the internet does not have. The name of a model's own
            address may, because the user's settings have it. Any other name may be changed by its owner meanwhile
            (DNS rebinding).
    """

    name: str
    ports: tuple[int, ...] = WEB
    private: bool = False

    def matches(self, name: str) -> bool:
        """Whether it stands for a name in lower case."""
        return name.endswith(self.name[1:]) if self.name.startswith(ANY) else name == self.name


class Egress:
    """The rules of one sandbox.

    Args:
        hosts: that may be reached by name, each on its ports.
        ranges: of addresses, which may be reached on any port.
    """

    def __init__(self, hosts: Iterable[Host] = (), ranges: Iterable[IPv4Network] = ()) -> None:
        self._hosts = tuple(hosts)
        self._ranges = tuple(ranges)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Egress:
        """Read `{"hosts": [[name, [port, ...], private], ...], "ranges": [...]}`."""
        hosts = [Host(name, tuple(ports), private) for name, ports, private in value["hosts"]]
        return cls(hosts, [IPv4Network(one) for one in value["ranges"]])

    def __str__(self) -> str:
        return ", ".join([*(host.name for host in self._hosts), *map(str, self._ranges)]) or "nothing"

    def asks(self, name: str, port: int) -> bool:
        """Whether a name, or an address, may be resolved at all: the question itself would leave the sandbox."""
        address = _address(name)
        if address is not None and self._in_range(address):
            return True
        return any(host.matches(name) and port in host.ports for host in self._hosts)

    def allows(self, name: str, port: int, address: IPv4Address) -> bool:
        """Whether a connection to an address may be opened, of a name that was resolved to it.

        No rule opens the gateway's own addresses, those of its link or of a cloud's services, and groups.
        """
        if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
            return False
        if address in METADATA:
            return False
        if self._in_range(address) and self.asks(name, port):
            return True
        matching = [host for host in self._hosts if host.matches(name) and port in host.ports]
        return any(host.private or address.is_global for host in matching)

    def _in_range(self, address: IPv4Address) -> bool:
        return any(address in one and (address.is_global or _is_private(one)) for one in self._ranges)


def _address(name: str) -> IPv4Address | None:
    try:
        return IPv4Address(name)
    except ValueError:
        return None


def _is_private(one: IPv4Network) -> bool:
    """Whether a range was meant for addresses that the internet does not have: it begins and ends with such ones."""
    return one.prefixlen >= _WIDEST and not one[0].is_global and not one[-1].is_global
