"""The rules of a sandbox's network, and the proxy that keeps them. No container, no name server."""

import asyncio
from ipaddress import IPv4Address, IPv4Network

import pytest

from session_widgets.runner.egress import Egress, Host
from session_widgets.runner.egress_proxy import Proxy, Refused, asked
from session_widgets.runner.egress_upstream import Upstream

PUBLIC, PRIVATE = "93.184.216.34", "10.1.2.3"
RULES = Egress(
    [
        Host("api.example.com"),
        Host("*.example.org"),
        Host("model.example.net", (8443,), private=True),
        Host("10.9.9.9", (8000,), private=True),
    ],
    [IPv4Network("10.1.0.0/16"), IPv4Network("93.0.0.0/8")],
)


def allows(name, port, address):
    return RULES.asks(name, port) and RULES.allows(name, port, IPv4Address(address))


@pytest.mark.parametrize(
    ("name", "port", "address"),
    [
        ("api.example.com", 443, PUBLIC),
        ("api.example.com", 80, PUBLIC),
        ("a.b.example.org", 443, PUBLIC),
        ("api.example.com", 443, PRIVATE),  # a range has it
        ("model.example.net", 8443, "10.200.0.1"),
        ("10.9.9.9", 8000, "10.9.9.9"),
        (PRIVATE, 5432, PRIVATE),
        (PUBLIC, 22, PUBLIC),
    ],
)
def test_what_a_rule_has_is_reached(name, port, address):
    assert allows(name, port, address)


@pytest.mark.parametrize(
    ("name", "port", "address"),
    [
        ("api.example.com", 22, PUBLIC),
        ("api.example.com", 8443, PUBLIC),
        ("api.example.com", 443, "192.168.0.1"),  # its owner has changed the name (DNS rebinding)
        ("api.example.com", 443, "172.17.0.1"),
        ("api.example.com", 443, "127.0.0.1"),
        ("api.example.com", 443, "169.254.169.254"),
        ("api.example.com", 443, "168.63.129.16"),
        ("api.example.com", 443, "100.100.100.200"),
        ("api.example.com", 443, "0.0.0.0"),
        ("api.example.com", 443, "224.0.0.1"),
        ("example.org", 443, PUBLIC),
        ("notexample.org", 443, PUBLIC),
        ("api.example.com.evil.test", 443, PUBLIC),
        ("evil.test", 443, PUBLIC),
        ("model.example.net", 443, PUBLIC),
        ("model.example.net", 8443, "169.254.169.254"),
        ("10.9.9.9", 8001, "10.9.9.9"),
        ("1.1.1.1", 443, "1.1.1.1"),
        ("172.17.0.1", 80, "172.17.0.1"),
    ],
)
def test_nothing_else_is_reached(name, port, address):
    assert not allows(name, port, address)


def test_a_range_as_wide_as_the_internet_has_no_private_address():
    everything = Egress(ranges=[IPv4Network("0.0.0.0/0")])
    assert everything.allows(PUBLIC, 443, IPv4Address(PUBLIC))
    for address in (PRIVATE, "172.17.0.1", "192.168.1.1", "100.64.0.1", "127.0.0.1", "169.254.169.254"):
        assert not everything.allows(address, 443, IPv4Address(address)), address
    assert not Egress(ranges=[IPv4Network("169.254.0.0/16")]).allows("x", 80, IPv4Address("169.254.169.254"))


def test_a_request_is_read_and_written_anew():
    assert asked(b"CONNECT Api.Example.com.:443 HTTP/1.1\r\n\r\n") == ("api.example.com", 443, None)
    sent = (
        b"GET http://user:pw@api.example.com:81/a?b=c HTTP/1.1\r\nHost: evil\r\nProxy-Authorization: x\r\nA: 1\r\n\r\n"
    )
    name, port, forwarded = asked(sent)
    assert (name, port) == ("api.example.com", 81)
    assert forwarded == b"GET /a?b=c HTTP/1.1\r\nhost: api.example.com:81\r\nconnection: close\r\nA: 1\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1",
        b"GET https://api.example.com/ HTTP/1.1",
        b"GET ftp://api.example.com/ HTTP/1.1",
        b"CONNECT api.example.com HTTP/1.1",
        b"CONNECT api.example.com:443/x HTTP/1.1",
        b"CONNECT [::1]:443 HTTP/1.1",
        b"CONNECT [::ffff:10.0.0.1]:443 HTTP/1.1",
        b"CONNECT :443 HTTP/1.1",
        b"CONNECT a:99999 HTTP/1.1",
        b"CONNECT a b:443 HTTP/1.1",
        b"GET http://\xc3\xa9.test/ HTTP/1.1",
        b"CONNECT " + b"a" * 300 + b":443 HTTP/1.1",
        b"nonsense",
    ],
)
def test_what_is_no_request_to_a_proxy_is_refused(head):
    with pytest.raises(Refused):
        asked(head + b"\r\n\r\n")


class Names(Proxy):
    """A proxy whose names have the given addresses."""

    def __init__(self, egress, addresses, upstream=None):
        super().__init__(egress, upstream)
        self.addresses, self.resolved = addresses, []

    async def addresses_of(self, name, port):
        self.resolved.append(name)
        return [IPv4Address(one) for one in self.addresses[name]]


