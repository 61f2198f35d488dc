"""E2B: the contract of every provider, and what is its own, through the unmodified SDK and the stand-in."""

import asyncio
import time
from dataclasses import replace

import pytest

import session_widgets as sw
from session_widgets._sandboxes import SandboxSpec
from session_widgets._sandboxes.clouds import limits
from session_widgets._sandboxes.clouds.contract import BoxSpec
from session_widgets._sandboxes.clouds.e2b import E2BVendor, _network, provider
from session_widgets._sandboxes.conformance import CHECKS, OF_LIFE, SharingSubject, Subject
from session_widgets._sandboxes.runner_client import RunnerClient
from session_widgets.errors import (
    BadValue,
    ExecTimeout,
    MissingDependency,
    SandboxAuth,
    SandboxBusy,
    SandboxError,
    SandboxGone,
    SandboxQuota,
    TransportError,
)
from session_widgets.model import SandboxRef
from tests.standins.e2b_account import E2BAccount
from tests.support.waiting import until_async

pytestmark = pytest.mark.needs("boxes")

BOX = BoxSpec({"session_widgets_id": "one", "test": "e2b"}, ports=(2468,), idle=300, lifetime=3600)


def spec(home, **options):
    return SandboxSpec("s1", str(home / "workspace"), {}, **options)


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with E2BAccount(tmp_path_factory.mktemp("e2b")) as account, pytest.MonkeyPatch.context() as patch:
        for name, value in account.environment.items():
            patch.setenv(name, value)
        patch.setattr(limits, "SECONDS_BETWEEN", 0)
        yield account
        assert account.boxes == {}


@pytest.fixture(scope="module")
def shared(account, tmp_path_factory):
    """The home of a sandbox, and its reference."""
    home = tmp_path_factory.mktemp("shared")

    async def create():
        announced = []
        subject = Subject(provider(home), lambda: spec(home), announced)
        await (await subject.provider.create(spec(home), subject.announce)).aclose()
        return announced[0]

    ref = asyncio.run(create())
    yield home, ref
    asyncio.run(provider(home).destroy(ref))


@pytest.fixture(autouse=True)
def nothing_is_left(account, shared):
    """No box outlives its test but the shared one, and the stand-in knows every request."""
    yield
    assert list(account.boxes.values()) == ["running"]
    assert account.take_unknown() == []


@pytest.fixture
def subject(tmp_path):
    return Subject(provider(tmp_path), lambda: spec(tmp_path))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(check, shared, subject):
    home, ref = shared
    sharing = SharingSubject(provider(home), lambda: spec(home), ref)
    await check(subject if check in OF_LIFE else sharing)


# Failures of the vendor


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ({"kind": "429", "after": 0, "times": 9}, SandboxBusy, "rate limiting"),
        (
            {"kind": "429", "message": "limit of 20 concurrent sandboxes", "after": 0, "times": 9},
            SandboxQuota,
            "limit of",
        ),
        ({"kind": "503", "after": 0, "times": 9}, SandboxBusy, "no capacity"),
        ({"kind": "html"}, TransportError, "E2B: JSONDecodeError"),
        ({"kind": "500", "times": 9}, TransportError, "E2B: SandboxException: 500"),
        ({"kind": "400", "message": "Timeout cannot be greater than 1 hour"}, SandboxError, "greater than 1 hour"),
        ({"kind": "404"}, SandboxError, "no template 'session-widgets-.*' for this account"),
        ({"kind": "401"}, SandboxAuth, "refused the key of E2B_API_KEY"),
    ],
    ids=lambda value: str(value.get("message", value["kind"])) if isinstance(value, dict) else "",
)
async def test_a_creation_that_fails_says_why_and_leaves_nothing(account, subject, fault, error, words):
    account.fault(route="POST /v2/sandboxes", **fault)
    with pytest.raises(error, match=words) as raised:
        await subject.provider.create(subject.spec(), subject.announce)
    assert type(raised.value) is error
    assert [info async for info in subject.provider.list()] == []
    account.forget_faults()


