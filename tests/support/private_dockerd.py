"""A Docker daemon of one test, which may be stopped and killed without hurting others."""

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from session_widgets.host.daemon import is_running
from tests.support.waiting import until

BRIDGE = f"sw-{os.getpid()}"
"""One a process: those of other workers run beside it."""
ADDRESS = f"172.31.{os.getpid() % 250}.1/24"


class PrivateDockerd:
    """Listens on a socket under `place`, on a bridge of its own, and touches no firewall."""

    def __init__(self, place):
        self.place = place
        self.url = f"unix://{place}/docker.sock"
        self.process = None

    def start(self):
        argv = ["dockerd", "--host", self.url, "--bridge", BRIDGE, "--iptables=false", "--ip6tables=false"]
        for option, name in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")]:
            argv += [option, str(self.place / name)]
        with (self.place / "log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(self.answers, seconds=60, what="the private dockerd")

    def answers(self):
        version = ["docker", "--host", self.url, "version"]
        return self.process.poll() is None and subprocess.run(version, capture_output=True).returncode == 0

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            pidfile = self.place / "exec" / "containerd" / "containerd.pid"
            containerd = psutil.Process(int(pidfile.read_text()))
            self.process.send_signal(number)
            self.process.wait(60)
            until(lambda: not is_running(containerd), what="the end of its containerd")
            pidfile.unlink(missing_ok=True)  # the next dockerd takes a zombie for a containerd that lives

    def take_image(self, name):
        """Copy an image from the daemon of this machine."""
        with subprocess.Popen(["docker", "save", name], stdout=subprocess.PIPE) as saved:
            subprocess.run(["docker", "--host", self.url, "load", "--quiet"], stdin=saved.stdout, check=True)


@contextmanager
def private_dockerd():
    place = Path(tempfile.mkdtemp(prefix="sw-docker-"))  # short: paths of sockets have 107 characters
    subprocess.run(["ip", "link", "add", BRIDGE, "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "address", "add", ADDRESS, "dev", BRIDGE], check=True)
        subprocess.run(["ip", "link", "set", BRIDGE, "up"], check=True)
        daemon = PrivateDockerd(place)
        try:
            daemon.start()
            yield daemon
        finally:
            daemon.end()
    finally:
        _clear(place)
        subprocess.run(["ip", "link", "delete", BRIDGE], check=True)
        shutil.rmtree(place)


def _clear(place):
    """End containers and mounts of a daemon that could not do so itself."""
    for shim in [process for process in psutil.process_iter(["cmdline"]) if str(place) in str(process.info["cmdline"])]:
        for process in [*shim.children(recursive=True), shim]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{place}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=True)
