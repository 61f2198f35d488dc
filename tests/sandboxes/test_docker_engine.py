"""Errors without a working Docker. These tests need none."""

import os
import socket
import sys
import threading

import pytest

from session_widgets._sandboxes import get_provider
from session_widgets._sandboxes.docker_engine import engine
from session_widgets.errors import MissingDependency, SandboxError

STRANGER = 4321


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A socket path that DOCKER_HOST names, and no docker on PATH."""
    path = tmp_path / "d.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return path


def put_docker_on_path(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "docker").chmod(0o755)


def speak():
    with engine():
        pass


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "docker", None)
    with pytest.raises(MissingDependency, match=r"pip install 'session-widgets\[docker\]'"):
        get_provider("docker", tmp_path)


def test_not_installed(host):
    with pytest.raises(SandboxError, match="not installed"):
        speak()


def test_not_running_without_a_socket(host, tmp_path):
    put_docker_on_path(tmp_path)
    with pytest.raises(SandboxError, match="daemon does not run"):
        speak()


def test_not_running_behind_a_socket_that_was_left(host):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(host))
    with pytest.raises(SandboxError, match="daemon does not run"):
        speak()


def test_no_permission(host):
    import docker.context  # noqa: F401 - what is imported now need not be readable later

    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(host))
        daemon.listen()
        host.chmod(0)
        user = os.geteuid()
        try:
            if user == 0:
                os.seteuid(STRANGER)
            with pytest.raises(SandboxError, match="group 'docker'"):
                speak()
        finally:
            os.seteuid(user)


@pytest.mark.parametrize("url", ["tcp://192.0.2.1:2376", "ssh://somebody@192.0.2.1"])
def test_another_machine(url, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", url)
    with pytest.raises(SandboxError, match="another machine"):
        speak()


def test_a_daemon_that_hangs_up_is_a_broken_connection(host):
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(host))
        daemon.listen()

        def hang_up():
            for _ in range(2):
                daemon.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(SandboxError, match="connection to Docker broke"):
            speak()
        thread.join()


async def test_operations_say_it_too(host, tmp_path):
    provider = get_provider("docker", tmp_path)
    with pytest.raises(SandboxError, match="not installed"):
        [info async for info in provider.list()]
