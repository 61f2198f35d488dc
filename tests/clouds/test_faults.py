"""Faults of a vendor that all three can show, on the sandboxes of their stand-ins.

| fault | e2b | daytona | modal |
| --- | --- | --- | --- |
| 429 with Retry-After | test_e2b | test_daytona, test_daytona_sessions | test_modal_adapter: RESOURCE_EXHAUSTED |
| 500 with HTML, 502 from a proxy | here, test_e2b | here, test_daytona | here |
| a creation that answers late and is cancelled | here | here | here |
| another id after the box was resumed | here | never: an id is for life, `start` has it in its path | here: at each |
| a box that stops in mid-exec | here | here | here |
| a time that ends in mid-turn and mid-exec | test_e2b_sessions | test_daytona_sessions | test_modal_sessions |
| a cut, a stalled stream, a duplicated event | test_e2b_sessions | test_daytona_sessions | test_modal_sessions |
| a clock that is an hour off | here | here | here: tokens end by it, deadlines are in our tags |
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from session_widgets._sandboxes import SandboxSpec, get_provider
from session_widgets._sandboxes.clouds import limits
from session_widgets.errors import SandboxError, SandboxGone, SandboxNotRunning, TransportError
from session_widgets.model import Capability
from tests.standins.rented import CLOUDS, rented
from tests.support.waiting import until_async

pytestmark = [pytest.mark.needs("boxes"), pytest.mark.timeout(120)]


@pytest.fixture(scope="module", params=CLOUDS)
def place(request, tmp_path_factory):
    """An account at a vendor."""
    with rented(request.param, tmp_path_factory.mktemp(request.param)) as account:
        yield account


@pytest.fixture
async def cloud(place, tmp_path, monkeypatch):
    """Its provider; in the end no box is left, and the stand-in knew every request."""
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(limits, "SECONDS_BETWEEN", 0)
    yield (provider := get_provider(place.name, tmp_path))
    await provider.aclose()
    place.check()


def spec():
    return SandboxSpec("s1", "", {})


async def announce(ref):
    """No record is needed."""


@asynccontextmanager
async def created(cloud):
    """A sandbox, which is removed in the end."""
    sandbox = await cloud.create(spec(), announce)
    try:
        yield sandbox
    finally:
        await sandbox.aclose()
        await cloud.destroy(sandbox.ref)


async def listed(cloud):
    return [info async for info in cloud.list()]


@pytest.mark.parametrize("status", [500, 502])
async def test_a_page_of_a_proxy_in_the_place_of_an_answer_makes_no_box(place, cloud, status):
    with place.answering_creations(status), pytest.raises(TransportError) as raised:
        await cloud.create(spec(), announce)
    assert type(raised.value) is TransportError
    assert await listed(cloud) == []
    async with created(cloud) as sandbox:
        assert (await sandbox.exec("echo on")).out == "on\n"


async def test_a_creation_that_answers_late_and_is_cancelled_leaves_no_box(place, cloud):
    place.delay_creation(1)
    creating = asyncio.create_task(cloud.create(spec(), announce))
    await until_async(lambda: place.boxes, seconds=30, what="the box")
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    assert place.boxes == []
    assert await listed(cloud) == []


async def test_a_box_that_has_another_id_after_it_was_resumed_is_the_same(place, cloud):
    async with created(cloud) as sandbox:
        await sandbox.write("note", b"kept")
        (before,) = place.boxes
        await cloud.park(sandbox.ref)
        place.rename_when_resumed()
        again = await cloud.attach(sandbox.ref)
        assert await again.read("note") == b"kept"
        await again.aclose()
        (after,) = place.boxes
        assert (after != before) is (place.name != "daytona")
        assert [(info.ref, info.running) for info in await listed(cloud)] == [(sandbox.ref, True)]
        await (await cloud.attach(sandbox.ref)).aclose()
        assert place.boxes == [after]


async def test_a_command_of_the_vendors_whose_box_stops_fails_at_once_and_is_not_run_again(place, cloud):
    async with created(cloud) as sandbox:
        box = sandbox._box
        running = asyncio.create_task(box.exec("echo once >> /srv/ran; sleep 300", timeout=300))

        async def has_run():
            return (await box.exec("cat /srv/ran", timeout=30)).code == 0

        async with asyncio.timeout(30):
            while not await has_run():
                await asyncio.sleep(0.05)
        place.stop()
        with pytest.raises(SandboxError) as raised:
            async with asyncio.timeout(30):
                await running
        kinds = {"e2b": SandboxNotRunning, "daytona": TransportError, "modal": SandboxGone}
        assert type(raised.value) is kinds[place.name]
        if place.name == "modal":
            with pytest.raises(SandboxGone):
                await cloud.attach(sandbox.ref)
        else:
            again = await cloud.attach(sandbox.ref)
            assert (await again._box.exec("cat /srv/ran", timeout=30)).out == "once\n"
            await again.aclose()


@pytest.mark.parametrize("ahead", [3600, -3600])
async def test_a_clock_of_the_vendor_that_is_an_hour_off_changes_nothing(place, cloud, tmp_path, ahead):
    """No deadline is promised that we have not asked for, no age is wrong, nothing ends sooner or later."""
    async with created(cloud) as sandbox:
        (before,) = await listed(cloud)
        place.set_clock(ahead)
        (info,) = await listed(cloud)
        assert (info.created_at, info.running) == (before.created_at, True)
        extends = Capability.EXTEND in cloud.capabilities
        if extends and ahead < 0:
            assert info.expires_at is None
        else:
            assert abs(info.expires_at.timestamp() - before.expires_at.timestamp()) < 60
        again = await cloud.attach(sandbox.ref)
        await again.extend(1_500)
        assert (await again.exec("echo on")).out == "on\n"
        await again.aclose()
        record = tmp_path / "clouds" / place.name / sandbox.ref.id / "sandbox.json"
        record.rename(tmp_path / "aside")
        (orphan,) = await listed(cloud)
        assert orphan.created_at == before.created_at, "the label has our time"
        (tmp_path / "aside").rename(record)
        place.set_clock(0)
        (info,) = await listed(cloud)
        left = info.expires_at.timestamp() - time.time()
        assert 1_400 < left < 1_600 if extends else left > 80_000
