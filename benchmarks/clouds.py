"""Sandboxes of clouds beside the vendors' own SDKs, both on the stand-in of the vendor on this machine.

Only ratios mean anything: a stand-in has neither the distance nor the start times of a cloud.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import httpx

import session_widgets as sw
from benchmarks import bare_clouds
from benchmarks.figures import Figure, Reference
from benchmarks.places import home
from benchmarks.workspaces import timed
from session_widgets._sandboxes.clouds import limits
from session_widgets._sandboxes.contract import SandboxSpec
from session_widgets._sandboxes.registry import get_provider
from session_widgets.workspaces.contract import Workspace
from session_widgets.workspaces.local_s3 import LocalS3, local_s3
from session_widgets.workspaces.place import place

COMMANDS = 20
IDLE_SECONDS = 120.0


@dataclass(frozen=True)
class Size:
    """What is copied: so many files of 200 bytes, and so many megabytes in files of a sixteenth of them each."""

    files: int
    megabytes: int


SMALL = Size(1_000, 64)
FULL = Size(20_000, 1_024)
MODALS = 1_000
"""Modal's SDK starts a program for each file, which takes an hour for more."""


def measure(runs: int, *, full: bool = False) -> list[Figure]:
    """Measure each vendor in a data directory of its own."""
    limits.SECONDS_BETWEEN = 0
    figures: list[Figure] = []
    for name in bare_clouds.VENDORS:
        with _account(name) as account:
            figures += _first_event(name, account, runs)
            figures.append(_commands(name, account, runs))
            figures += _files(name, account, FULL if full else SMALL)
            if name == "e2b":  # the way to the bucket is the same for all
                figures += _direct(name, account, FULL if full else SMALL)
            figures.append(_idle(name, account))
    return figures


@contextmanager
def _account(name: str) -> Iterator[Any]:
    """Start a vendor's stand-in, and lead our adapter and the SDK there."""
    with home() as folder, bare_clouds.VENDORS[name][0](folder / "standin") as account:
        led = {
            **account.environment,
            "MODAL_CONFIG_PATH": str(folder / "none"),
            f"SESSION_WIDGETS_{name.upper()}_BOXES": "20",
        }
        os.environ.update(led)
        try:
            yield account
        finally:
            for variable in led:
                del os.environ[variable]


def _first_event(name: str, account: Any, runs: int) -> list[Figure]:
    """From nothing to the first message of the agent. The first run of both loads the SDK, and does not count."""
    ours, bare = [], []
    for run in range(runs + 1):
        with tempfile.TemporaryDirectory() as folder:
            there = asyncio.run(bare_clouds.to_first_answer(name, account, Path(folder)))
        before = Counter(account.books()["calls"])
        here = _to_first_event(name, f"first{run}")
        asked = Counter(account.books()["calls"]) - before
        if run:
            bare.append(there)
            ours.append(here)
    requests = f"{sum(asked.values())} requests to the vendor: {_counted(asked)}"
    beside = Reference("SDK, runner, agent", bare)
    aim = 1.15 * median(bare)
    return [Figure(f"{name}: nothing to the first event", "s", ours, aim=aim, beside=beside, remark=requests)]


def _to_first_event(name: str, id: str) -> float:
    session = sw.open_session(id, sandbox=name, permissions="allow_all")
    seen = Event()
    leave = session.subscribe(lambda events: seen.set() if any(e.direction == "in" for e in events) else None, 0)
    began = time.perf_counter()
    turn = session.start("say hello")
    assert seen.wait(120)
    seconds = time.perf_counter() - began
    leave()
    assert turn.wait(60).status == "completed", turn.error
    session.delete()
    return seconds


def _commands(name: str, account: Any, runs: int) -> Figure:
    """The round trip of a command that does nothing: ours and the SDK's by turns."""
    session = sw.open_session("commands", sandbox=name, permissions="allow_all")
    session.exec("true")
    ours, there = [], []

    async def by_turns() -> None:
        async with bare_clouds.box(name, account) as box:
            await box.exec("true")
            for _ in range(COMMANDS * runs):
                there.append(1_000 * await _awaited(box.exec("true")))
                ours.append(1_000 * timed(lambda: session.exec("true")))

    asyncio.run(by_turns())
    session.delete()
    return Figure(f"{name}: a command", "ms", ours, aim=2 * median(there), beside=Reference("SDK", there))


def _files(name: str, account: Any, size: Size) -> list[Figure]:
    """Many files, and much data: by the relay between a directory and a sandbox, and by the SDK between the same."""
    if name == "modal":
        size = Size(min(size.files, MODALS), size.megabytes)
    figures: list[Figure] = []
    with _sources(size) as sources:
        for what, source, share in sources:
            there_in, there_out = asyncio.run(_by_sdk(name, account, source))
            here_in, here_out = asyncio.run(_by_relay(name, source))
            for way, here, there in (("in", here_in, there_in), ("out", here_out, there_out)):
                aim = None if share is None else share * there
                beside = Reference("SDK", [there])
                figures.append(Figure(f"{name}: {what}, {way}", "s", [here], aim=aim, beside=beside))
    return figures


def _direct(name: str, account: Any, size: Size) -> list[Figure]:
    """The same between a bucket and a sandbox that reaches it: by its own requests, and by the relay."""
    figures: list[Figure] = []
    with _sources(size) as sources, tempfile.TemporaryDirectory() as folder:
        store = local_s3(Path(folder), "lab")
        try:
            for number, (what, source, _) in enumerate(sources):
                relay = asyncio.run(_by_bucket(name, account, store, f"relay{number}", source, "sync"))
                own = asyncio.run(_by_bucket(name, account, store, f"direct{number}", source, "direct"))
                for way, there, here in zip(("from the bucket", "to the bucket"), relay, own, strict=True):
                    beside = Reference("relay", [there])
                    figures.append(Figure(f"{name}: {what}, {way}, direct", "s", [here], beside=beside))
        finally:
            store.stop()
    return figures


