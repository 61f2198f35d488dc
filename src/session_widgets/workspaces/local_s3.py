"""The embedded object store: SeaweedFS on this machine, reachable only from this machine."""

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
from session_widgets.host.daemon import Daemon, is_locked, locked, read_json, start_of, write_private
from session_widgets.progress import Progress, silent
from session_widgets.workspaces.clients import ATTEMPTS, client_of
from session_widgets.workspaces.credentials import Credentials
from session_widgets.workspaces.explain import explain
from session_widgets.workspaces.weed import weed

START_SECONDS = 60
STOP_SECONDS = 3
"""Enough to finish requests; its filer would wait 15 s for connections that never close. Acknowledged writes stay."""
KNOWN_SECONDS = 5
GRPC = 10_000
"""Each part of SeaweedFS listens on its port and on a second one, higher by this offset."""
PORTS = range(12_000, 22_000)
"""Both are below the system's range for outgoing connections."""
VOLUME_MB = 256
FULL_SHARE = 0.01
"""Free space of its disk, below which SeaweedFS refuses writes."""
FULL_BYTES = 16 << 20
FULL = "no space left"
NO_HTTP = "-disableHttp"
ADMIN = "session-widgets"
PROBE = ".session-widgets-probe"
_PARTS = ("master", "volume", "filer", "s3")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def local_s3(home: Path, bucket: str = "sessions", progress: Progress = silent) -> LocalS3:
    """Start the object store of a data directory, if it does not run, and create a bucket in it.

    Args:
        home: the data directory; all its files are in `home/s3`.
        bucket: the name of the bucket.
        progress: called when it takes time: about 3 s for a start.

    Raises:
        MissingDependency: SeaweedFS is not installed.
        WorkspaceError: it does not start; the message has the end of its log.
    """
    store = LocalS3(home, bucket)
    store.start(progress)
    return store


def find(home: Path, bucket: str) -> LocalS3 | None:
    """Return the object store of a data directory if it has `bucket`, running or not."""
    store = LocalS3(home, bucket)
    return store if bucket in store.buckets else None


