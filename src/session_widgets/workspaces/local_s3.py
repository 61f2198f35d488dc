"""An object store for those who have none: SeaweedFS on this machine, reachable from this machine alone."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from session_widgets.errors import BadValue, WorkspaceError
from session_widgets.host.daemon import Daemon, locked, read_json, write_private
from session_widgets.workspaces.clients import ATTEMPTS, client_of
from session_widgets.workspaces.contract import Progress
from session_widgets.workspaces.credentials import Credentials
from session_widgets.workspaces.weed import weed

START_SECONDS = 60
STOP_SECONDS = 3
"""Enough to finish requests; its filer would wait 15 s for connections that never close. What is written is written."""
KNOWN_SECONDS = 5
GRPC = 10_000
"""Each part of SeaweedFS listens on its port and on the one this much higher."""
PORTS = range(12_000, 22_000)
"""Both are below those that the system gives to outgoing connections."""
VOLUME_MB = 256
FULL_SHARE = 0.01
"""Of its disk; with less, SeaweedFS writes no more."""
FULL_BYTES = 16 << 20
NO_HTTP = "-disableHttp"
ADMIN = "session-widgets"
PROBE = ".session-widgets-probe"
_PARTS = ("master", "volume", "filer", "s3")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def silent(_: str) -> None:
    """Tell nobody."""


def local_s3(home: Path, bucket: str = "sessions", progress: Progress = silent) -> LocalS3:
    """Start the object store of a data directory, or find it running, and make a bucket in it.

    Args:
        home: the data directory; everything lies in `home/s3`.
        bucket: the name of the bucket.
        progress: told when it takes time: about 3 s, if it does not run yet.

    Raises:
        MissingDependency: SeaweedFS is not installed.
        WorkspaceError: it does not start; the end of its log is in the message.
    """
    store = LocalS3(home, bucket)
    store.start(progress)
    return store


def find(home: Path, bucket: str) -> LocalS3 | None:
    """Return the object store of a data directory if `bucket` was made there, running or not."""
    store = LocalS3(home, bucket)
    return store if bucket in store.buckets else None


class LocalS3:
    """The object store of a data directory. Several kernels share it, and it outlives them all.

    Attributes:
        bucket: the bucket that was asked for.
        url: that bucket as a workspace: "s3://<bucket>".
    """

    def __init__(self, home: Path, bucket: str = "sessions") -> None:
        if not _BUCKET.fullmatch(bucket):
            raise BadValue(
                f"a bucket's name is 3 to 63 of a-z, 0-9, '-', '.', letters or digits at its ends; got {bucket!r:.100}."
            )
        self.home = home
        self.bucket = bucket
        self.url = f"s3://{bucket}"
        self.place = home / "s3"
        self._daemon = Daemon(self.place)
        self._record = self.place / "store.json"
        self._identities = self.place / "identities.json"
        self._security = self.place / ".seaweedfs" / "security.json"  # SeaweedFS looks for it there, below its HOME

    def __repr__(self) -> str:
        return f"LocalS3({self.url!r}, endpoint={self.endpoint!r}, running={self.running})"

    @property
    def endpoint(self) -> str:
        """Where its S3 interface answers; "" before it was ever started."""
        return f"http://127.0.0.1:{port}" if (port := self._ports().get("s3")) else ""

    @property
    def filer(self) -> str:
        """Where `weed mount` finds it: "127.0.0.1:port"."""
        return f"127.0.0.1:{self._ports().get('filer')}"

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._daemon.process() is not None

    @property
    def buckets(self) -> tuple[str, ...]:
        """The buckets that were made by this package."""
        return tuple((read_json(self._record) or {}).get("buckets", ()))

    @property
    def credentials(self) -> Credentials:
        """The keys that may do everything."""
        found = self._find(ADMIN)
        if found is None:
            raise WorkspaceError("the embedded object store was never started: start it first.", reason="missing")
        return found

    def client(self, attempts: int = ATTEMPTS) -> Any:
        """Return a new S3 client of boto3 for it, with the keys that may do everything."""
        client = client_of(self.endpoint, self.credentials, attempts=attempts)
        client.meta.events.register("after-call.s3", self._name_full_disk)
        return client

    def _name_full_disk(self, parsed: dict[str, Any], **_: Any) -> None:
        """Put into an answer what SeaweedFS calls an internal error when its disk is full."""
        if parsed.get("ResponseMetadata", {}).get("HTTPStatusCode") == 500 and "Error" in parsed:
            disk = shutil.disk_usage(self.place)
            if disk.free < max(disk.total * FULL_SHARE, FULL_BYTES):
                parsed["Error"]["Message"] = f"no space left on the disk of {self.place}"

    def start(self, progress: Progress = silent) -> None:
        """Start it if it does not run, wait until it takes files, and make the bucket."""
        self.place.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(self.place):
            self._stop_older()
            found = self.running and self._wait()
            if not found:
                progress("starting the embedded object store")
                self._launch()
            self._make_bucket(probe=not found)

    def stop(self) -> None:
        """End its process; everything in it stays, and is there again after `start`."""
        if not self.place.exists():
            return
        with locked(self.place):
            self._daemon.stop(STOP_SECONDS)
            _become_free(self._ports().values())
            self._remove_sockets()

    def _stop_older(self) -> None:
        """End one that a release before this one started, which web pages can speak to."""
        process = self._daemon.process()
        if process is not None and NO_HTTP not in process.cmdline():
            self._daemon.stop(STOP_SECONDS)

    def issue(self, name: str, actions: Sequence[str]) -> Credentials:
        """Return the keys of an identity which may do these actions and nothing else; made on the first call.

        Args:
            name: who gets them.
            actions: SeaweedFS's words, such as "Read:bucket/prefix/*".
        """
        with locked(self.place):
            if found := self._find(name):
                return found
            made = self._write(name, actions)
            self._wait_known(made)
            return made

    def withdraw(self, name: str) -> None:
        """Make the keys of an identity void. A running store keeps the identity, but not what it may do."""
        with locked(self.place):
            self._save([one | {"actions": []} if one["name"] == name else one for one in self._all()])

    def _launch(self) -> None:
        if self._find(ADMIN) is None:
            self._write(ADMIN, ["Admin", "Read", "Write", "List", "Tagging"])
        if not self._security.exists():  # without a key, a web page can write to the volumes
            self._security.parent.mkdir(exist_ok=True, mode=0o700)
            write_private(self._security, {"jwt": {"signing": {"key": secrets.token_urlsafe(30)}}})
        (self.place / "data").mkdir(exist_ok=True, mode=0o700)
        for attempt in range(3):
            ports = self._choose_ports(anew=attempt > 0)
            self._daemon.start(self._argv(ports), env=self._environment(), umask=0o077)
            if self._wait():
                return
        raise WorkspaceError(
            f"the embedded object store ended as soon as it was started. Its log ends:\n{self._daemon.tail()}",
            reason="unreachable",
        )

    def _argv(self, ports: dict[str, int]) -> list[str]:
        return [
            weed(),
            "server",
            f"-dir={self.place / 'data'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-master.port={ports['master']}",
            "-master.telemetry=false",
            "-master.electionTimeout=1s",  # with the usual 10 s, every start but the first takes 12 s;
            "-master.heartbeatInterval=100ms",  # with both, the volumes are there for the first file at once
            f"-master.volumeSizeLimitMB={VOLUME_MB}",
            f"-volume.port={ports['volume']}",
            "-volume.max=0",
            "-volume.preStopSeconds=0",
            NO_HTTP,  # of the master, and of the filer: web pages shall not speak to them, S3 and mounts speak gRPC
            "-filer",
            f"-filer.port={ports['filer']}",
            "-filer.disableHttp",
            "-filer.localSocket=filer.sock",
            "-s3",
            f"-s3.port={ports['s3']}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.allowedOrigins=http://127.0.0.1",
            "-s3.localSocket=s3.sock",
            f"-s3.config={self._identities}",
        ]

    def _remove_sockets(self) -> None:
        """Remove what it leaves where nobody asked for it."""
        for port in self._ports().values():
            for left in Path("/tmp").glob(f"seaweedfs-*-{port + GRPC}.sock"):  # noqa: S108 - SeaweedFS chose it
                with suppress(OSError):
                    left.unlink()

    def _environment(self) -> dict[str, str]:
        """Nothing of ours: AWS keys in it would be an administrator's, and settings in HOME are somebody else's."""
        return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.place)}

    def _wait(self) -> bool:
        """Return whether S3 answers; False if the program ended first."""
        from botocore.exceptions import BotoCoreError, ClientError

        client = self.client(attempts=1)
        deadline = time.monotonic() + START_SECONDS
        while self.running:
            with suppress(BotoCoreError, ClientError):
                client.list_buckets()
                return True
            if time.monotonic() > deadline:
                self._daemon.stop(STOP_SECONDS)
                raise WorkspaceError(
                    f"the embedded object store did not answer within {START_SECONDS} s. Its log ends:\n"
                    f"{self._daemon.tail()}",
                    reason="unreachable",
                )
            time.sleep(0.05)
        return False

    def _wait_known(self, keys: Credentials) -> None:
        """Return when the running store has read its identities again: within milliseconds."""
        from botocore.exceptions import BotoCoreError, ClientError

        client = client_of(self.endpoint, keys, attempts=1)
        deadline = time.monotonic() + KNOWN_SECONDS
        while self.running and time.monotonic() < deadline:
            with suppress(BotoCoreError, ClientError):
                client.list_buckets()
                return
            time.sleep(0.01)

    def _make_bucket(self, *, probe: bool) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        from session_widgets.workspaces.explain import explain

        client = self.client()
        try:
            with suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
                client.create_bucket(Bucket=self.bucket)
            if probe:  # it may answer seconds before it takes files
                client.put_object(Bucket=self.bucket, Key=PROBE, Body=b"probe")
                client.delete_object(Bucket=self.bucket, Key=PROBE)
        except (BotoCoreError, ClientError) as error:
            raise explain(error, self.bucket) from error
        if self.bucket not in self.buckets:
            self._remember(buckets=sorted({*self.buckets, self.bucket}))

    def _ports(self) -> dict[str, int]:
        return dict((read_json(self._record) or {}).get("ports", {}))

    def _choose_ports(self, *, anew: bool) -> dict[str, int]:
        """Return the ports of the last time, or others if one of them is taken."""
        ports = self._ports()
        free = _become_free(ports.values())
        if anew or not ports or not free:
            self._remove_sockets()
            candidates = secrets.SystemRandom().sample(PORTS, 200)  # seeded by nobody: stores start side by side
            ports = dict(zip(_PARTS, filter(_is_free, candidates), strict=False))
            self._remember(ports=ports)
        return ports

    def _remember(self, **values: Any) -> None:
        write_private(self._record, (read_json(self._record) or {}) | values)

    def _all(self) -> list[dict[str, Any]]:
        return list((read_json(self._identities) or {}).get("identities", ()))

    def _find(self, name: str) -> Credentials | None:
        for identity in self._all():
            if identity["name"] == name and identity["actions"]:
                (keys,) = identity["credentials"]
                return Credentials(keys["accessKey"], keys["secretKey"])
        return None

    def _write(self, name: str, actions: Sequence[str]) -> Credentials:
        made = Credentials(secrets.token_hex(10).upper(), secrets.token_urlsafe(30))
        keys = {"accessKey": made.access_key, "secretKey": made.secret_key}
        others = [identity for identity in self._all() if identity["name"] != name]
        self._save([*others, {"name": name, "credentials": [keys], "actions": list(actions)}])
        return made

    def _save(self, identities: list[dict[str, Any]]) -> None:
        write_private(self._identities, {"identities": identities})
        if process := self._daemon.process():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGHUP)


def _become_free(ports: Iterable[int]) -> bool:
    """Whether they are free soon: a program that was just killed holds them until its last thread is gone."""
    wanted = list(ports)
    deadline = time.monotonic() + STOP_SECONDS
    while not all(map(_is_free, wanted)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _is_free(port: int) -> bool:
    """Whether a port and the one for gRPC can be listened on."""
    for number in (port, port + GRPC):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", number))
            except OSError:
                return False
    return True
