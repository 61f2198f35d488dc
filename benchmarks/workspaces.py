"""Workspaces in a bucket, on the embedded store: the barrier, moving files beside rclone, listing many keys."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figures import Figure, Reference
from session_widgets.workspaces.contract import Workspace
from session_widgets.workspaces.local_s3 import LocalS3, local_s3
from session_widgets.workspaces.place import place

SIZES = (10, 1_000, 20_000)
TOUCHED = 10
BULK_MB = 1_024
MANY_KEYS = 100_000


def measure(runs: int) -> list[Figure]:
    """Measure each in a store and a session of its own."""
    figures: list[Figure] = []
    with _store() as store:
        for files in SIZES:
            figures += _many_files(store, files, runs if files < 20_000 else 1)
        figures += _bulk(store)
        figures.append(_listing(store))
    return figures


@contextmanager
def _store() -> Iterator[LocalS3]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place_:
        store = local_s3(Path(place_), "lab")
        try:
            yield store
        finally:
            store.stop()


@contextmanager
def _workspace(store: LocalS3, name: str) -> Iterator[Workspace]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        space = place(Path(home), name, "s3://lab/bench", data=store.home)
        space.attach(lambda _: None)
        yield space
        space.detach()


def _many_files(store: LocalS3, files: int, runs: int) -> list[Figure]:
    """The barrier after a turn that touched ten files, and all files out and in."""
    name = f"f{files}"
    barrier = []
    with _workspace(store, name) as space:
        _fill(space.path, files)
        out = timed(lambda: space.persist(space.scan, ()))
        for run in range(runs):
            for number in range(min(TOUCHED, files)):
                _file(space.path, number).write_text(f"touched in run {run}")
            barrier.append(1_000 * timed(lambda: space.persist(space.scan, ())))
        peer_out, peer_in = _rclone(store, space.path, name)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as elsewhere:
        again = place(Path(elsewhere), name, "s3://lab/bench", data=store.home)
        into = timed(lambda: again.attach(lambda _: None))
        again.detach()
    aim = 150 if files == 1_000 else None
    return [
        Figure(f"barrier, {min(TOUCHED, files)} of {files:,} files touched", "ms", barrier, aim=aim),
        Figure(f"{files:,} files out", "s", [out], beside=peer_out),
        Figure(f"{files:,} files in", "s", [into], beside=peer_in),
    ]


def _bulk(store: LocalS3) -> list[Figure]:
    with _workspace(store, "bulk") as space:
        for number in range(BULK_MB // 128):
            (space.path / f"{number}.bin").write_bytes(os.urandom(128 << 20))
        out = timed(lambda: space.persist(space.scan, ()))
        peer_out, peer_in = _rclone(store, space.path, "bulk")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as elsewhere:
        again = place(Path(elsewhere), "bulk", "s3://lab/bench", data=store.home)
        into = timed(lambda: again.attach(lambda _: None))
        again.detach()
    return [
        Figure(f"{BULK_MB:,} MB in files of 128 MB, out", "s", [out], beside=peer_out),
        Figure(f"{BULK_MB:,} MB in files of 128 MB, in", "s", [into], beside=peer_in),
    ]


def _listing(store: LocalS3) -> Figure:
    client = store.client()

    def put(number: int) -> None:
        client.put_object(Bucket="lab", Key=f"bench/keys/{number // 1000}/{number}", Body=b"x")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(put, range(MANY_KEYS)))
    with tempfile.TemporaryDirectory() as home:
        prefix = place(Path(home), "keys", "s3://lab/bench", data=store.home).objects
        assert prefix is not None
        seconds = timed(prefix.prefix.listing)
    return Figure(f"listing {MANY_KEYS:,} keys", "s", [seconds])


def _rclone(store: LocalS3, source: Path, name: str) -> tuple[Reference | None, Reference | None]:
    """Copy the same files out and in with rclone, where it is installed."""
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        return None, None
    keys = store.credentials
    settings = {"TYPE": "s3", "PROVIDER": "Other", "ENDPOINT": store.endpoint}
    settings |= {"ACCESS_KEY_ID": keys.access_key, "SECRET_ACCESS_KEY": keys.secret_key}
    env = os.environ | {f"RCLONE_CONFIG_S_{key}": value for key, value in settings.items()}

    def copy(origin: str, target: str) -> float:
        command = [program, "copy", "--config", os.devnull, origin, target]
        return timed(lambda: subprocess.run(command, env=env, check=True, capture_output=True))

    with tempfile.TemporaryDirectory() as target:
        out = copy(str(source), f"s:lab/peer/{name}")
        into = copy(f"s:lab/peer/{name}", target)
    return Reference("rclone copy", [out]), Reference("rclone copy", [into])


def _fill(root: Path, files: int) -> None:
    for number in range(files):
        file = _file(root, number)
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"file {number}\n" * 20)


def _file(root: Path, number: int) -> Path:
    return root / f"d{number % 50}" / f"f{number}"


def timed(work: Callable[[], object]) -> float:
    """Return how many seconds it took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
