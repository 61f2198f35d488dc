"""The adapter of Daytona on the stand-in of that cloud, through the unmodified SDK."""

from __future__ import annotations

import asyncio
import importlib.util

import pytest
from daytona import CreateSandboxFromImageParams, CreateSandboxFromSnapshotParams

from session_widgets._sandboxes import SandboxSpec
from session_widgets._sandboxes.clouds import daytona, daytona_sdk, limits
from session_widgets._sandboxes.clouds.contract import BoxSpec
from session_widgets._sandboxes.clouds.daytona import Daytona, DaytonaBox, provider
from session_widgets._sandboxes.conformance import CHECKS, OF_LIFE, SharingSubject, Subject
from session_widgets.errors import (
    BadValue,
    ExecTimeout,
    MissingDependency,
    SandboxAuth,
    SandboxBusy,
    SandboxError,
    SandboxGone,
    SandboxNotRunning,
    SandboxQuota,
    TransportError,
)
from tests.standins.daytona_account import DaytonaAccount

LABELS = {"session_widgets": "1", "session_widgets_id": "1"}
LIST, CREATE = "GET /api/sandbox", "POST /api/sandbox"

pytestmark = [pytest.mark.needs("boxes"), pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with DaytonaAccount(tmp_path_factory.mktemp("daytona")) as account:
        yield account


@pytest.fixture
async def vendor(account, monkeypatch):
    """The adapter; after the test the books of the stand-in have no box, and no request that it does not know."""
    for name, value in account.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(limits, "SECONDS_BETWEEN", 0)
    monkeypatch.setattr(daytona, "POLL_SECONDS", 0.05)
    yield (vendor := Daytona())
    await vendor.aclose()
    assert boxes(account) == {}
    assert account.take_unknown() == []


def boxes(account):
    """The states of the boxes by id, but for the shared one."""
    found = account.books()["boxes"].items()
    return {id: box["state"] for id, box in found if box["labels"].get("session_widgets_session") != "shared"}


def asked(**options):
    return BoxSpec(labels=LABELS, ports=(3000,), idle=600, lifetime=3600, **options)


@pytest.fixture
async def box(vendor):
    made = await vendor.create(asked())
    yield made
    await vendor.destroy(made.id)


@pytest.fixture(scope="module")
def shared(account, tmp_path_factory):
    """The home of a sandbox, and its reference."""
    home, announced = tmp_path_factory.mktemp("shared"), []

    async def create():
        made = provider(home)
        subject = Subject(made, lambda: SandboxSpec("shared", "", {}), announced)
        await (await made.create(subject.spec(), subject.announce)).aclose()
        await made.aclose()

    async def destroy():
        made = provider(home)
        await made.destroy(announced[0])
        await made.aclose()

    with pytest.MonkeyPatch.context() as patch:
        for name, value in account.environment.items():
            patch.setenv(name, value)
        asyncio.run(create())
        yield home, announced[0]
        asyncio.run(destroy())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(check, vendor, shared, tmp_path):
    home, ref = (tmp_path, None) if check in OF_LIFE else shared
    made, spec = provider(home), lambda: SandboxSpec("s1", "", {})
    await check(Subject(made, spec) if ref is None else SharingSubject(made, spec, ref))
    await made.aclose()


async def test_a_box_from_creation_to_removal(vendor, account):
    box = await vendor.create(asked())
    done = await box.exec('echo "it\'s $((6 * 7))"; echo err >&2; id -u; exit 3', timeout=30)
    assert (done.code, done.out) == (3, "it's 42\nerr\n0\n")
    with pytest.raises(ExecTimeout):
        await box.exec("sleep 60", timeout=0.5)
    assert (await box.exec("ps -A -o args | grep -c '[s]leep 60'", timeout=30)).out == "0\n"
    await box.write("/tmp/file", b"kept")
    assert (await box.exec("mv /tmp/file /srv/file && cat /srv/file", timeout=30)).out == "kept"
    body = account.books()["created"][-1]
    assert (body["autoStopInterval"], body["autoArchiveInterval"], body["autoDeleteInterval"]) == (10, 60, 10080)
    assert (body["public"], body["labels"].items() >= LABELS.items()) == (False, True)
    (found,) = [info async for info in vendor.list(LABELS)]
    assert (found.id, found.running) == (box.id, True)
    assert 500 < (found.expires - found.created).total_seconds() < 700
    assert [info async for info in vendor.list({"session_widgets_id": "2"})] == []
    for _ in range(2):
        assert await vendor.park(box.id, print) == box.id
    assert [info.running async for info in vendor.list(LABELS)] == [False]
    with pytest.raises(SandboxNotRunning):
        await box.exec("true", timeout=30)
    again = await vendor.attach(box.id, asked())
    assert (await again.exec("cat /srv/file", timeout=30)).out == "kept"
    assert [await vendor.destroy(box.id) for _ in range(2)] == [True, False]
    with pytest.raises(SandboxGone):
        await vendor.attach(box.id, asked())


async def test_a_box_of_an_image_runs_as_root(vendor, account):
    box = await vendor.create(asked(image="python:3.12", network="none"))
    assert (await box.exec("id -u; command -v sudo", timeout=30)).out == "0\n"
    await vendor.destroy(box.id)
    body = account.books()["created"][-1]
    assert (body["buildInfo"]["dockerfileContent"].split(), body["networkBlockAll"]) == (["FROM", "python:3.12"], True)


async def test_a_box_that_nobody_extends_stops_and_then_goes(vendor, account):
    box = await vendor.create(asked())
    states = []
    for idle, minutes in ((600, 9), (300, 4), (0, 2), (0, daytona.ARCHIVE_MINUTES), (0, daytona.DELETE_MINUTES)):
        if idle:
            await box.extend(idle)
        account.behind_our_back(box.id, f"pass-{minutes}")
        states += boxes(account).values() or ["gone"]
    assert states == ["started", "started", "stopped", "archived", "gone"]
    with pytest.raises(SandboxGone):
        await vendor.attach(box.id, asked())


@pytest.mark.parametrize("kind", ["lost", "late"])
async def test_a_creation_without_an_answer_has_made_one_box(vendor, account, kind):
    account.fault(kind, CREATE, seconds=60)
    creating = asyncio.create_task(vendor.create(asked()))
    if kind == "late":
        async with asyncio.timeout(60):
            while not boxes(account):
                await asyncio.sleep(0.05)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
        (left,) = [info async for info in vendor.list(LABELS)]
    else:
        left = await creating
        assert isinstance(left, DaytonaBox)
    assert len(boxes(account)) == 1
    assert await vendor.destroy(left.id), "also while it starts"


async def test_an_image_that_does_not_exist_is_named_and_leaves_no_box(vendor, account, tmp_path):
    account.fault("broken", CREATE)
    made = provider(tmp_path)
    with pytest.raises(SandboxError, match=r"manifest for the image is unknown.*with a tag\?"):
        await made.create(SandboxSpec("s1", "", {}, image="python:3.99"), lambda ref: asyncio.sleep(0))
    assert boxes(account) == {}
    await made.aclose()


@pytest.mark.parametrize(
    ("fault", "raised", "words"),
    [
        ({"kind": "429", "after": 7}, SandboxBusy, "limits the rate"),
        ({"kind": "html"}, TransportError, "Daytona"),
        ({"kind": "502"}, TransportError, "Daytona"),
        ({"kind": "refused", "status": 401, "message": "Unauthorized"}, SandboxAuth, "app.daytona.io/dashboard/keys"),
        ({"kind": "refused", "status": 403, "message": "Forbidden resource"}, SandboxAuth, "may not do that"),
        (
            {"kind": "refused", "status": 403, "message": "Total disk limit exceeded. Maximum allowed: 30GiB"},
            SandboxQuota,
            "archived",
        ),
        ({"kind": "refused", "status": 400, "message": "No available runners"}, SandboxBusy, "DAYTONA_TARGET"),
        ({"kind": "refused", "status": 400, "message": "Region mars not found"}, SandboxError, "mars"),
        ({"kind": "refused", "status": 404, "message": "Snapshot x not found", "source": "API"}, SandboxError, "x not"),
    ],
)
async def test_an_error_is_ours_and_names_a_remedy(vendor, account, fault, raised, words):
    account.fault(route=LIST, **fault)
    with pytest.raises(raised, match=words) as caught:
        _ = [info async for info in vendor.list(LABELS)]
    assert type(caught.value) is raised
    if raised is SandboxBusy and "after" in fault:
        assert caught.value.retry_after == 7
    assert [info async for info in vendor.list(LABELS)] == [], "it is not tried again by itself"


async def test_only_the_vendor_says_that_a_box_is_gone(vendor, account, box):
    account.fault("html", "GET /api/sandbox/", status=404)
    with pytest.raises(TransportError):
        await vendor.attach(box.id, asked())
    account.behind_our_back(box.id, "gone")
    with pytest.raises(SandboxGone):
        await box.exec("true", timeout=30)
    with pytest.raises(SandboxGone):
        await vendor.attach(box.id, asked())


async def test_a_box_that_failed_is_recovered_or_named(vendor, account, box):
    await box.write("/tmp/file", b"kept")
    account.behind_our_back(box.id, "error-recoverable")
    again = await vendor.attach(box.id, asked())
    assert (await again.exec("cat /tmp/file", timeout=30)).out == "kept"
    account.behind_our_back(box.id, "error-final")
    with pytest.raises(SandboxError, match=r"the disk is full.*app\.daytona\.io/dashboard"):
        await vendor.attach(box.id, asked())
    assert [info.running async for info in vendor.list(LABELS)] == [False]


async def test_no_file_of_the_working_directory_is_a_setting(vendor, account, tmp_path, monkeypatch):
    for name in (".env", ".env.local"):
        (tmp_path / name).write_text(
            "DAYTONA_API_KEY=planted\nDAYTONA_TARGET=planted\nDAYTONA_API_URL=http://127.0.0.1:9/api\n"
            "DAYTONA_OTEL_ENABLED=true\nDAYTONA_HAPPY_EYEBALLS_DELAY=nonsense\n"
        )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAYTONA_TARGET")
    await vendor.destroy((await vendor.create(asked())).id)
    assert "target" not in account.books()["created"][-1]
    monkeypatch.delenv("DAYTONA_API_KEY")
    with pytest.raises(SandboxAuth, match="set DAYTONA_API_KEY"):
        vendor.check()


async def test_a_wrong_key_is_refused_with_the_remedy(vendor, monkeypatch):
    monkeypatch.setenv("DAYTONA_API_KEY", "dtn_wrong0123456789")
    with pytest.raises(SandboxAuth, match="refused the key") as caught:
        _ = [info async for info in vendor.list(LABELS)]
    assert "wrong0123456789" not in str(caught.value)
    await vendor.aclose()


@pytest.mark.parametrize(
    ("installed", "words"), [((), r"pip install 'session-widgets\[daytona\]'"), (("daytona_sdk",), "is the old name")]
)
def test_without_the_sdk_it_says_what_to_install(monkeypatch, installed, words):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        daytona, "find_spec", lambda name: None if name == "daytona" else object() if name in installed else found(name)
    )
    with pytest.raises(MissingDependency, match=words):
        Daytona().check()


