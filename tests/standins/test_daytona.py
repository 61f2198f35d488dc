"""Daytona's stand-in against the bare SDK: what the adapter's tests stand on."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from daytona import AsyncDaytona, CreateSandboxFromSnapshotParams, DaytonaConfig, ListSandboxesQuery
from daytona.common.errors import (
    DaytonaAuthenticationError,
    DaytonaBadGatewayError,
    DaytonaBadRequestError,
    DaytonaConflictError,
    DaytonaError,
    DaytonaInternalServerError,
    DaytonaNotFoundError,
    DaytonaProcessExecutionTimeoutError,
    DaytonaRateLimitError,
)

from session_widgets._sandboxes.clouds.daytona_sdk import close
from tests.standins.daytona_account import PREVIEW_TOKEN, DaytonaAccount

pytestmark = pytest.mark.needs("boxes")


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with DaytonaAccount(tmp_path_factory.mktemp("daytona")) as account:
        yield account


@pytest.fixture
async def sdk(account):
    """The SDK as its users have it; no request is unknown to the stand-in, and no box is left."""
    yield (client := client_of(account))
    async for box in client.list():
        await client.delete(box, wait=True)
    await close(client)
    assert account.boxes == {}
    assert account.take_unknown() == []


def client_of(account, key=None):
    known = account.environment
    config = DaytonaConfig(
        api_key=key or known["DAYTONA_API_KEY"], api_url=known["DAYTONA_API_URL"], target=known["DAYTONA_TARGET"]
    )
    return AsyncDaytona(config)


def asked(name="one", **options):
    return CreateSandboxFromSnapshotParams(name=name, **options)


async def test_a_box_from_creation_to_deletion(sdk, account):
    box = await sdk.create(asked(labels={"n": "1"}, env_vars={"GIVEN": "1"}))
    ran = await box.process.exec("echo out; echo err >&2; echo $GIVEN; exit 3")
    assert (ran.exit_code, ran.result) == (3, "out\nerr\n1\n")
    await box.fs.upload_file(b"\0\xff", "/tmp/deep/file")
    assert (await box.process.exec("od -An -tx1 /tmp/deep/file; id -u; pwd")).result.split() == [
        "00",
        "ff",
        "1000",
        "/home/user",
    ]
    assert (await box.get_user_home_dir(), await box.get_work_dir()) == ("/home/user", "/home/user")
    await box.process.exec("nohup sleep 600 > /dev/null 2>&1 &")
    with pytest.raises(DaytonaProcessExecutionTimeoutError):
        await box.process.exec("sleep 60", timeout=1)
    await box.stop()
    with pytest.raises(DaytonaBadRequestError, match="not running"):
        await box.process.exec("true")
    await box.archive()
    while box.state != "archived":  # until then it refuses another change
        await box.refresh_data()
    await box.start()
    assert (await box.process.exec("cat /tmp/deep/file; ps -A | grep -c sleep")).result.endswith("0\n")
    assert await box.set_labels({"n": "2"}) == {"n": "2"}
    assert [found.name async for found in sdk.list(ListSandboxesQuery(labels={"n": "2"}, limit=1))] == ["one"]
    assert [found.name async for found in sdk.list(ListSandboxesQuery(labels={"n": "1"}))] == []
    await sdk.delete(box, wait=True)
    with pytest.raises(DaytonaNotFoundError):
        await sdk.get("one")


async def test_a_listing_in_pages(sdk):
    await asyncio.gather(*(sdk.create(asked(name)) for name in ("one", "two")))
    assert sorted([found.name async for found in sdk.list(ListSandboxesQuery(limit=1))]) == ["one", "two"]
    with pytest.raises(DaytonaConflictError):
        await sdk.create(asked("two"))


async def test_a_preview_needs_the_token_of_this_run(sdk, account):
    box = await sdk.create(asked())
    await box.fs.upload_file(b"hello\n", "/tmp/w/page")
    await box.process.exec("cd /tmp/w && nohup python3 -m http.server 8000 >/dev/null 2>&1 &")
    wait = "until python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8000))'; do :; done"
    await box.process.exec(f"{wait} 2>/dev/null")
    link, closed = await box.get_preview_link(8000), await box.get_preview_link(9000)
    async with httpx.AsyncClient(trust_env=False) as http:

        async def status(link, token):
            return (await http.get(f"{link.url}/page", headers={PREVIEW_TOKEN: token})).status_code

        assert [await status(link, token) for token in (link.token, "", closed.token)] == [200, 401, 401]
        assert (await http.get(f"{link.url}/page", headers={PREVIEW_TOKEN: link.token})).text == "hello\n"
        assert await status(closed, closed.token) == 502
        await box.stop()
        assert await status(link, link.token) == 400
        await box.start()
        assert await status(link, link.token) == 401


async def test_an_unused_box_stops_and_a_preview_is_no_use(sdk, account):
    box = await sdk.create(asked(auto_stop_interval=10, auto_archive_interval=60, auto_delete_interval=600))
    account.behind_our_back(box.id, "pass-9")
    await box.refresh_activity()
    link = await box.get_preview_link(8000)
    account.behind_our_back(box.id, "pass-9")
    async with httpx.AsyncClient(trust_env=False) as http:
        await http.get(link.url, headers={PREVIEW_TOKEN: link.token})
    states = []
    for minutes in (0, 2, 61, 600):
        account.behind_our_back(box.id, f"pass-{minutes}")
        states += account.boxes.values() or ["gone"]
    assert states == ["started", "stopped", "archived", "gone"]


@pytest.mark.parametrize(
    ("kind", "raised"),
    [("429", DaytonaRateLimitError), ("html", DaytonaInternalServerError), ("502", DaytonaBadGatewayError)],
)
async def test_a_fault_comes_once_and_is_not_retried(sdk, account, kind, raised):
    account.fault(kind, "GET /api/sandbox")
    with pytest.raises(raised):
        await sdk.get("one")
    with pytest.raises(DaytonaNotFoundError):
        await sdk.get("one")


async def test_what_happens_behind_our_back(sdk, account):
    box = await sdk.create(asked())
    account.behind_our_back(box.id, "pass-15")
    await box.refresh_data()
    assert box.state == "stopped"
    account.behind_our_back(box.id, "gone")
    with pytest.raises(DaytonaNotFoundError):
        await box.refresh_data()


async def test_a_creation_that_answers_late_has_made_the_box(sdk, account):
    account.fault("late", "POST /api/sandbox", seconds=30)
    creating = asyncio.create_task(sdk.create(asked()))
    async with asyncio.timeout(60):
        while account.boxes != {"one": "started"}:
            await asyncio.sleep(0.05)
    creating.cancel()
    await asyncio.gather(creating, return_exceptions=True)
    assert (await sdk.get("one")).state == "started"


async def test_another_key_is_refused(account):
    stranger = client_of(account, "wrong")
    with pytest.raises(DaytonaAuthenticationError):
        await stranger.get("one")
    await close(stranger)


async def test_what_it_does_not_know_is_in_the_books(sdk, account):
    with pytest.raises(DaytonaError, match="does not know"):
        await sdk.volume.list()
    assert account.take_unknown() == ["GET /api/volumes"]
