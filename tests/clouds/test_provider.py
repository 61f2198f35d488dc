"""What all clouds have in common, on boxes of this machine without any vendor's SDK."""

import asyncio
import hashlib
import time
from dataclasses import replace

import pytest

from session_widgets._sandboxes import SandboxSpec
from session_widgets._sandboxes.clouds import limits, setup
from session_widgets._sandboxes.clouds import sandbox as clouds_sandbox
from session_widgets._sandboxes.clouds.archive import Target
from session_widgets._sandboxes.clouds.provider import CloudProvider
from session_widgets._sandboxes.conformance import Subject
from session_widgets._sandboxes.runner_client import RunnerClient
from session_widgets._sandboxes.sweep import sweep
from session_widgets.errors import BadValue, SandboxAuth, SandboxError, SandboxGone, SandboxQuota
from session_widgets.host.daemon import read_json, write_private
from session_widgets.model import Endpoint
from tests.standins.machine import Boxes
from tests.standins.plain import PlainBox, PlainVendor
from tests.support.waiting import until_async

pytestmark = pytest.mark.needs("boxes")


@pytest.fixture
async def vendor(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "SECONDS_BETWEEN", 0)
    boxes = Boxes(tmp_path)
    yield PlainVendor(boxes)
    left = list(boxes.live)
    await boxes.close()
    assert left == [], "boxes were left"


@pytest.fixture
def subject(vendor, tmp_path):
    return Subject(CloudProvider(tmp_path, vendor), lambda: SandboxSpec("s1", str(tmp_path / "workspace"), {}))


async def listed(subject):
    return [(info.ref, info.session_id, info.running) async for info in subject.provider.list()]


async def test_agents_cannot_reach_what_is_the_runners_and_records_are_private(subject, vendor, tmp_path):
    async with subject.sandbox() as sandbox:
        assert vendor.given[0].asked == ["write", "exec"], "each takes a way to the vendor and back"
        token = (await sandbox.endpoint()).headers["authorization"].removeprefix("Bearer ")
        assert all(token.encode() not in sent for sent in vendor.given[0].sent), "the box gets its hash"
        whoami = await sandbox.exec("id -un; id -Gn; cat /opt/session-widgets/private/* 2>&1; ls /opt/session-widgets")
        assert whoami.out.startswith("agent\nagent\n")
        assert whoami.out.count("Permission denied") == 1, "the folder itself is closed"
        runner = (await sandbox.runner.health())["pid"]
        for what in ("environ", "mem", "fd/0"):
            assert (await sandbox.exec(f"head -c1 /proc/{runner}/{what}")).code != 0
        assert (await sandbox.exec(f"kill -9 {runner}")).code != 0
        (box,) = vendor.books.live.values()
        assert (await box.run(["ls", "/opt/session-widgets/private"])).out.split() == [
            b"installed",
            b"runner.log",
            b"state",
        ], "the configuration is removed once it is read"
        searched = ["grep", "-rlI", token, "/etc", "/home", "/opt", "/root", "/run", "/tmp", "/var", "/workspace"]
        assert (await box.run(searched)).out == b""
        theirs = {"authorization": f"Bearer {token}"}
        stranger = RunnerClient(Endpoint((await sandbox.endpoint()).url, theirs), sandbox.workspace)
        assert (await stranger.health())["status"] == "ok"
        await stranger.aclose()
        digest = {"authorization": f"Bearer {hashlib.sha256(token.encode()).hexdigest()}"}
        insider = RunnerClient(Endpoint((await sandbox.endpoint()).url, digest), sandbox.workspace)
        with pytest.raises(SandboxAuth):
            await insider.health()
        await insider.aclose()
        place = tmp_path / "clouds" / "plain" / sandbox.ref.id
        assert place.stat().st_mode & 0o777 == 0o700
        assert {file.stat().st_mode & 0o777 for file in place.glob("*.json")} == {0o600}


async def test_a_box_of_another_python_is_looked_at_first_and_the_next_one_of_its_image_is_known(
    subject, vendor, monkeypatch
):
    elsewhere = Target((3, 11), "arm64", "another system")
    monkeypatch.setattr(setup, "this_target", lambda: elsewhere)
    monkeypatch.setattr(setup, "_targets", {})
    for asked in (["exec", "write", "exec"], ["write", "exec"]):
        async with subject.sandbox() as sandbox:
            assert (await sandbox.exec("echo on")).out == "on\n"
        assert vendor.given.pop().asked == asked


async def test_an_archive_that_was_changed_on_its_way_is_not_unpacked(subject, vendor, monkeypatch):
    real = PlainBox.write

    async def write(self, path, data):
        await real(self, path, data + b"more")

    monkeypatch.setattr(PlainBox, "write", write)
    with pytest.raises(SandboxError, match="the uploaded archive has another content"):
        await subject.provider.create(subject.spec(), subject.announce)


