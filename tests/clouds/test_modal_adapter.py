"""The adapter of Modal, against the stand-in that the unmodified SDK speaks to."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from session_widgets._sandboxes.clouds import modal, modal_box
from session_widgets._sandboxes.clouds.contract import BoxSpec
from session_widgets._sandboxes.clouds.modal import ModalVendor, provider
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
from session_widgets.model import Endpoint
from tests.standins.modal_account import ModalAccount
from tests.support.waiting import until

pytestmark = pytest.mark.needs("boxes")


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with ModalAccount.entered(tmp_path_factory.mktemp("modal")) as account:
        yield account


@pytest.fixture(autouse=True)
def nothing_is_left(account):
    """No box outlives its test but the shared one, and the stand-in knows every call."""
    yield
    assert account.take_unexpected() == []
    assert [box["tags"].get("test") for box in account.books()["boxes"]] in ([], ["shared"])


def spec(name="one", **options):
    return BoxSpec(
        **{"labels": {"test": name, "more": "x"}, "ports": (2468,), "idle": 300, "lifetime": 3600, **options}
    )


@pytest.fixture
async def vendor(account):
    vendor = ModalVendor()
    yield vendor
    await vendor.aclose()


@pytest.fixture
async def box(vendor):
    """One box for all tests that are not about its life: a second creation finds it by its name."""
    return await vendor.create(spec("shared"))


@pytest.fixture(scope="module", autouse=True)
def end_of_shared(account):
    yield
    account.end_all()


async def test_commands(box):
    done = await box.exec("echo out; echo err >&2; cat; exit 3", timeout=30)
    assert (done.code, done.out) == (3, "out\nerr\n")
    assert (await box.exec("id -u; (sleep 60 >/dev/null 2>&1 &) ; echo on", timeout=30)).out == "0\non\n"
    assert (await box.exec("ls /tmp/.session-widgets-* | wc -l", timeout=30)).out.strip() == "1", "but its own"


async def test_a_command_that_takes_too_long_is_killed_with_its_children(box):
    with pytest.raises(ExecTimeout, match=r"longer than 0\.5 s"):  # maybe before it has started
        await box.exec("(sleep 61; true) & sleep 62; true", timeout=0.5)
    assert (await box._run(modal_box._KILL, "/tmp/noted", timeout=30)).code == 0
    assert (await box._run(modal_box._START, "/tmp/noted", "echo late", timeout=30)).code == 137
    assert (await box._run(modal_box._START, "/tmp/noted", "echo on", timeout=30)).out == "on\n"
    cancelled = asyncio.create_task(box.exec("touch /tmp/begun; (sleep 63; true) & sleep 64; true", timeout=60))
    while (await box.exec("test -e /tmp/begun", timeout=30)).code:
        await asyncio.sleep(0.05)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    running = await box.exec("cat /proc/[0-9]*/cmdline | tr '\\0' ' '", timeout=30)
    assert not [word for word in ("sleep 61", "sleep 62", "sleep 63", "sleep 64") if word in running.out]


async def test_files_and_ports(box):
    data = bytes(range(256)) * 20_000
    await box.write("/opt/data", data)
    assert (await box.exec("wc -c < /opt/data", timeout=30)).out.strip() == str(len(data))
    endpoint = await box.endpoint(2468)
    assert endpoint.url.startswith("http://127.0.0.1:")
    assert endpoint == Endpoint(endpoint.url)
    with pytest.raises(SandboxError, match=r"ports=\[9\]"):
        await box.endpoint(9)
    with pytest.raises(SandboxError):
        await box.write("/opt", b"a directory")


async def test_a_parked_box_has_another_id_and_the_same_files(vendor, account):
    box = await vendor.create(spec())
    await box.write("/opt/note", b"kept")
    recorded = []
    parked = await vendor.park(box.id, recorded.append)
    assert recorded == [parked]
    assert parked != box.id
    assert await vendor.park(parked, recorded.append) == parked
    with pytest.raises(SandboxGone):
        await box.exec("true", timeout=30)
    with pytest.raises(SandboxGone):
        await vendor.attach(box.id, spec())
    assert [info async for info in vendor.list({"test": "one"})] == []
    again = await vendor.attach(parked, spec())
    assert again.id not in {box.id, parked}
    assert (await again.exec("cat /opt/note", timeout=30)).out == "kept"
    assert (await vendor.attach(again.id, spec())).id == again.id
    assert await vendor.destroy(again.id) is True
    assert await vendor.destroy(again.id) is False
    assert account.books()["images"] == [parked]
    assert await vendor.destroy(parked) is True
    with pytest.raises(SandboxGone):
        await vendor.attach(parked, spec())
    assert await vendor.destroy(parked) is False
    assert account.books()["images"] == []


async def test_a_kernel_that_dies_while_parking_loses_nothing(vendor, account):
    """The new id is recorded while the old box still runs; that box is found by its name afterwards."""
    box = await vendor.create(spec())

    class Killed(BaseException):
        pass

    recorded = []

    def record(id):
        recorded.append(id)
        raise Killed

    with pytest.raises(Killed):
        await vendor.park(box.id, record)
    assert len(recorded) == 1
    again = await vendor.attach(recorded[0], spec())
    assert again.id == box.id
    await vendor.destroy(again.id)
    await vendor.destroy(recorded[0])


async def test_a_creation_whose_answer_is_lost_is_not_doubled(vendor, account):
    made = account.books()["made"]
    account.fault("late creation", seconds=0.3)
    creating = asyncio.create_task(vendor.create(spec()))
    await asyncio.to_thread(until, lambda: account.books()["made"] > made)
    creating.cancel()
    await asyncio.gather(creating, return_exceptions=True)
    found = [info.id async for info in vendor.list({"test": "one"})]
    assert len(found) == 1
    assert (await vendor.create(spec())).id == found[0]
    await vendor.destroy(found[0])


async def test_listing_knows_labels_age_and_deadline(vendor, box, monkeypatch):
    monkeypatch.setattr(modal, "time", SimpleNamespace(time=lambda: 1_800_000_000.9))
    labels = {"more": "x", "odd": "2026-01-02T03:04:05+00:00 a_b/ü&", "empty": "", "long": "_" * 63}
    others = [await vendor.create(spec(labels={**labels, "test": f"other-{number}"})) for number in range(2)]
    found = {info.id: info async for info in vendor.list({"more": "x"})}
    assert found.keys() == {box.id, *(other.id for other in others)}
    info = found[others[0].id]
    assert (info.labels["test"], info.labels["odd"], info.running) == ("other-0", labels["odd"], True)
    assert [info.id async for info in vendor.list({"odd": labels["odd"], "test": "other-1"})] == [others[1].id]
    for other in others:
        await vendor.destroy(other.id)
    assert info.created == datetime.fromtimestamp(1_800_000_000, UTC), "the second in which it was made"
    assert info.expires - info.created == timedelta(hours=1)


async def test_options_reach_the_request(vendor, account):
    wanted = spec(
        image="python:3.12", cpus=1.5, memory=(1 << 30) + 1, ports=(2468, 8000), network=("10.0.0.0/8", "a.example")
    )
    assert await vendor.destroy((await vendor.create(wanted)).id) is True, "it had ended with its image's main program"
    request = account.books()["requests"][-1]
    assert (request["cpu"], request["memory"], request["timeout"], request["idle"]) == (1500, 1025, 3600, 300)
    assert (request["most"], request["ports"]) == ([1500, 1025], [2468, 8000])
    assert (request["cidrs"], request["domains"]) == (["10.0.0.0/8"], ["a.example"])
    assert any("python:3.12" in " ".join(commands) for commands in account.books()["built"])
    await vendor.destroy((await vendor.create(spec(network="none"))).id)
    request = account.books()["requests"][-1]
    assert (request["network"], request["cidrs"], request["domains"]) == ("ALLOWLIST", [], [])
    with pytest.raises(SandboxBusy, match="GPU"):
        await vendor.create(spec(gpu="T4"))
    assert account.books()["requests"][-1]["gpu"] == "T4"
    with pytest.raises(BadValue, match="24 hours; got 25 hours"):
        await vendor.create(spec(lifetime=25 * 3600))


FAULTS = [
    ("RESOURCE_EXHAUSTED", "no capacity", SandboxBusy, "try again later"),
    ("RESOURCE_EXHAUSTED", "rate limit exceeded", SandboxBusy, "try again later"),
    ("RESOURCE_EXHAUSTED", "spend limit reached", SandboxQuota, "park or destroy one"),
    ("UNAUTHENTICATED", "no", SandboxAuth, "MODAL_TOKEN_ID"),
    ("PERMISSION_DENIED", "no", SandboxAuth, "modal token new"),
    ("INVALID_ARGUMENT", "no such region", BadValue, "refuses an option"),
    ("NOT_FOUND", "environment", SandboxError, "environment"),
    ("UNIMPLEMENTED", "old", SandboxError, "pip install --upgrade"),
    ("DATA_LOSS", "lost", TransportError, "DataLossError: lost"),
]


@pytest.mark.parametrize(("status", "message", "kind", "remedy"), FAULTS)
async def test_errors_are_ours_with_a_remedy(vendor, account, status, message, kind, remedy):
    account.fault("SandboxCreateV2", status=status, message=message)
    with pytest.raises(kind, match=remedy) as raised:
        await vendor.create(spec())
    assert type(raised.value) is kind


async def test_a_box_that_runs_is_never_called_gone(vendor, box, account):
    """The SDK says "not found" also when a connection breaks; only Modal's own word about the box counts."""
    uses = {
        "TaskExecStart": lambda: box.exec("true", timeout=30),
        "TaskExecStdinWriteStream": lambda: box.write("/opt/x", b"x"),
        "TaskSnapshotFilesystem": lambda: vendor.park(box.id, print),
        "SandboxCreateV2": lambda: vendor.create(spec()),
    }
    for call, use in uses.items():
        account.fault(call, status="NOT_FOUND", message="cut")
        with pytest.raises(SandboxError) as raised:
            await use()
        assert type(raised.value) is (SandboxError if call == "SandboxCreateV2" else TransportError)
    await asyncio.to_thread(until, lambda: busy(account, box) == [0], what="the end of the command that was to write")
    again = await vendor.attach(box.id, spec("shared"))
    account.fault("no tunnels")
    with pytest.raises(TransportError, match="SandboxTimeoutError"):
        await again.endpoint(2468)
    assert (await again.exec("echo on", timeout=30)).out == "on\n"


