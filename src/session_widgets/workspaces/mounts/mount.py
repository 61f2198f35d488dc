"""One mount: its mounter outlives the kernel; health checks ask the system, not the mounter."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from session_widgets.errors import WorkspaceError
from session_widgets.host.daemon import Daemon, locked, read_json, write_private
from session_widgets.printing import plural
from session_widgets.workspaces.mounts.drivers import Driver, Target
from session_widgets.workspaces.mounts.mountinfo import (
    ANSWER_SECONDS,
    Health,
    hangs,
    health,
    is_mounted,
    reaches_store,
    unmount,
)
from session_widgets.workspaces.mounts.probe import Abilities

MOUNT_SECONDS = 20
RELEASE_SECONDS = 5
FLUSH_SECONDS = 60
POINT_MODE = 0o500
"""Mode of the directory below the mount: a file written while nothing is mounted would never reach the bucket."""
_CONFINED = "confined"


class Mount:
    """The mount of a session, in `home/mounts/<session>`. Kernels share it; one at a time changes it.

    Attributes:
        point: the directory that shows the objects.
    """

    def __init__(self, home: Path, session_id: str, driver: Driver) -> None:
        self.driver = driver
        self.place = home / "mounts" / session_id
        self.point = self.place / "workspace"
        self._daemon = Daemon(self.place)
        self._record = self.place / "mount.json"

    def health(self) -> Health:
        """Whether it is mounted and answers."""
        return health(self.point)

    def is_current(self, target: Target, seconds: float = ANSWER_SECONDS) -> bool:
        """Whether it runs, answers within `seconds`, and shows `target` with its keys or narrower, valid ones."""
        record = read_json(self._record) or {}
        renew_at = record.get("renew_at")
        fresh = renew_at is None or datetime.fromisoformat(renew_at) > datetime.now(UTC)
        return (
            fresh
            and record.get("shows") == _shows(self.driver, target)
            and record.get("key") in (_CONFINED, _key(target))
            and self._daemon.process() is not None
            and reaches_store(self.point, seconds)
        )

    def is_confined(self) -> bool:
        """Whether its keys reach only this prefix."""
        return (read_json(self._record) or {}).get("key") == _CONFINED

    def end_if_it_hangs(self, seconds: float) -> bool:
        """Kill a mounter that does not answer for `seconds`; the system then fails waiting calls."""
        mounter = self._daemon.process()
        if mounter is None or not hangs(self.point, seconds):
            return False
        with suppress(psutil.NoSuchProcess):
            mounter.kill()
        return True

    def have_keys_ended(self) -> bool:
        """Whether its keys are known to be invalid by now."""
        expires = (read_json(self._record) or {}).get("expires")
        return expires is not None and datetime.fromisoformat(expires) <= datetime.now(UTC)

    def remember(self, abilities: Abilities) -> None:
        """Record the capabilities of the mount, as long as it runs."""
        write_private(self._record, (read_json(self._record) or {}) | {"abilities": asdict(abilities)})

    def abilities(self) -> Abilities | None:
        """Return the recorded capabilities."""
        found = (read_json(self._record) or {}).get("abilities")
        return Abilities(**found) if found else None

    def mount(self, *targets: Target) -> Target:
        """Unmount any earlier mount and mount again; return the target that was mounted.

        Args:
            targets: tried in order: their keys differ.

        Raises:
            WorkspaceError: the reason is "mount", with the end of the mounter's log, or "tool" if it is not installed.
        """
        program = self.driver.program()
        self._make_point()
        with locked(self.place):
            self._clear()
            for target in targets[:-1]:
                try:
                    return self._mount(program, target)
                except WorkspaceError:
                    self._clear()
            return self._mount(program, targets[-1])

    def unmount(self) -> None:
        """Unmount, and wait until the mounter has written everything and exited.

        Raises:
            WorkspaceError: a program still uses it, or the mounter does not exit; nothing is lost, try again.
        """
        if not self.place.exists():
            return
        with locked(self.place):
            self._let_go()

    def remove(self) -> None:
        """Unmount, and delete the mount point with its records; objects stay in the bucket."""
        self.unmount()
        if not self.place.exists():
            return
        if is_mounted(self.point):
            raise WorkspaceError(f"{self.point} is still mounted; nothing was removed. Try again.", reason="mount")
        if self.point.exists():
            self.point.rmdir()  # fails unless it is empty
        shutil.rmtree(self.place)

    def log(self) -> str:
        """Return the end of the mounter's log."""
        return self._daemon.tail()

    def _mount(self, program: str, target: Target) -> Target:
        (self.place / "cache").mkdir(exist_ok=True, mode=0o700)
        command = self.driver.command(target, self.place, self.point)
        for name, text in command.files.items():
            _write_secret(self.place / name, text)
        self._daemon.start([program, *command.argv[1:]], env=command.env)
        deadline = time.monotonic() + MOUNT_SECONDS
        while True:
            running = self._daemon.process() is not None
            if running and reaches_store(self.point):
                break  # s3fs mounts first, and then exits if its keys are wrong
            if not running or time.monotonic() > deadline:
                log = self._daemon.tail()
                self._clear()
                what = f"did not mount within {MOUNT_SECONDS} s" if running else "ended instead of mounting"
                raise WorkspaceError(
                    f"{self.driver.name} {what} s3://{target.bucket}/{target.prefix} on {self.point}. "
                    f"Its log ends:\n{log or '(it said nothing)'}",
                    reason="mount",
                )
            time.sleep(0.02)
        self._own(target.owner)
        renew_at, expires = (target.keys.renew_at, target.keys.expires) if target.keys else (None, None)
        write_private(
            self._record,
            {
                "shows": _shows(self.driver, target),
                "key": _key(target),
                "renew_at": renew_at.isoformat() if renew_at else None,
                "expires": expires.isoformat() if expires else None,
            },
        )
        return target

    def _own(self, owner: tuple[int, int]) -> None:
        """Give the root of the mounted tree to the sandbox's user; mounters may have copied the mount point's owner."""
        info = self.point.stat()
        try:
            if (info.st_uid, info.st_gid) != owner:
                os.chown(self.point, *owner)
            if info.st_mode & 0o777 != 0o700:
                self.point.chmod(0o700)
        except OSError as error:
            self._clear()
            raise WorkspaceError(
                f"{self.driver.name} mounted {self.point}, but user {owner[0]} cannot have it: {error.strerror}.",
                reason="mount",
            ) from error

    def _make_point(self) -> None:
        self.place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.place.mkdir(exist_ok=True, mode=0o700)
        if is_mounted(self.point):
            return
        self.point.mkdir(exist_ok=True, mode=POINT_MODE)
        self.point.chmod(POINT_MODE)
        if left := [entry.name for entry in os.scandir(self.point)]:
            raise WorkspaceError(
                f"{self.point} should be empty while nothing is mounted, and holds {plural(len(left), 'entry')}, "
                f"the first {left[0]!r:.120}. They are in no bucket: move them elsewhere, then try again.",
                reason="mount",
            )

    def _let_go(self) -> None:
        if self.health() == "dead":
            self._clear()
            return
        deadline = time.monotonic() + RELEASE_SECONDS
        while is_mounted(self.point) and (refused := unmount(self.point)):
            if time.monotonic() > deadline:
                users = ", ".join(_users(self.point)) or "somebody"
                raise WorkspaceError(
                    f"{self.point} cannot be unmounted ({refused}): {users} still works there. End that first.",
                    reason="mount",
                )
            time.sleep(0.1)
        deadline = time.monotonic() + FLUSH_SECONDS
        while self._daemon.process() is not None:
            if time.monotonic() > deadline:
                raise WorkspaceError(
                    f"{self.driver.name} was unmounted {FLUSH_SECONDS} s ago and still writes to the bucket. "
                    "It continues; try again later.",
                    reason="mount",
                )
            time.sleep(0.02)
        self._forget()

    def _clear(self) -> None:
        """Remove a mount that is dead, unfinished or to be replaced, with its mounter."""
        dead = self.health() == "dead"
        if dead:
            self._daemon.stop(RELEASE_SECONDS)  # from now on nothing waits for it
        deadline = time.monotonic() + RELEASE_SECONDS
        while is_mounted(self.point):
            if unmount(self.point, lazily=dead or time.monotonic() > deadline):
                time.sleep(0.1)
        self._daemon.stop(FLUSH_SECONDS)
        self._forget()

    def _forget(self) -> None:
        (self.place / "keys").unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)
        shutil.rmtree(self.place / "cache", ignore_errors=True)


def _shows(driver: Driver, target: Target) -> list[Any]:
    """The identity of a mount."""
    where = target.endpoint if driver.needs_keys else target.filer
    return [driver.name, where, target.bucket, target.prefix, *target.owner]


def _key(target: Target) -> str | None:
    """Distinguishes keys. Scoped keys are made for the mount, so only their expiry matters."""
    if target.confined:
        return _CONFINED
    return target.keys.access_key if target.keys else None


def _write_secret(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w") as target:
        target.write(text)


def _users(point: Path) -> list[str]:
    """Name the processes with a working directory or an open file below a mount point."""
    found = []
    for process in psutil.process_iter(["pid", "name"]):
        try:
            places = [process.cwd(), *(file.path for file in process.open_files())]
        except psutil.Error:
            continue
        if any(place == str(point) or place.startswith(f"{point}/") for place in places):
            found.append(f"{process.info['name']} (pid {process.info['pid']})")
    return found[:5]