async def test_a_box_that_parks_itself_goes_on_and_one_that_was_parked_does_not(subject, vendor, monkeypatch):
    """A vendor's dead man's switch stops processes where they are; `park` ends them."""
    beating = "(while :; do date +%s%N > new; mv new beat; sleep 0.05; done) >/dev/null 2>&1 &"
    beat = f"{beating} until [ -e beat ]; do sleep 0.02; done"
    async with subject.sandbox() as sandbox:
        vendor.renames = True
        (box,) = vendor.books.live.values()
        await sandbox.exec(beat)
        await box.pause()
        again = await subject.provider.attach(sandbox.ref)
        before = await again.read("beat")
        async with asyncio.timeout(20):
            while await again.read("beat") == before:
                await asyncio.sleep(0.05)
        await again.aclose()
        await box.pause()
        assert await subject.provider.park(sandbox.ref) == sandbox.ref
        assert box.id.endswith("x")
        monkeypatch.setenv("SESSION_WIDGETS_PLAIN_BOXES", "1")
        other = await vendor.books.start("other")
        vendor.labels["other"] = vendor.labels[box.id]
        with pytest.raises(SandboxQuota, match="Plain runs 1 for this installation"):
            await subject.provider.attach(sandbox.ref)
        await vendor.books.kill(other.id)
        again = await subject.provider.attach(sandbox.ref)
        before = await again.read("beat")
        await asyncio.sleep(0.2)
        assert await again.read("beat") == before
        await again.aclose()


async def test_a_creation_that_is_cancelled_leaves_no_box(subject, vendor):
    vendor.late = asyncio.Event()
    creating = asyncio.create_task(subject.provider.create(subject.spec(), subject.announce))
    await until_async(lambda: vendor.books.live, seconds=10, what="the box")
    creating.cancel()
    await asyncio.sleep(0.05)
    assert not creating.done(), "the vendor has not answered yet: its box is not known"
    vendor.late.set()
    with pytest.raises(asyncio.CancelledError):
        await creating
    assert vendor.books.live == {}
    assert await listed(subject) == []


async def test_a_kernel_that_dies_in_a_creation_finds_the_box_by_its_label(subject, vendor, tmp_path):
    vendor.late = asyncio.Event()
    creating = asyncio.create_task(subject.provider.create(subject.spec(), subject.announce))
    await until_async(lambda: vendor.books.live, seconds=10, what="the box")
    (ref,) = subject.announced
    other = Subject(CloudProvider(tmp_path, vendor), subject.spec)  # of another kernel: the first one hangs
    assert await listed(other) == [(ref, "s1", True)]
    sandbox = await other.provider.attach(ref)
    assert (await sandbox.exec("echo on")).out == "on\n"
    await sandbox.aclose()
    assert await other.provider.destroy(ref) is True
    vendor.late.set()
    with pytest.raises(SandboxGone):
        await creating


async def test_a_sweep_removes_what_no_session_refers_to_and_nothing_of_others(subject, vendor, tmp_path):
    others = await vendor.books.start("others")
    vendor.labels["others"] = {"session_widgets": "1", "session_widgets_home": "another"}
    async with subject.sandbox() as sandbox:
        assert await listed(subject) == [(sandbox.ref, "s1", True)]
        record = tmp_path / "clouds" / "plain" / sandbox.ref.id
        (record / "sandbox.json").unlink()
        assert await listed(subject) == [(sandbox.ref, "s1", True)], "its labels say all that is needed"
        removed = await sweep(subject.provider, lambda _: False)
        assert [info.ref for info in removed] == [sandbox.ref]
        assert list(vendor.books.live) == ["others"]
    await others.kill()
    vendor.books.live.clear()


async def test_no_more_boxes_than_are_allowed_and_one_after_the_other(monkeypatch):
    monkeypatch.setenv("SESSION_WIDGETS_PLAIN_BOXES", "2")
    monkeypatch.setattr(limits, "SECONDS_BETWEEN", 0.2)
    running, said = [], []

    async def count():
        return len(running)

    async def make():
        async with limits.making("plain", "Plain", count, said.append):
            running.append(time.monotonic())

    await asyncio.gather(make(), make())
    assert running[1] - running[0] >= 0.19
    with pytest.raises(
        SandboxQuota, match=r"Plain runs 2 .*at most 2 may run\. sw\.sandboxes\(\) .*SESSION_WIDGETS_PLAIN_BOXES"
    ):
        await make()
    assert said == []
    monkeypatch.setenv("SESSION_WIDGETS_PLAIN_BOXES", "many")
    with pytest.raises(BadValue, match="whole number from 1; got 'many'"):
        await make()


async def test_boxes_are_counted_while_an_image_is_found_and_again_if_that_took_long(monkeypatch):
    monkeypatch.setattr(limits, "SECONDS_BETWEEN", 0)
    counts, found = [], asyncio.Event()

    async def count():
        counts.append(found.is_set())
        return 0

    async def find():
        await until_async(lambda: counts, seconds=10, what="the count")
        found.set()
        return "image"

    for stale, seen in ((60, [False]), (0, [False, True])):
        monkeypatch.setattr(limits, "STALE_SECONDS", stale)
        counts.clear(), found.clear()
        async with limits.making("plainest", "Plain", count, meanwhile=find) as image:
            assert image == "image"
        assert counts == seen