async def _by_bucket(
    name: str, account: Any, store: LocalS3, id: str, source: Path, attachment: str
) -> tuple[float, float]:
    """Copy what a bucket has into a sandbox, and from there into another prefix."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)

        def prefix(name: str) -> Workspace:
            return place(here, f"{id}{name}", "s3://lab/bench", attachment, data=store.home)

        base = prefix("in")
        base.attach(lambda _: None)
        shutil.copytree(source, base.path, dirs_exist_ok=True)
        base.persist(base.scan, ())
        provider = get_provider(name, here)
        sandbox = await provider.create(SandboxSpec("files", "", {}), lambda _: asyncio.sleep(0))
        try:
            (box,) = account.boxes
            account.behind_our_back(box, f"lead-out-{urlsplit(store.endpoint).port}")
            tree = sandbox.tree()
            space = base.relayed(tree, here / "record-in")
            into = timed(lambda: space.attach(lambda _: None))
            target = prefix("out").relayed(tree, here / "record-out")
            target.attach(lambda _: None)
            out = timed(lambda: target.persist(target.scan, ()))
            assert target.objects is not None
            arrived = len(target.objects.prefix.listing().objects)
            assert arrived == sum(1 for file in source.rglob("*") if file.is_file()), f"{arrived} files arrived"
            tree.close()
            await sandbox.aclose()
        finally:
            await provider.destroy(sandbox.ref)
            await provider.aclose()
    return into, out


@contextmanager
def _sources(size: Size) -> Iterator[list[tuple[str, Path, float | None]]]:
    """Yield a directory of many files, and one with much data: what it is, where, and the aim for its ratio."""
    with tempfile.TemporaryDirectory() as folder:
        many, large = Path(folder, "many"), Path(folder, "large")
        for number in range(size.files):
            file = many / f"d{number % 50}" / f"f{number}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"file {number}\n" * 20)
        large.mkdir()
        for number in range(16):
            (large / f"{number}.bin").write_bytes(os.urandom((size.megabytes << 20) // 16))
        yield [(f"{size.files:,} files", many, 0.5), (f"{size.megabytes:,} MB in 16 files", large, None)]


async def _by_sdk(name: str, account: Any, source: Path) -> tuple[float, float]:
    files = {f"/bench/{file.relative_to(source)}": file for file in source.rglob("*") if file.is_file()}
    async with bare_clouds.box(name, account) as box:
        into = await _awaited(box.upload(files))
        with tempfile.TemporaryDirectory() as target:
            out = await _awaited(box.download(list(files), Path(target)))
            arrived = sum(1 for file in Path(target).rglob("*") if file.is_file())
        assert arrived == len(files), f"{arrived} of {len(files)} files arrived"
    return into, out


async def _by_relay(name: str, source: Path) -> tuple[float, float]:
    """Copy a directory into a sandbox, and out into an empty one: everything in it is then new."""
    files = sum(1 for file in source.rglob("*") if file.is_file())
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        provider = get_provider(name, here)
        sandbox = await provider.create(SandboxSpec("files", "", {}), lambda _: asyncio.sleep(0))
        try:
            tree = sandbox.tree()
            space = place(here, "files", source).relayed(tree, here / "in")
            into = timed(lambda: space.attach(lambda _: None))
            (here / "target").mkdir()
            target = place(here, "target", here / "target").relayed(tree, here / "out")
            out = timed(lambda: target.persist(target.scan, ()))
            arrived = sum(1 for file in (here / "target").rglob("*") if file.is_file())
            assert arrived == files, f"{arrived} of {files} files arrived"
            tree.close()
            await sandbox.aclose()
        finally:
            await provider.destroy(sandbox.ref)
            await provider.aclose()
    return into, out


def _idle(name: str, account: Any) -> Figure:
    """Requests of a session with a live agent and without work: to the vendor, and to the runner."""
    session = sw.open_session("idle", sandbox=name, permissions="allow_all")
    session.send("say ready")
    with _requests() as runners:
        before = Counter(account.books()["calls"])
        time.sleep(IDLE_SECONDS)
        vendors = Counter(account.books()["calls"]) - before
        asked = Counter(runners)
    session.delete()
    minutes = IDLE_SECONDS / 60
    remark = f"in {minutes:g} minutes: {_counted(vendors + asked) or 'none'}"
    count = (sum(vendors.values()) + sum(asked.values())) / minutes
    return Figure(f"{name}: requests of an idle session", "/min", [count], remark=remark)


@contextmanager
def _requests() -> Iterator[Counter[str]]:
    """Count the requests of this process to runners."""
    found: Counter[str] = Counter()
    send = httpx.AsyncHTTPTransport.handle_async_request

    async def counted(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/v1/"):
            found[f"runner {request.method} {request.url.path}"] += 1
        return await send(self, request)

    httpx.AsyncHTTPTransport.handle_async_request = counted  # type: ignore[method-assign]
    try:
        yield found
    finally:
        httpx.AsyncHTTPTransport.handle_async_request = send  # type: ignore[method-assign]


async def _awaited(work: Any) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def _counted(calls: Counter[str]) -> str:
    return ", ".join(f"{count} x {call}" if count > 1 else call for call, count in sorted(calls.items()))