async def test_a_name_that_an_ending_box_still_has_is_waited_for(vendor, account):
    account.fault("SandboxCreateV2", status="ALREADY_EXISTS", times=2)
    await vendor.destroy((await vendor.create(spec())).id)


async def test_a_box_that_ended_by_itself_is_gone(vendor, account):
    box = await vendor.create(spec())
    account.end(box.id)
    for use in (box.exec("true", timeout=30), vendor.attach(box.id, spec()), vendor.park(box.id, print)):
        with pytest.raises(SandboxGone):
            await use
    assert await vendor.destroy(box.id) is False


def busy(account, box):
    """Commands that run in it; Modal ends no box as idle that has one."""
    return [one["busy"] for one in account.books()["boxes"] if one["id"] == box.id]


async def test_a_box_is_busy_as_long_as_agents_have_processes(box, account):
    """No kernel is needed: a command in the box waits for them."""
    agent = "touch /tmp/works; while [ ! -e /tmp/go ]; do sleep 0.1; done"
    user = "echo agent:x:2468:2468::/:/bin/sh >> /etc/passwd"
    await box.exec(f"{user}; setpriv --reuid 2468 sh -c '{agent}' >/dev/null 2>&1 &", timeout=30)
    while (await box.exec("test -e /tmp/works", timeout=30)).code:
        await asyncio.sleep(0.05)
    for _ in range(3):
        await box.extend(4)
    await asyncio.to_thread(until, lambda: busy(account, box) == [1], seconds=20, what="one command that waits")
    await box.exec("touch /tmp/go", timeout=30)
    await asyncio.to_thread(until, lambda: busy(account, box) == [0], seconds=20, what="its end")


async def test_token_and_sdk(vendor, account, monkeypatch, tmp_path):
    monkeypatch.setenv("MODAL_TOKEN_SECRET", "as-wrong")
    other = ModalVendor()
    with pytest.raises(SandboxAuth, match=r"refuses the token.*modal token new"):
        await other.create(spec())
    monkeypatch.delenv("MODAL_TOKEN_SECRET")
    monkeypatch.setenv("MODAL_CONFIG_PATH", str(tmp_path / "none.toml"))
    with pytest.raises(SandboxAuth, match=r"set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET.*modal token new"):
        await other.create(spec())
    (tmp_path / "none.toml").write_text('[default]\ntoken_id = "ak-1"\n')
    other.check()
    monkeypatch.setattr("session_widgets._sandboxes.clouds.modal.find_spec", lambda _: None)
    with pytest.raises(MissingDependency, match=r"pip install 'session-widgets\[modal\]'"):
        provider(tmp_path).check("demo", "")