async def test_the_rate_is_a_setting_and_a_wait_names_it(monkeypatch):
    async def none():
        return 0

    async def make(said):
        async with limits.making("plainer", "Plain", none, said.append):
            pass

    monkeypatch.setenv("SESSION_WIDGETS_PLAINER_SECONDS_BETWEEN", "30")
    said = []
    await make(said)
    waiting = asyncio.create_task(make(said))
    await until_async(lambda: said, seconds=10, what="the wait")
    waiting.cancel()
    assert said == ["Waiting 30 s: SESSION_WIDGETS_PLAINER_SECONDS_BETWEEN=30"]
    for wrong in ("soon", "-1", "nan", "1e9"):
        monkeypatch.setenv("SESSION_WIDGETS_PLAINER_SECONDS_BETWEEN", wrong)
        monkeypatch.setitem(limits._next, "plainer", 0)
        with pytest.raises(BadValue, match=f"must be seconds from 0 to 3600; got '{wrong}'"):
            await make(said)


async def test_the_spec_reaches_the_vendor_and_setup_is_run_once(subject, vendor):
    options = {"image": "python:3.12", "gpu": "T4", "ports": (8000,), "lifetime_seconds": 600, "idle_seconds": 900}
    closed = {"network": "none", "model_hosts": ("api.example.com:8443",)}
    wanted = replace(subject.spec(), setup=("echo $$ >> /srv/ran", "id -u >> /srv/ran"), **closed, **options)
    with_setup = Subject(subject.provider, lambda: wanted)
    async with with_setup.sandbox() as sandbox:
        (made,) = vendor.specs
        assert (made.image, made.gpu, made.ports) == ("python:3.12", "T4", (2468, 8000))
        assert made.network == ("api.example.com",)
        assert (made.idle, made.lifetime) == (600, 600)
        (box,) = vendor.books.live.values()
        await subject.provider.park(sandbox.ref)
        box.resume()
        await box.run(["pkill", "-9", "-f", "session_widgets.runner"])
        again = await subject.provider.attach(sandbox.ref)
        assert (await box.read("/srv/ran")).split()[1:] == [b"0"]
        await again.aclose()
    failing = Subject(subject.provider, lambda: replace(wanted, setup=("echo no such thing >&2; exit 3",)))
    with pytest.raises(SandboxError, match=r"exit 3' failed with code 3:\nno such thing"):
        await failing.provider.create(failing.spec(), failing.announce)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("python3*", r"no Python 3\.11 or newer.*image='python:3\.12'.*setup="),
        ("node*", r"the harness needs Node\.js.*setup=\['apt-get"),
    ],
)
async def test_an_image_without_a_program_is_named(subject, vendor, monkeypatch, program, words):
    real = vendor.create

    async def create(spec):
        box = await real(spec)
        await box._box.run(["/bin/sh", "-c", f"for one in /usr/bin/{program}; do mount --bind /dev/null $one; done"])
        return box

    monkeypatch.setattr(vendor, "create", create)
    spec = replace(subject.spec(), agents={"claude": {"command": ["node", "claude.js"]}})
    with pytest.raises(SandboxError, match=words):
        await subject.provider.create(spec, subject.announce)


async def test_its_time_is_extended_while_it_is_attached_but_not_beyond_its_lifetime(
    subject, vendor, monkeypatch, tmp_path
):
    monkeypatch.setattr(clouds_sandbox, "BEAT_SECONDS", 0.05)
    lasting = Subject(subject.provider, lambda: replace(subject.spec(), idle_seconds=3000, lifetime_seconds=1000))
    async with lasting.sandbox() as sandbox:
        box = vendor.given[-1]
        await until_async(lambda: len(box.extended) > 2, seconds=10, what="beats")
        assert 0 < min(box.extended) <= max(box.extended) <= 1000
        await sandbox.extend(20)
        assert 20 in box.extended
        await sandbox.aclose()
        beats = len(box.extended)
        await asyncio.sleep(0.2)
        assert len(box.extended) == beats

        record = tmp_path / "clouds" / "plain" / sandbox.ref.id / "sandbox.json"
        made = read_json(record)
        write_private(record, {**made, "started": made["started"] - 500})
        again = await subject.provider.attach(sandbox.ref)
        await again.extend(900)
        await again.aclose()
        assert max(vendor.given[-1].extended) <= 500, "what is left of its life"
        write_private(record, {**made, "started": made["started"] - 1001})
        again = await subject.provider.attach(sandbox.ref)
        await again.extend(900)
        await again.aclose()
        assert 900 in vendor.given[-1].extended, "it was parked since, and begins another one"
        await subject.provider.destroy(sandbox.ref)
