"""Modal's stand-in against the bare SDK: what the adapter's tests stand on."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Iterator

import modal
import modal.experimental
import pytest
from modal.exception import (
    AlreadyExistsError,
    AuthError,
    ConflictError,
    NotFoundError,
    ResourceExhaustedError,
    SandboxFilesystemNotFoundError,
    SandboxTimeoutError,
    UnimplementedError,
)

from tests.standins.modal_account import TOKEN, ModalAccount

pytestmark = pytest.mark.needs("boxes")


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with ModalAccount.entered(tmp_path_factory.mktemp("modal")) as account:
        yield account


@pytest.fixture(autouse=True)
def no_unknown_call(account):
    """Fail the test that makes a call which the stand-in does not know."""
    yield
    assert account.take_unexpected() == []


class Bare:
    """The SDK without the adapter: one client, one app, one image."""

    def __init__(self, client):
        self.client = client
        self.app = modal.App.lookup("stand-in", client=client, create_if_missing=True)
        self.image = modal.Image.from_registry("python:3.11-slim")

    def options(self, **options):
        return {"timeout": 600, "app": self.app, "client": self.client, "image": self.image, **options}

    async def create(self, **options):
        return await modal.Sandbox.create.aio("sleep", "infinity", **self.options(**options))


@pytest.fixture(scope="module")
def bare(account) -> Iterator[Bare]:
    client = modal.Client.from_credentials(*TOKEN)
    yield Bare(client)
    client.close()


@pytest.fixture(scope="module")
def box(bare):
    """A box that the tests share which are not about its life."""
    shared = modal.Sandbox.create(
        "sleep", "infinity", **bare.options(env={"GIVEN": "1"}, tags={"n": "0", "one": "1"}, encrypted_ports=[8000])
    )
    yield shared
    shared.terminate(wait=True)


async def run(box, *command, stdin=None, **options):
    process = await box.exec.aio(*command, text=False, **options)
    if stdin is not None:
        process.stdin.write(stdin)
        process.stdin.write_eof()
        await process.stdin.drain.aio()
    out, err, code = await asyncio.gather(process.stdout.read.aio(), process.stderr.read.aio(), process.wait.aio())
    return code, out, err


async def test_commands(box):
    assert await run(box, "sh", "-c", "echo out$GIVEN; echo err >&2; exit 3") == (3, b"out1\n", b"err\n")
    assert await run(box, "cat", stdin=b"\x00\xffin") == (0, b"\x00\xffin", b"")
    assert (await run(box, "sh", "-c", "kill -9 $$"))[0] == 137
    assert (await run(box, "pwd", workdir="/usr"))[1] == b"/usr\n"
    slow = await box.exec.aio("sh", "-c", "echo now; sleep 30", timeout=3)
    assert [line async for line in slow.stdout] == ["now\n"]
    assert await slow.wait.aio() in {-1, 137}


async def test_files_and_a_cut_stream(box, account):
    data = bytes(range(256)) * 12_000
    await box.filesystem.write_bytes.aio(data, "/tmp/deep/er/data")
    account.fault("cut", times=3)
    assert await box.filesystem.read_bytes.aio("/tmp/deep/er/data") == data
    with pytest.raises(SandboxFilesystemNotFoundError):
        await box.filesystem.read_bytes.aio("/tmp/missing")


async def test_found_by_id_name_and_tags(bare, box):
    boxes = [box, *[await bare.create(name=f"box-{n}", tags={"one": "1", "n": str(n)}) for n in (1, 2)]]
    same = await modal.Sandbox.from_name.aio("stand-in", "box-1", client=bare.client)
    assert same.object_id == boxes[1].object_id
    assert await (await modal.Sandbox.from_id.aio(same.object_id, client=bare.client)).poll.aio() is None
    listed = modal.Sandbox.list.aio(app_id=bare.app.app_id, tags={"one": "1"}, client=bare.client)
    assert {box.object_id async for box in listed} == {box.object_id for box in boxes}
    assert (await boxes[2].get_tags.aio())["n"] == "2"
    with pytest.raises(AlreadyExistsError):
        await bare.create(name="box-1")
    with pytest.raises(NotFoundError):
        await modal.Sandbox.from_name.aio("stand-in", "none", client=bare.client)
    for one in boxes[1:]:
        await one.terminate.aio()


async def test_a_tunnel_leads_to_the_port_that_was_named(box):
    await box.exec.aio("python3", "-m", "http.server", "8000", "--directory", "/usr/share")
    tunnel = (await box.tunnels.aio())[8000]

    def get() -> int:
        return urllib.request.urlopen(f"http://{tunnel.host}:{tunnel.port}/", timeout=5).status

    deadline = asyncio.get_running_loop().time() + 10
    while asyncio.get_running_loop().time() < deadline:
        try:
            assert await asyncio.to_thread(get) == 200
            return
        except OSError:
            await asyncio.sleep(0.05)
    pytest.fail("no answer through the tunnel")


async def test_a_snapshot_makes_another_box(bare, account):
    box = await bare.create()
    await box.filesystem.write_bytes.aio(b"kept", "/opt/note")
    image = await box.snapshot_filesystem.aio()
    assert await box.terminate.aio(wait=True) == 137
    again = await bare.create(image=modal.Image.from_id(image.object_id, client=bare.client))
    assert again.object_id != box.object_id
    assert await again.filesystem.read_bytes.aio("/opt/note") == b"kept"
    await again.terminate.aio()
    await modal.experimental.image_delete.aio(image.object_id, client=bare.client)
    assert account.books()["images"] == []
    with pytest.raises(NotFoundError):
        await bare.create(image=modal.Image.from_id(image.object_id, client=bare.client))


async def test_an_ended_box_refuses_commands(bare, account):
    box = await bare.create(idle_timeout=1)
    with pytest.raises(SandboxTimeoutError):
        await asyncio.wait_for(box.wait.aio(), 20)
    found = await modal.Sandbox.from_id.aio(box.object_id, client=bare.client)
    assert found.returncode == 124
    with pytest.raises((NotFoundError, ConflictError)):
        await run(found, "true")
    with pytest.raises(NotFoundError):
        await modal.Sandbox.from_id.aio("sb-" + "0" * 26, client=bare.client)
    assert box.object_id not in [one["id"] for one in account.books()["boxes"]]


async def test_a_box_ends_with_its_main_program(bare):
    box = await modal.Sandbox.create.aio(**bare.options())
    assert await box.poll.aio() == 0


async def test_faults_and_a_wrong_token(bare, account):
    account.fault("SandboxCreateV2", status="RESOURCE_EXHAUSTED")
    with pytest.raises(ResourceExhaustedError):
        await bare.create()
    made = account.books()["made"]
    account.fault("late creation", seconds=0.1)
    account.fault("after SandboxCreateV2", status="UNAVAILABLE")  # the SDK repeats the call with the same key
    await (await bare.create()).terminate.aio()
    assert account.books()["made"] == made + 1
    stranger = await modal.Client.from_credentials.aio("ak-x", "as-x")
    with pytest.raises(AuthError):
        await modal.App.lookup.aio("stand-in", client=stranger)
    await stranger.close.aio()


async def test_a_clock_that_is_an_hour_behind_gives_tokens_that_look_expired(account):
    client = await modal.Client.from_credentials.aio(*TOKEN)
    account.set_clock(-3600)
    try:
        asked = []
        for _ in range(2):
            with pytest.raises(NotFoundError):
                await modal.Sandbox.from_name.aio("stand-in", "none", client=client)
            asked.append(account.books()["calls"]["AuthTokenGet"])
        assert asked[1] > asked[0], "the SDK asks for another one at each call, and goes on"
    finally:
        account.set_clock(0)
        await client.close.aio()


async def test_a_gpu_is_checked_at_the_request(bare, account):
    with pytest.raises(ResourceExhaustedError):
        await bare.create(gpu="T4", cpu=4, memory=8192)
    request = account.books()["requests"][-1]
    assert (request["gpu"], request["cpu"], request["memory"]) == ("T4", 4000, 8192)


async def test_an_unknown_call_is_booked(bare, account):
    with pytest.raises(UnimplementedError):
        await modal.Secret.from_name("none").hydrate.aio(client=bare.client)
    assert account.take_unexpected() == ["SecretGetOrCreate is not implemented"]
