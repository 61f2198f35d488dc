"""Parking in a cloud: processes end, snapshots are kept as long as the sandbox, on boxes of this machine."""

import asyncio

import pytest

from session_widgets._sandboxes import SandboxSpec
from session_widgets._sandboxes.clouds.provider import CloudProvider
from tests.standins.machine import Boxes
from tests.standins.plain import PlainVendor

pytestmark = pytest.mark.needs("boxes")


@pytest.fixture
async def vendor(tmp_path):
    boxes = Boxes(tmp_path)
    yield PlainVendor(boxes)
    left = list(boxes.live)
    await boxes.close()
    assert left == [], "boxes were left"


async def test_processes_end_and_snapshots_are_removed_with_the_sandbox(vendor, tmp_path):
    """To fetch the files, a session ends the processes, not the box. A vendor may give a parked box another id."""
    vendor.renames = True
    provider, announced = CloudProvider(tmp_path, vendor), []

    async def announce(ref):
        announced.append(ref)

    sandbox = await provider.create(SandboxSpec("s1", str(tmp_path / "workspace"), {}), announce)
    [ref] = announced
    beating = "(while :; do date +%N > beat; sleep 0.05; done) >/dev/null 2>&1 &"
    await sandbox.exec(f"echo x > note; {beating} until [ -s beat ]; do sleep 0.02; done")
    await sandbox.aclose()
    assert await provider.end_processes(ref) == ref
    assert [box.state for box in vendor.books.live.values()] == ["running"]
    sandbox = await provider.attach(ref)
    assert await sandbox.read("note") == b"x\n"
    beat = await sandbox.read("beat")
    await asyncio.sleep(0.2)
    assert await sandbox.read("beat") == beat
    await sandbox.aclose()
    for _ in range(2):
        await provider.park(await provider.park(ref))
        await (await provider.attach(ref)).aclose()
    assert await provider.destroy(ref) is True
    assert vendor.destroyed == ["box1xx", "box1xx", "box1x"]