async def test_a_creation_that_was_refused_once_is_asked_for_again_and_makes_one_box(account):
    """By the SDK, with the same key; what was sent and not answered is not asked for again."""
    before = account.books()["calls"].get("POST /v2/sandboxes", 0)
    account.fault("429", "POST /v2/sandboxes", after=0)
    vendor = E2BVendor()
    box = await vendor.create(BOX)
    assert account.books()["calls"]["POST /v2/sandboxes"] == before + 2
    assert [info.id async for info in vendor.list(BOX.labels)] == [box.id]
    body = account.books()["created"][-1]
    assert (body["timeout"], body["autoPause"], body["network"]) == (300, True, {"allowPublicTraffic": False})
    assert await vendor.destroy(box.id) is True


@pytest.mark.parametrize(
    ("network", "asked"),
    [
        ("open", {}),
        ("none", {"deny_out": ["0.0.0.0/0"]}),
        (
            ("example.org", "*.example.com"),
            {"allow_out": ["example.org", "*.example.com"], "deny_out": ["0.0.0.0/0"]},
        ),
    ],
)
def test_the_network_of_a_box_is_as_asked_and_its_ports_need_a_token(network, asked):
    assert _network(replace(BOX, network=network)) == {"allow_public_traffic": False, **asked}


async def test_commands_and_their_limits(shared, account):
    home, ref = shared
    sandbox = await provider(home).attach(ref)
    (id,) = account.boxes
    box = await E2BVendor().attach(id, BOX)
    done = await box.exec("echo out; echo err >&2; id -u; exit 3", timeout=30)
    assert (done.code, sorted(done.out.split())) == (3, ["0", "err", "out"])
    with pytest.raises(ExecTimeout, match=r"longer than 0\.5 s"):
        await box.exec("sleep 60", timeout=0.5)
    endpoint = await box.endpoint(8000)
    assert endpoint.headers["E2b-Sandbox-Port"] == "8000"
    client = RunnerClient(endpoint, "/workspace")
    with pytest.raises(TransportError, match=r"502.*port is not open"):
        await client.health()
    await client.aclose()
    account.fault("html", "envd /files")
    with pytest.raises(TransportError):
        await box.write("/tmp/x", b"")
    await sandbox.aclose()


async def test_time_is_extended_and_a_box_pauses_when_it_ends(account, shared):
    home, ref = shared
    e2b = provider(home)
    sandbox = await e2b.attach(ref)
    (id,) = account.boxes
    await sandbox.extend(1_500)
    assert 1_400 < account.books()["ends"][id] - time.time() < 1_600
    (info,) = [info async for info in e2b.list()]
    assert 1_400 < info.expires_at.timestamp() - time.time() < 1_600
    await sandbox.extend(1)
    await until_async(lambda: account.boxes == {id: "paused"}, seconds=20, what="its pause")
    await sandbox.aclose()
    sandbox = await e2b.attach(ref)
    assert (await sandbox.exec("echo on")).out == "on\n"
    await sandbox.aclose()


# Bad input


def test_no_key_and_no_sdk_are_said_before_anything_is_made(home, monkeypatch):
    monkeypatch.delenv("E2B_API_KEY")
    with pytest.raises(SandboxAuth, match=r"set E2B_API_KEY\. https://e2b\.dev/dashboard"):
        sw.open_session("a", sandbox="e2b")
    monkeypatch.setenv("E2B_API_KEY", "e2b_x")
    monkeypatch.setattr("session_widgets._sandboxes.clouds.e2b.find_spec", lambda _: None)
    with pytest.raises(MissingDependency, match=r"pip install 'session-widgets\[e2b\]'"):
        sw.open_session("a", sandbox="e2b")
    assert sw.store().sessions() == []


async def test_a_wrong_key_is_refused_without_a_box(subject, monkeypatch, account):
    monkeypatch.setenv("E2B_API_KEY", "e2b_wrong")
    with pytest.raises(SandboxAuth, match="refused the key"):
        await subject.provider.create(subject.spec(), subject.announce)


def test_an_option_that_it_does_not_have_names_who_has_it():
    with pytest.raises(BadValue, match=r"got gpu=\. .*gpu= is an option of .*'modal'"):
        sw.open_session("a", sandbox=sw.Sandbox("e2b", gpu="T4"))
    with pytest.raises(BadValue, match=r"'e2b' takes no address here"):
        sw.open_session("a", sandbox="e2b:https://elsewhere")


async def test_a_reference_of_another_vendor_is_not_one_of_its_own(subject):
    for ref in (SandboxRef("modal", "0123456789ab"), SandboxRef("e2b", "../x"), SandboxRef("e2b", "0123456789ab")):
        with pytest.raises(SandboxGone):
            await subject.provider.attach(ref)