class LocalS3:
    """The object store of a data directory. Several kernels share it, and it outlives them.

    Attributes:
        bucket: the requested bucket.
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
        self._security = self.place / ".seaweedfs" / "security.json"  # SeaweedFS looks for it there, below HOME

    def __repr__(self) -> str:
        return f"LocalS3({self.url!r}, endpoint={self.endpoint!r}, running={self.running})"

    @property
    def endpoint(self) -> str:
        """Address of its S3 interface; "" before its first start."""
        return f"http://127.0.0.1:{port}" if (port := self._ports().get("s3")) else ""

    @property
    def filer(self) -> str:
        """Address for `weed mount`: "127.0.0.1:port"."""
        return f"127.0.0.1:{self._ports().get('filer')}"

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self._daemon.process() is not None

    @property
    def buckets(self) -> tuple[str, ...]:
        """The buckets that this package created."""
        return tuple(self._stored("buckets") or ())

    @property
    def credentials(self) -> Credentials:
        """The keys with all rights."""
        found = self._find(ADMIN)
        if found is None:
            raise WorkspaceError("the embedded object store was never started: start it first.", reason="missing")
        return found

    def client(self, attempts: int = ATTEMPTS) -> Any:
        """Return a new S3 client of boto3 for it, with all rights; its requests wait for a start under way."""
        client = self._client(attempts)
        client.meta.events.register_first("needs-retry.s3", self._wait_for_start)
        return client

    def _client(self, attempts: int) -> Any:
        client = client_of(self.endpoint, self.credentials, attempts=attempts)
        client.meta.events.register("after-call.s3", self._name_full_disk)
        return client

    def _wait_for_start(
        self, response: tuple[Any, Any] | None, caught_exception: Exception | None, **_: Any
    ) -> float | None:
        """Have a failed request sent again once a start under way is done: S3 answers before its volumes are known."""
        failed = caught_exception is not None or (response is not None and response[0].status_code >= 500)
        if not failed or self._is_ready() or not (self.running or is_locked(self.place)):
            return None
        with locked(self.place):
            if self._wait():
                return 0.0
        return None

    def _name_full_disk(self, parsed: dict[str, Any], **_: Any) -> None:
        """Correct the response that SeaweedFS calls an internal error when its disk is full."""
        if parsed.get("ResponseMetadata", {}).get("HTTPStatusCode") == 500 and "Error" in parsed:
            disk = shutil.disk_usage(self.place)
            if disk.free < max(disk.total * FULL_SHARE, FULL_BYTES):
                parsed["Error"]["Message"] = f"{FULL} on the disk of {self.place}"

    def start(self, progress: Progress = silent) -> None:
        """Start it if it does not run, wait until it accepts files, and create the bucket."""
        self.place.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(self.place):
            self._stop_older()
            if not (self.running and self._wait()):
                progress("starting the embedded object store")
                self._launch()
            self._make_bucket()

    def stop(self) -> None:
        """Stop its process; its data stays, for the next `start`."""
        if not self.place.exists():
            return
        with locked(self.place):
            self._daemon.stop(STOP_SECONDS)
            _become_free(self._ports().values())
            self._remove_sockets()

    def _stop_older(self) -> None:
        """Stop a process of an earlier release, which accepts requests from web pages."""
        process = self._daemon.process()
        if process is not None and NO_HTTP not in process.cmdline():
            self._daemon.stop(STOP_SECONDS)

    def issue(self, name: str, actions: Sequence[str]) -> Credentials:
        """Return the keys of an identity with only these actions; created at the first call.

        Args:
            name: of the identity.
            actions: in SeaweedFS's form, such as "Read:bucket/prefix/*".
        """
        with locked(self.place):
            if found := self._find(name):
                return found
            made = self._write(name, actions)
            self._wait_known(made)
            return made

    def withdraw(self, name: str) -> None:
        """Revoke the keys of an identity. A running store keeps the identity, but not its actions."""
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
            ports = self._choose_ports(fresh=attempt > 0)
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
            NO_HTTP,  # of master and filer, which no web page may reach: S3 and mounts use gRPC
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
        """Delete unwanted leftovers of it."""
        for port in self._ports().values():
            for left in Path("/tmp").glob(f"seaweedfs-*-{port + GRPC}.sock"):  # noqa: S108 - SeaweedFS chose it
                with suppress(OSError):
                    left.unlink()

    def _environment(self) -> dict[str, str]:
        """Environment without our variables: AWS keys would be those of an administrator, and HOME is not ours."""
        return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.place)}

    def _wait(self) -> bool:
        """Return whether it answers, and accepts files; False if the program exited first."""
        from botocore.exceptions import BotoCoreError, ClientError

        client = self._client(attempts=1)
        deadline = time.monotonic() + START_SECONDS
        while self.running:
            try:
                client.list_buckets()
                if not self._is_ready():
                    self._make_ready(client)
                return True
            except (BotoCoreError, ClientError) as error:
                if FULL in str(error):
                    raise explain(error, self.bucket) from error
            if time.monotonic() > deadline:
                self._daemon.stop(STOP_SECONDS)
                raise WorkspaceError(
                    f"the embedded object store did not answer within {START_SECONDS} s. Its log ends:\n"
                    f"{self._daemon.tail()}",
                    reason="unreachable",
                )
            time.sleep(0.05)
        return False

    def _is_ready(self) -> bool:
        """Whether the running process has accepted a file."""
        return (process := self._daemon.process()) is not None and self._stored("ready") == _identity(process)

    def _make_ready(self, client: Any) -> None:
        """Store a file: S3 answers seconds before the volumes are known."""
        self._create_bucket(client)
        client.put_object(Bucket=self.bucket, Key=PROBE, Body=b"probe")
        client.delete_object(Bucket=self.bucket, Key=PROBE)
        if process := self._daemon.process():
            self._remember(ready=_identity(process))

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

    def _make_bucket(self) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._create_bucket(self._client(ATTEMPTS))
        except (BotoCoreError, ClientError) as error:
            raise explain(error, self.bucket) from error
        if self.bucket not in self.buckets:
            self._remember(buckets=sorted({*self.buckets, self.bucket}))

    def _create_bucket(self, client: Any) -> None:
        with suppress(client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists):
            client.create_bucket(Bucket=self.bucket)

    def _ports(self) -> dict[str, int]:
        return dict(self._stored("ports") or {})

    def _choose_ports(self, *, fresh: bool) -> dict[str, int]:
        """Return the ports of the last start, or others if one of them is taken."""
        ports = self._ports()
        free = _become_free(ports.values())
        if fresh or not ports or not free:
            self._remove_sockets()
            candidates = secrets.SystemRandom().sample(PORTS, 200)  # not seeded: stores may start at the same time
            ports = dict(zip(_PARTS, filter(_is_free, candidates), strict=False))
            self._remember(ports=ports)
        return ports

    def _stored(self, name: str) -> Any:
        return (read_json(self._record) or {}).get(name)

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


def _identity(process: psutil.Process) -> list[Any]:
    return [process.pid, start_of(process)]


def _become_free(ports: Iterable[int]) -> bool:
    """Whether they are free soon: a killed program holds them until its last thread is gone."""
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
