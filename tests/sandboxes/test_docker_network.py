"""Docker sandboxes whose network is restricted: attacks from inside, their gateway, and what is left of both."""

import asyncio
import json

import httpx
import pytest

from session_widgets._sandboxes import SandboxSpec, get_provider
from session_widgets._sandboxes.conformance import Subject, named_hosts_alone_are_reached
from session_widgets._sandboxes.docker_engine import engine
from session_widgets.errors import SandboxGone
from session_widgets.host.daemon import installation
from tests.support.model.serving import bridge_address
from tests.support.page import page

pytestmark = pytest.mark.needs("docker")


@pytest.fixture
def served():
    with page() as address:
        yield f"http://{address}/"


def subject(home, network, **options):
    spec = SandboxSpec("s1", str(home / "workspace"), {}, network=network, **options)
    return Subject(get_provider("docker", home), lambda: spec)


def belongings(home):
    """Names of all that the engine has of an installation."""
    labelled = {"label": f"session_widgets.home={installation(home / 'containers')}"}
    with engine() as docker:
        containers = [one.name for one in docker.containers.list(all=True, filters=labelled)]
        return sorted(containers), [one.name for one in docker.volumes.list(filters=labelled)]


def gateway(ref, what, **options):
    """Do something to a gateway behind the provider's back."""
    with engine() as docker:
        return getattr(docker.containers.get(f"session-widgets-{ref.id}-gateway"), what)(**options)


async def test_a_named_host_alone_answers(tmp_path, served):
    subject = Subject(
        get_provider("docker", tmp_path),
        lambda: SandboxSpec("s1", str(tmp_path / "workspace"), {}),
        reachable=served,
    )
    await named_hosts_alone_are_reached(subject)


ATTACK = """
import json, os, socket, subprocess, sys
PROXY, PAGE, HOST = ("127.0.0.1", 3128), sys.argv[1], sys.argv[2]

def connect(host, port, family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_STREAM); s.settimeout(3); s.connect((host, port))

def datagram(host, data):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2); s.sendto(data, (host, 53)); s.recv(9)

def through(target, request="CONNECT {} HTTP/1.1"):
    s = socket.create_connection(PROXY, 3); s.settimeout(10)
    s.sendall((request.format(target) + "\\r\\nhost: x\\r\\n\\r\\n").encode())
    status = s.recv(999).split(b" ")[1].decode()
    if status == "200": return
    raise OSError(f"status {status}")

def unix(name):
    s = socket.socket(socket.AF_UNIX); s.connect("/run/session-widgets/door/" + name)

QUERY = b"\\x12\\x34\\x01\\0\\0\\1\\0\\0\\0\\0\\0\\0\\x07example\\x03org\\0\\0\\1\\0\\1"
attempts = {
    "this machine": lambda: connect(HOST, 22),
    "this machine's page": lambda: connect(HOST, int(PAGE.rsplit(":", 1)[1].strip("/"))),
    "internet": lambda: connect("1.1.1.1", 443),
    "internet 6": lambda: connect("2606:4700:4700::1111", 443, socket.AF_INET6),
    "link 6": lambda: connect("fe80::1%lo", 80, socket.AF_INET6),
    "metadata": lambda: connect("169.254.169.254", 80),
    "dns": lambda: datagram("8.8.8.8", QUERY),
    "dns of the engine": lambda: datagram("127.0.0.11", QUERY),
    "a name": lambda: socket.getaddrinfo("leak.example.org", 80),
    "raw": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "packet": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "hypervisor": lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM),
    "route": lambda: subprocess.run(["ip", "route", "add", "default", "dev", "lo"], check=True),
    "new namespace": lambda: os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNET) if hasattr(os, "unshare") else
        subprocess.run(["unshare", "-rn", "true"], check=True, capture_output=True),
    "the proxy's socket": lambda: unix("proxy"),
    "another port of an allowed host": lambda: through("allowed.test:22"),
    "an address": lambda: through("1.1.1.1:443"),
    "an address of IPv6": lambda: through("[2606:4700:4700::1111]:443"),
    "the gateway": lambda: through("127.0.0.1:2468"),
    "the gateway by a number": lambda: through("2130706433:2468"),
    "the gateway in short": lambda: through("127.1:2468"),
    "the gateway by name": lambda: through("localhost:2468"),
    "the gateway's own name": lambda: through("gateway:2468"),
    "a listed name of the loopback": lambda: through("localhost:80"),
    "a listed name of a private address": lambda: through("gateway:443"),
    "this machine by the proxy": lambda: through(HOST + ":22"),
    "the metadata by the proxy": lambda: through("http://169.254.169.254/latest/meta-data/", "GET {} HTTP/1.1"),
    "another host": lambda: through("http://example.org/", "GET {} HTTP/1.1"),
    "a relative request": lambda: through("/", "GET {} HTTP/1.1"),
}
became = {}
for name, attempt in attempts.items():
    try:
        attempt()
    except (OSError, subprocess.CalledProcessError) as error:
        became[name] = str(error)
    else:
        became[name] = "done"
print(json.dumps(became))
"""


