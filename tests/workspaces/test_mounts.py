"""Mounts of the real mounters on a real store: content, failures, and no lost data."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from session_widgets.errors import NotDurable, WorkspaceError
from session_widgets.host.manifest import Entry
from session_widgets.transcript.records import FileChange
from session_widgets.workspaces.bucket import Prefix
from session_widgets.workspaces.credentials import Credentials
from session_widgets.workspaces.mounted import MountedWorkspace
from session_widgets.workspaces.mounts import DRIVERS, Mount
from session_widgets.workspaces.mounts.drivers import Target
from session_widgets.workspaces.mounts.mountinfo import health, is_mounted, unmount
from session_widgets.workspaces.place import place
from tests.support.waiting import until

pytestmark = [pytest.mark.needs("seaweedfs", "fuse"), pytest.mark.timeout(120)]

S3FS = pytest.param("s3fs", marks=pytest.mark.needs("s3fs"))
each_driver = pytest.mark.parametrize("driver", [S3FS, "weed"])


def silent(_: str) -> None:
    pass


@pytest.fixture
def opened(home, lab):
    """Makes workspaces of this test's folder; whatever is still mounted is taken away afterwards."""
    made: list[Mount] = []

    def opened(driver: str, session: str = "one") -> MountedWorkspace:
        space = place(home, session, lab, f"fuse:{driver}")
        assert isinstance(space, MountedWorkspace)
        made.append(space._mount)
        return space

    yield opened
    for mount in made:
        mount._daemon.stop(1)
        if is_mounted(mount.point):
            unmount(mount.point, lazily=True)


def mounter(space: MountedWorkspace) -> psutil.Process:
    process = space._mount._daemon.process()
    assert process is not None
    return process


def in_bucket(space: MountedWorkspace, path: str) -> bytes:
    return space.objects.prefix.get(path)


def keys_below(space: MountedWorkspace) -> list[str]:
    prefix = space.objects.prefix
    listed = prefix.client.list_objects_v2(Bucket=prefix.bucket, Prefix=prefix.prefix)
    return [row["Key"] for row in listed.get("Contents", ())]


@each_driver
def test_what_is_closed_is_in_the_bucket_and_there_again_at_the_next_mount(opened, driver):
    space = opened(driver)
    assert space.attach(silent) is True
    (space.path / "a b.txt").write_text("hello")
    (space.path / "folder").mkdir()
    (space.path / "folder" / "ü 'quoted'").write_bytes(b"\0\xff")
    (space.path / "link").symlink_to("a b.txt")
    (space.path / "tool").write_text("#!/bin/sh\n")
    (space.path / "tool").chmod(0o755)
    (space.path / "empty").mkdir()
    assert in_bucket(space, "a b.txt") == b"hello"
    with (space.path / "a b.txt").open("a") as more:
        more.write(", again")
    space.persist(space.scan, [FileChange("a b.txt", "created"), FileChange("gone", "deleted")])
    assert in_bucket(space, "a b.txt") == b"hello, again"
    assert in_bucket(space, "folder/ü 'quoted'") == b"\0\xff"
    (space.path / "folder" / "ü 'quoted'").unlink()
    space.persist(space.scan, [])
    assert "folder/ü 'quoted'" not in space.objects.prefix.listing().objects

    space.detach()
    assert not is_mounted(space.path)
    assert space._mount._daemon.process() is None
    again = opened(driver)
    assert again.attach(silent) is True
    assert (again.path / "link").read_text() == "hello, again"
    assert (again.path / "tool").stat().st_mode & 0o777 == 0o755
    assert sorted(path.name for path in again.path.iterdir()) == ["a b.txt", "empty", "folder", "link", "tool"]
    again.detach()


@each_driver
def test_a_killed_mounter_is_detected_and_mounted_again_with_everything(opened, driver):
    space = opened(driver)
    space.attach(silent)
    (space.path / "kept").write_text("kept")
    os.kill(mounter(space).pid, signal.SIGKILL)
    until(lambda: health(space.path) == "dead")
    with pytest.raises(NotDurable, match="no longer answers") as caught:
        space.persist(space.scan, [])
    assert caught.value.reason == "mount"
    told: list[str] = []
    assert space.attach(told.append) is True
    assert told == [f"mounting {space.location} with {driver}"]
    assert (space.path / "kept").read_text() == "kept"
    assert space.attach(told.append) is False
    space.detach()


@pytest.mark.needs("s3fs")
def test_a_mounter_that_hangs_is_replaced(opened):
    space = opened("s3fs")
    space.attach(silent)
    (space.path / "kept").write_text("kept")
    hanging = mounter(space)
    hanging.suspend()
    assert health(space.path, seconds=0.5) == "dead"
    assert space.attach(silent) is True
    assert not hanging.is_running()
    assert (space.path / "kept").read_text() == "kept"
    space.detach()