class Here(Egress):
    """Rules that allow this machine's address, too."""

    def allows(self, name, port, address):
        return address.is_loopback or super().allows(name, port, address)


async def talk(proxy, sent):
    """What a client of a proxy receives for bytes."""
    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(sent)
    received = await reader.read()
    writer.close()
    server.close()
    return received.decode()


async def test_a_name_without_a_rule_is_not_even_resolved():
    proxy = Names(RULES, {"secret-in-a-name.evil.test": [PUBLIC]})
    said = await talk(proxy, b"CONNECT secret-in-a-name.evil.test:443 HTTP/1.1\r\n\r\n")
    assert said.startswith("HTTP/1.1 403 ")
    assert "may not reach secret-in-a-name.evil.test:443. Its network= has api.example.com, *.example.org" in said
    assert proxy.resolved == []


async def test_a_name_that_has_become_a_private_address_is_refused_with_the_remedy():
    said = await talk(
        Names(RULES, {"api.example.com": ["192.168.0.1"]}), b"GET http://api.example.com/ HTTP/1.1\r\n\r\n"
    )
    assert said.startswith("HTTP/1.1 403 ")
    assert "stands for 192.168.0.1, which is not an address of the internet. A range of network=" in said


async def test_the_checked_address_is_connected_to_and_bytes_pass_both_ways():
    async def answer(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(5)
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: keep-alive\r\nA: 1\r\n\r\n")
        writer.write(head.partition(b"\r\n")[0] + b"|" + body)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    names = {"api.example.com": ["192.168.0.1", "127.0.0.1"]}
    rules = Here([Host("api.example.com", (port,))])
    request = f"POST http://api.example.com:{port}/x HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello".encode()
    said = await talk(Names(rules, names), request)
    assert said.startswith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: 1\r\nconnection: close\r\n\r\n")
    assert said.endswith("POST /x HTTP/1.1|hello")
    tunnel = f"CONNECT api.example.com:{port} HTTP/1.1\r\n\r\nPUT /y HTTP/1.1\r\n\r\nhello".encode()
    said = await talk(Names(rules, names), tunnel)
    assert said.startswith("HTTP/1.1 200 Connection established\r\n\r\n")
    assert said.endswith("PUT /y HTTP/1.1|hello")
    server.close()
    await server.wait_closed()
    assert "cannot be reached" in await talk(Names(rules, names), request)


async def test_the_proxy_of_an_organisation_is_asked_for_what_a_rule_has():
    received = []

    async def organisation(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        received.append(head.decode())
        refused = b"refused" in head
        writer.write(b"HTTP/1.1 407 No\r\n\r\n" if refused else b"HTTP/1.1 200 OK\r\n\r\n")
        writer.write(b"" if refused else b"through")
        writer.close()

    server = await asyncio.start_server(organisation, "127.0.0.1", 0)
    address = f"http://me:p%40ss@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    upstream = Upstream.of({"https_proxy": address, "HTTP_PROXY": address, "NO_PROXY": "localhost, .example.net"})
    rules = Egress([Host("api.example.com"), Host("refused.example.com"), Host("api.example.net")])
    proxy = Names(rules, {"api.example.net": ["192.168.0.1"]}, upstream)
    said = await talk(proxy, b"CONNECT api.example.com:443 HTTP/1.1\r\n\r\n")
    assert said == "HTTP/1.1 200 Connection established\r\n\r\nthrough"
    said = await talk(proxy, b"GET http://api.example.com/x?y HTTP/1.1\r\nA: 1\r\n\r\n")
    assert said == "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nthrough"
    authorization = "proxy-authorization: Basic bWU6cEBzcw=="
    assert received == [
        f"CONNECT api.example.com:443 HTTP/1.1\r\nhost: api.example.com:443\r\n{authorization}\r\n\r\n",
        "GET http://api.example.com/x?y HTTP/1.1\r\nhost: api.example.com\r\nconnection: close\r\nA: 1\r\n"
        f"{authorization}\r\n\r\n",
    ]
    said = await talk(proxy, b"CONNECT refused.example.com:443 HTTP/1.1\r\n\r\n")
    assert "cannot be reached: the proxy 127.0.0.1 answers 'HTTP/1.1 407 No'" in said
    assert "may not reach evil.test:443" in await talk(proxy, b"CONNECT evil.test:443 HTTP/1.1\r\n\r\n")
    assert "stands for 192.168.0.1" in await talk(proxy, b"CONNECT api.example.net:443 HTTP/1.1\r\n\r\n")
    assert (len(received), proxy.resolved) == (3, ["api.example.net"])
    server.close()


def test_what_no_proxy_names_and_private_addresses_are_reached_directly():
    upstream = Upstream.of({"https_proxy": "proxy.test:3128", "no_proxy": "a.test,.b.test,*.c.test"})
    for name in ("a.test", "x.a.test", "b.test", "x.b.test", "x.c.test", PRIVATE):
        assert upstream.leads_to(name, tunnel=True) is None
    for name in ("xa.test", "d.test", PUBLIC):
        assert upstream.leads_to(name, tunnel=True).netloc == "proxy.test:3128"
        assert upstream.leads_to(name, tunnel=False) is None
    assert Upstream.of({"https_proxy": "p:1", "no_proxy": "*"}).leads_to("d.test", tunnel=True) is None
