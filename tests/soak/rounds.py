"""Rounds of a soak: a kernel works in the middle of a turn, and something is killed at a random moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

import session_widgets as sw
from session_widgets._sandboxes import get_provider
from session_widgets._sandboxes.images import build_context, tag_of
from session_widgets._sessions.loop import private_loop
from session_widgets.errors import SandboxError
from session_widgets.host.daemon import Daemon
from tests.support.forked import Forked
from tests.support.forked_function import run
from tests.support.private_dockerd import PrivateDockerd, private_dockerd

LATEST = 1.2
"""Seconds after the beginning of a turn within which the kill comes: it lasts about that, if all is warm."""
VICTIMS = {
    "local": ("kernel", "runner", "agent"),
    "sync": ("kernel", "runner", "store"),
    "mounted": ("kernel", "runner", "mounter"),
    "docker": ("kernel", "container", "agent"),
    "dockerd": ("kernel", "dockerd"),
}


@dataclass
class Setting:
    """A session and what it lives on.

    Attributes:
        how: the arguments of `open_session`.
        dockerd: the daemon to kill.
    """

    name: str
    home: Path
    how: dict[str, Any] = field(default_factory=dict)
    dockerd: PrivateDockerd | None = None

    def kill(self, victim: str, kernel: int) -> bool:
        """Kill it, if it is there; a service is started again, since that is its supervisor's task and no user's."""
        match victim:
            case "kernel":
                os.kill(kernel, signal.SIGKILL)
            case "container":
                return self._kill_container()
            case "dockerd":
                assert self.dockerd is not None
                self.dockerd.end(signal.SIGKILL)
                self.dockerd.start()
            case "agent":
                return _kill(next(self._agents(), None))
            case _:
                folder = {"runner": "sandboxes/*", "mounter": "mounts/*", "store": "s3"}[victim]
                return _kill(next(filter(None, (Daemon(p).process() for p in self.home.glob(folder))), None))
        return True

    def _agents(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if "session_widgets.demo" in process.cmdline() and self._is_mine(process):
                    yield process

    def _is_mine(self, process: psutil.Process) -> bool:
        mounts = Path(f"/proc/{process.pid}/mountinfo").read_text()
        return process.cwd().startswith(f"{self.home}/") or f"{self.home}/workspaces/" in mounts

    def _kill_container(self) -> bool:
        names = [f"session-widgets-{place.name}" for place in self.home.glob("containers/*/")]
        return bool(names) and subprocess.run(["docker", "kill", names[0]], capture_output=True).returncode == 0


@contextmanager
def made(name: str, place: Path) -> Iterator[Setting]:
    """Make what a setting needs, and take it away in the end."""
    setting = Setting(name, place / "home")
    os.environ["SESSION_WIDGETS_HOME"] = str(setting.home)
    with ExitStack() as stack:
        if name in {"sync", "mounted"}:
            store = sw.local_s3("soak")
            stack.callback(store.stop)
            setting.how = {"workspace": store.url, "attachment": "sync" if name == "sync" else "fuse:s3fs"}
        if name in {"docker", "dockerd"}:
            setting.how = {"sandbox": "docker"}
        if name == "dockerd":
            setting.dockerd = stack.enter_context(private_dockerd())
            setting.dockerd.take_image(tag_of(build_context()))
            os.environ["DOCKER_HOST"] = setting.dockerd.url
            stack.callback(os.environ.pop, "DOCKER_HOST")
        try:
            yield setting
        except BaseException:
            _clear(setting)
            raise


def soak(forked: Forked, name: str, kills: int, seed: int, place: Path, tell: Callable[[str], None] = print) -> None:
    """Kill `kills` times in one setting; raise AssertionError where the next kernel finds anything wrong."""
    chance = random.Random(f"{seed} {name}")
    tell(f"seed {seed}")
    with made(name, place) as setting:
        for number in range(kills):
            victim, after = chance.choice(VICTIMS[name]), chance.uniform(0, LATEST)
            early = victim == "kernel" and chance.random() < 0.3
            tell(f"{name} {number}: {victim} after {after:.3f} s{', from its opening on' if early else ''}")
            _round(forked, setting, number, victim, after, early=early, tell=tell)
        code, _ = run(forked, "tests.soak.lives:live", **_life(setting, kills, early=False, work=False))
        assert code == 0, "what the last kill has left does not heal"
        _delete(setting)


def _round(
    forked: Forked,
    setting: Setting,
    number: int,
    victim: str,
    after: float,
    *,
    early: bool,
    tell: Callable[[str], None],
) -> None:
    killers: list[threading.Thread] = []
    hit: list[bool] = []

    def heard(value: dict[str, Any]) -> None:
        if "begun" in value:
            killers.append(threading.Thread(target=kill, args=(value["begun"],)))
            killers[0].start()

    def kill(kernel: int) -> None:
        time.sleep(after)
        with suppress(ProcessLookupError):
            hit.append(setting.kill(victim, kernel))

    began = time.monotonic()
    code, said = run(forked, "tests.soak.lives:live", heard, **_life(setting, number, early=early, work=True))
    for killer in killers:
        killer.join()
    outcome = said[-1] if said and "status" in said[-1] else "killed"
    tell(f"   {'hit' if any(hit) else 'missed'}, {outcome}, {time.monotonic() - began:.1f} s")
    assert code in ({0, -signal.SIGKILL} if victim == "kernel" else {0}), f"round {number} of {setting.name} went wrong"


def _life(setting: Setting, number: int, *, early: bool, work: bool) -> dict[str, Any]:
    return {"home": str(setting.home), "how": setting.how, "number": number, "early": early, "work": work}


def _delete(setting: Setting) -> None:
    session = sw.open_session("s1")
    session.delete()
    session.store.close()


def _clear(setting: Setting) -> None:
    """End what a failed soak has left running."""

    async def destroy() -> None:
        for name in ("local", "docker"):
            provider = get_provider(name, setting.home)
            with suppress(SandboxError):
                for info in [info async for info in provider.list()]:
                    await provider.destroy(info.ref)

    private_loop().run(destroy())
    for mounter in filter(None, (Daemon(place).process() for place in setting.home.glob("mounts/*"))):
        _kill(mounter)


def _kill(process: psutil.Process | None) -> bool:
    if process is None:
        return False
    with suppress(psutil.NoSuchProcess):
        process.kill()
        return True
    return False