@each_driver
def test_what_a_mount_can_do_is_tried_and_leaves_nothing(opened, driver):
    space = opened(driver)
    space.attach(silent)
    assert space.abilities is not None
    cannot = {name for name, works in asdict(space.abilities).items() if not works}
    assert cannot == ({"hard_link"} if driver == "s3fs" else set())
    assert ("not hard link" in space.abilities.describe()) == (driver == "s3fs")
    assert list(space.path.iterdir()) == []
    assert space.objects.prefix.listing().objects == {}
    other_kernel = opened(driver)
    assert other_kernel.attach(silent) is False
    assert other_kernel.abilities == space.abilities
    space.detach()


@each_driver
def test_two_sessions_are_mounted_at_once_and_removing_one_leaves_the_other(opened, driver, home):
    one, two = opened(driver, "one"), opened(driver, "one-more")
    for space in (one, two):
        space.attach(silent)
        (space.path / "mine").write_text(space.location)
        space.persist(space.scan, [FileChange("mine", "created")])
    one.remove()
    assert not (home / "mounts" / "one").exists()
    assert keys_below(one) == []
    assert f"{two.objects.prefix.prefix}mine" in keys_below(two)
    assert (two.path / "mine").read_text() == two.location
    assert in_bucket(two, "mine") == two.location.encode()
    two.detach()


def test_nothing_is_removed_while_it_is_mounted_and_in_use(opened):
    space = opened("weed")
    space.attach(silent)
    (space.path / "kept").write_text("kept")
    user = subprocess.Popen([sys.executable, "-c", "input()"], cwd=space.path, stdin=subprocess.PIPE)
    try:
        with pytest.raises(WorkspaceError, match=f"pid {user.pid}") as caught:
            space.remove()
        assert caught.value.reason == "mount"
        assert in_bucket(space, "kept") == b"kept"
        assert health(space.path) == "alive"
    finally:
        user.communicate()
    space.remove()
    assert space.objects.prefix.listing().objects == {}


def test_nothing_can_be_lost_below_the_mount_point(opened):
    space = opened("weed")
    space.attach(silent)
    space.detach()
    assert space.path.stat().st_mode & 0o777 == 0o500
    with pytest.raises(NotDurable, match="is not mounted"):
        space.persist(space.scan, [])
    with suppress(PermissionError):  # root may write everywhere
        (space.path / "astray").write_text("x")
        with pytest.raises(WorkspaceError, match="'astray'") as caught:
            space.attach(silent)
        assert caught.value.reason == "mount"
        (space.path / "astray").unlink()
    assert space.attach(silent) is True
    space.remove()


def test_a_sandbox_that_looks_elsewhere_proves_nothing(opened):
    space = opened("weed")
    space.attach(silent)
    seen = space.scan()
    with pytest.raises(NotDurable, match="works on another directory") as caught:
        space.persist(lambda: replace(seen, root=(seen.root[0] + 1, seen.root[1])), [])
    assert caught.value.reason == "mount"
    space.detach()


def test_links_that_a_mounter_does_not_keep_are_reported(opened):
    space = opened("weed")
    space.attach(silent)
    space._driver = replace(space._driver, keeps_links=False)  # as geesefs
    (space.path / "file").write_text("kept")
    space.persist(space.scan, [FileChange("file", "created")])
    (space.path / "link").symlink_to("file")
    with pytest.raises(NotDurable, match=r"1 symbolic link,.*'link'") as caught:
        space.persist(space.scan, [FileChange("link", "created")])
    assert caught.value.reason == "name"
    space.detach()


def test_an_object_without_md5_is_read_and_compared(opened):
    space = opened("weed")
    space.attach(silent)
    file = space.path / "grown"
    file.write_bytes(b"one")
    with file.open("ab") as more:
        more.write(b"two")
    space.persist(space.scan, [])
    entry: Entry = space.scan().entries["grown"]
    info = space.objects.prefix.listing().objects["grown"]
    assert "-" in info.etag
    assert space._same(entry, info)
    assert not space._same(replace(entry, md5="0" * 32), info)
    space.detach()


@pytest.fixture
def target(seaweed, lab) -> Target:
    prefix = lab.removeprefix("s3://lab/") + "/direct"
    seaweed.client().put_object(Bucket="lab", Key=f"{prefix}/", Body=b"")
    owner = (os.getuid(), os.getgid())
    return Target(seaweed.endpoint, "us-east-1", "lab", prefix, seaweed.credentials, seaweed.filer, owner)


@pytest.mark.needs("s3fs")
@pytest.mark.parametrize(
    "wrong",
    [{"keys": Credentials("NOBODY", "wrong")}, {"bucket": "no-such-bucket"}, {"endpoint": "http://127.0.0.1:9"}],
    ids=["keys", "bucket", "endpoint"],
)
def test_a_mount_that_fails_says_why_and_leaves_nothing(home, target, wrong):
    mount = Mount(home, "direct", DRIVERS["s3fs"])
    with pytest.raises(WorkspaceError, match="Its log ends") as caught:
        mount.mount(replace(target, **wrong))
    assert caught.value.reason == "mount"
    assert not is_mounted(mount.point)
    assert mount._daemon.process() is None
    assert not (mount.place / "keys").exists()