async def test_sessions_share_the_connections_which_close_when_unused(vendor, account, monkeypatch):
    monkeypatch.setattr(daytona_sdk, "LINGER_SECONDS", 0.2)
    other = Daytona()
    async with vendor.client() as one:
        async with other.client() as two:
            assert one is two
        await other.aclose()
        await asyncio.sleep(0.4)
        async with other.client() as three:
            assert three is one, "the first still uses it"
        assert [info async for info in vendor.list(LABELS)] == []
    async with asyncio.timeout(60):
        while daytona_sdk._clients():
            await asyncio.sleep(0.05)
    async with vendor.client() as four:
        assert four is not one
    monkeypatch.setenv("DAYTONA_HAPPY_EYEBALLS_DELAY", "nonsense")
    monkeypatch.setenv("DAYTONA_TARGET", "eu")
    for _ in range(2):
        with pytest.raises(SandboxError, match="HAPPY_EYEBALLS"):
            _ = [info async for info in vendor.list(LABELS)]
    monkeypatch.delenv("DAYTONA_HAPPY_EYEBALLS_DELAY")
    assert [info async for info in vendor.list(LABELS)] == [], "a client that could not be made is made again"
    await vendor.aclose()


def test_a_plain_box_is_the_vendors_default():
    asked_for = daytona._asked(asked())
    assert isinstance(asked_for, CreateSandboxFromSnapshotParams)
    assert asked_for.snapshot is None
    assert daytona._asked(asked()).name == asked_for.name, "a name follows from the labels"
    assert daytona._asked(asked(image="mine")).snapshot == "mine"


def test_a_box_of_another_size_has_an_image():
    asked_for = daytona._asked(asked(cpus=2, memory=3 << 29, gpu="H100", network=("example.org", "10.0.0.1", "a.org")))
    assert isinstance(asked_for, CreateSandboxFromImageParams)
    size = asked_for.resources
    assert (asked_for.image, size.cpu, size.memory, size.gpu) == (daytona.IMAGE, 2, 2, 1)
    assert (asked_for.domain_allow_list, asked_for.network_allow_list) == ("example.org,a.org", "10.0.0.1/32")
    assert daytona._asked(asked(image="a/b:1")).image == "a/b:1"
    assert daytona._asked(asked(network="none")).network_block_all is True


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cpus": 0.5}, "whole processors"),
        ({"gpu": "T4"}, "H100.*got gpu='T4'"),
        ({"image": "mine", "cpus": 2, "memory": 1 << 30}, "leave out cpus and memory"),
    ],
)
def test_what_the_vendor_does_not_have_is_a_bad_value(options, words):
    with pytest.raises(BadValue, match=words):
        daytona._asked(asked(**options))