async def test_no_attack_from_inside_gets_out(tmp_path, served):
    networks = {"none": "none", "hosts": ("allowed.test", "localhost", "gateway", "203.0.113.0/24")}
    for network in networks.values():
        async with subject(tmp_path, network).sandbox() as sandbox:
            done = await sandbox.exec(f'python3 -c "$ATTACK" {served} {bridge_address()}', env={"ATTACK": ATTACK})
            assert done.code == 0, done.err
            became = json.loads(done.out)
            assert len(became) > 20
            assert {name: how for name, how in became.items() if how == "done"} == {}
            if network != "none":
                assert {how for name, how in became.items() if name.startswith("a listed name")} == {"status 403"}
            assert (await sandbox.runner.health())["status"] == "ok"


async def test_ports_lead_in_without_a_network(tmp_path):
    async with subject(tmp_path, "none", ports=(8000,)).sandbox() as sandbox:
        serve = "echo page > index.html; (python3 -m http.server 8000 >/dev/null 2>&1 &)"
        assert (await sandbox.exec(f"{serve}; until curl -s 127.0.0.1:8000; do sleep 0.05; done")).out == "page\n"
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get((await sandbox.endpoint(8000)).url)).text == "page\n"
        with engine() as docker:
            published = docker.containers.get(f"session-widgets-{sandbox.ref.id}-gateway").ports.values()
        assert {one["HostIp"] for found in published for one in found} == {"127.0.0.1"}


async def test_the_gateway_ends_with_the_sandbox_and_returns_with_it(tmp_path):
    closed = subject(tmp_path, "none", idle_seconds=3)
    async with closed.sandbox() as sandbox:
        names = [f"session-widgets-{sandbox.ref.id}{part}" for part in ("", "-gateway")]
        assert belongings(tmp_path) == (names, names[:1])
        assert [(info.ref, info.running) async for info in closed.provider.list()] == [(sandbox.ref, True)]
        await sandbox.write("note", b"kept")
        await asyncio.to_thread(gateway, sandbox.ref, "wait", timeout=30)  # the runner is idle, and ends
        assert [info.running async for info in closed.provider.list()] == [False]
        again = await closed.provider.attach(sandbox.ref)
        assert await again.read("note") == b"kept"
        nonce = (await again.runner.health())["nonce"]
        gateway(sandbox.ref, "remove", force=True)
        third = await closed.provider.attach(sandbox.ref)  # the runner and its agents go on
        assert (await third.runner.health())["nonce"] == nonce
        await again.aclose()
        await third.aclose()
        await closed.provider.park(sandbox.ref)
        assert belongings(tmp_path) == (names[:1], names[:1])
    assert belongings(tmp_path) == ([], [])


async def test_what_a_killed_kernel_leaves_is_found_and_removed(tmp_path):
    closed = subject(tmp_path, "none")
    sandbox = await closed.provider.create(closed.spec(), closed.announce)
    await sandbox.aclose()
    with engine() as docker:
        docker.containers.get(f"session-widgets-{sandbox.ref.id}").remove(force=True)
    (tmp_path / "containers" / sandbox.ref.id / "sandbox.json").unlink()
    assert [(info.ref, info.running) async for info in closed.provider.list()] == [(sandbox.ref, False)]
    with pytest.raises(SandboxGone):
        await closed.provider.attach(sandbox.ref)
    assert await closed.provider.destroy(sandbox.ref) is True
    assert belongings(tmp_path) == ([], [])
    sandbox = await closed.provider.create(closed.spec(), closed.announce)
    await sandbox.aclose()
    with engine() as docker:
        for part in ("", "-gateway"):
            docker.containers.get(f"session-widgets-{sandbox.ref.id}{part}").remove(force=True)
    assert belongings(tmp_path) == ([], [f"session-widgets-{sandbox.ref.id}"])
    assert [info.ref async for info in closed.provider.list()] == [sandbox.ref]
    assert await closed.provider.destroy(sandbox.ref) is False
    assert belongings(tmp_path) == ([], [])