@pytest.mark.needs("s3fs")
def test_the_first_working_keys_are_used_and_stay_private(home, target):
    mount = Mount(home, "direct", DRIVERS["s3fs"])
    narrow = replace(target, keys=Credentials("NOBODY", "wrong-but-secret"), confined=True)
    try:
        assert mount.mount(narrow, target) == target
        secret = target.keys.secret_key
        lines = [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]
        assert not [line for line in lines if secret in line]
        process = mount._daemon.process()
        assert secret not in str(process.environ())
        holders = [file for file in mount.place.iterdir() if file.is_file() and secret in file.read_text()]
        assert [(file.name, file.stat().st_mode & 0o777) for file in holders] == [("keys", 0o600)]
        assert mount.place.stat().st_mode & 0o777 == 0o700
    finally:
        mount.remove()
    assert not mount.place.exists()


@pytest.mark.needs("s3fs")
def test_a_mount_is_remounted_before_its_keys_expire_or_when_they_change(home, target):
    hour = timedelta(hours=1)
    keys = replace(target.keys, expires=datetime.now(UTC) + 1.1 * hour, lifetime=12 * hour)
    mount = Mount(home, "direct", DRIVERS["s3fs"])
    try:
        mount.mount(replace(target, keys=keys))
        assert mount.is_current(target)
        assert not mount.is_current(replace(target, keys=Credentials("OTHER", "x")))
        assert not mount.is_current(replace(target, endpoint="http://127.0.0.1:9"))
        mount.mount(replace(target, keys=replace(keys, expires=datetime.now(UTC) + 0.9 * hour)))
        assert not mount.is_current(target)
    finally:
        mount.remove()


def test_geesefs_gets_pinned_flags_and_its_keys_in_a_file(home, target, tmp_path, monkeypatch):
    fake = tmp_path / "bin" / "geesefs"
    fake.parent.mkdir()
    fake.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/argv\nenv >{tmp_path}/env\ncp -p "$HOME/keys" {tmp_path}\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "from the kernel's environment")
    keys = Credentials("ACCESS", "very secret", "the token")
    mount = Mount(home, "direct", DRIVERS["geesefs"])
    with pytest.raises(WorkspaceError, match="geesefs ended instead of mounting"):
        mount.mount(replace(target, keys=keys))

    argv = (tmp_path / "argv").read_text().splitlines()
    flags = dict(pairwise(argv))
    assert (flags["--endpoint"], flags["--region"], flags["--list-type"]) == (target.endpoint, "us-east-1", "2")
    assert {"-f", "--no-detect", "--no-expire-multipart", "--fsync-on-close"} < set(argv)
    assert (flags["--shared-config"], flags["--profile"]) == (str(mount.place / "keys"), "session-widgets")
    assert (flags["--uid"], flags["--gid"]) == tuple(map(str, target.owner))
    assert argv[-2:] == [f"lab:{target.prefix}", str(mount.point)]
    seen = (tmp_path / "argv").read_text() + (tmp_path / "env").read_text()
    assert not [secret for secret in ("very secret", "the token", "from the kernel's") if secret in seen]
    config = (tmp_path / "keys").read_text()
    assert "aws_secret_access_key = very secret\naws_session_token = the token\n" in config
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o600


def test_what_is_not_installed_is_named_with_its_remedy(home, target, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    for name in ("s3fs", "geesefs"):
        with pytest.raises(WorkspaceError, match=f"{name} was expected on PATH") as caught:
            Mount(home, "direct", DRIVERS[name]).mount(target)
        assert caught.value.reason == "tool"
    assert not (home / "mounts").exists()


@pytest.mark.needs("s3fs")
def test_keys_of_one_prefix_are_tried_first_and_whose_they_are_is_said(seaweed, lab):
    space, other_kernel = (place(seaweed.home, "keys", lab, "fuse:s3fs") for _ in range(2))
    try:
        assert space.attach(silent) is True
        assert other_kernel.attach(silent) is False
        (keys,) = [line.partition(":")[0] for line in (space.path.parent / "keys").read_text().splitlines()]
        own = keys == seaweed.credentials.access_key  # s3fs 1.90 looks at the whole bucket before it mounts
        assert own or keys == seaweed._find(f"lab/{space._prefix}").access_key
        assert ("it uses those of the bucket" in space.warning) is own
        assert space.warning == other_kernel.warning
    finally:
        space.remove()
    assert seaweed._find(f"lab/{space._prefix}") is None


def test_weed_without_a_filer_says_what_to_set(home, target):
    mount = Mount(home, "direct", DRIVERS["weed"])
    with pytest.raises(WorkspaceError, match="SESSION_WIDGETS_WEED_FILER"):
        mount.mount(replace(target, filer=None))
    assert not is_mounted(mount.point)


def test_the_mount_point_may_have_any_name(home, target, seaweed):
    mount = Mount(Path(f"{home} with, blanks\\"), "direct", DRIVERS["weed"])
    try:
        mount.mount(target)
        (mount.point / "a").write_text("x")
        assert Prefix(seaweed.client(), "lab", f"{target.prefix}/").get("a") == b"x"
    finally:
        mount.remove()
