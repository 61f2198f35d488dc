"""What the programs of a sandbox may reach: the option `network` of every provider has this one meaning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Network

from session_widgets.errors import BadValue

Network = str | tuple[str, ...]
"""`OPEN`, `NONE`, or what may be reached: names of hosts, "*." and a name for all names below it, ranges of IPv4
addresses such as "10.0.0.0/8", single addresses."""

OPEN, NONE = "open", "none"
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*", re.ASCII)
_LONGEST = 253
_LOOPBACK = re.compile(r"(localhost|127\.[\d.]+)(:|$)")


def network_of(value: object) -> Network:
    """Return a valid option `network`, with names in lower case; raise `BadValue` for anything else."""
    if value in (OPEN, NONE):
        return str(value)
    if isinstance(value, list | tuple) and value:
        return tuple(dict.fromkeys(_place(one) for one in value))
    raise BadValue(
        f"network must be 'open', 'none' or a list with names of hosts or ranges of addresses; got {value!r:.80}."
    )


def as_range(place: str) -> IPv4Network | None:
    """Return an address or a range of them; None for a name."""
    try:
        return IPv4Network(place)
    except ValueError:
        return None


def elsewhere(model: Sequence[str]) -> tuple[str, ...]:
    """Return the addresses of a model's API without those of a loopback, which a sandbox has for itself."""
    return tuple(one for one in model if not _LOOPBACK.match(one))


def reached(network: Network, model: Sequence[str]) -> Network:
    """Return what a sandbox reaches whose agent needs its model, too.

    Args:
        network: as the user wishes.
        model: the addresses of the model's API, "name" or "name:port".
    """
    if network == OPEN or not model:
        return network
    wanted = () if isinstance(network, str) else network
    return tuple(dict.fromkeys([*wanted, *(one.partition(":")[0] for one in model)]))


def _place(value: object) -> str:
    if not isinstance(value, str):
        raise BadValue(f"network must be a list of text; got {value!r:.80}.")
    place = value.lower()
    named = _NAME.fullmatch(place) and len(place) <= _LONGEST and not place.rpartition(".")[2].isdigit()
    if as_range(place) or (named and place not in (OPEN, NONE)):
        return place
    raise BadValue(
        f"network must be 'open', 'none' or a list of names such as 'api.example.com', '*.example.com' (every name "
        f"below it) and ranges of IPv4 addresses such as '10.0.0.0/8'; got {value!r:.80}.{_remedy(place)}"
    )


def _remedy(place: str) -> str:
    if place in (OPEN, NONE):
        return f" {place!r} stands alone: network={place!r}."
    if "://" in place:
        return f" Leave out the scheme and the path: {re.split('[/:]', place.partition('://')[2])[0]!r:.80}."
    if place in {"*", "0.0.0.0", "any", "all"}:  # noqa: S104 - no address is bound
        return " network='open' means everything."
    name, _, port = place.rpartition(":")
    if port.isdigit() and _NAME.fullmatch(name):
        return f" A name has the ports 80 and 443; leave out the port: {name!r:.80}."
    if ":" in place:
        return " IPv6 is not reached."
    try:
        return f" The range has bits beyond its length: {str(IPv4Network(place, strict=False))!r} would do."
    except ValueError:
        return ""
