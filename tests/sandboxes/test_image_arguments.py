"""Effects of build arguments and this machine's settings on the sandbox image. The images are really built."""

from __future__ import annotations

import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from session_widgets._sandboxes.docker_engine import engine
from session_widgets._sandboxes.images import build, build_context, tag_of
from session_widgets.errors import SandboxError

pytestmark = [pytest.mark.needs("docker"), pytest.mark.timeout(300)]

SUBJECT = "session-widgets test authority"
NAMES = "import ssl; print([c['subject'] for c in ssl.create_default_context().get_ca_certs()])"


def said_in(image, *command):
    run = ["docker", "run", "--rm", "--network=none", "--entrypoint=", image, *command]
    return subprocess.run(run, check=True, capture_output=True, text=True).stdout


@contextmanager
def built(name, content, arguments):
    with engine() as docker:
        build(docker, name, content, arguments, print, threading.Event())
        try:
            yield lambda *command: said_in(name, *command)
        finally:
            docker.images.remove(name, force=True)


def test_harnesses_and_fuse_by_argument():
    with built("session-widgets-arguments", build_context(), {"HARNESSES": "pi-acp@0.0.24", "WITH_FUSE": "1"}) as run:
        lines = run("sh", "-c", "id -un; which pi-acp s3fs fusermount3; s3fs --version").splitlines()
    assert lines[:4] == ["agent", "/opt/harnesses/bin/pi-acp", "/usr/bin/s3fs", "/usr/bin/fusermount3"]
    assert "Amazon Simple Storage Service" in lines[4]


def test_proxies_and_registries_of_the_build_environment(monkeypatch):
    given = {
        "HTTP_PROXY": "http://127.0.0.1:3128",
        "HTTPS_PROXY": "http://127.0.0.1:3129",
        "NO_PROXY": "10.0.0.1",
        "PIP_INDEX_URL": "https://pip.example/simple",
        "NPM_CONFIG_REGISTRY": "https://npm.example",
    }
    for name, value in given.items():
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name.lower() if name == "NO_PROXY" else name, value)
    content = {
        "Dockerfile": b"FROM debian:bookworm-slim\nARG PIP_INDEX_URL\nARG NPM_CONFIG_REGISTRY\n"
        b"RUN : look; env | grep -E 'PROXY|PIP_INDEX|NPM_CONFIG' | sort; exit 3\n"
    }
    with engine() as docker, pytest.raises(SandboxError) as told:
        build(docker, "session-widgets-arguments", content, {}, print, threading.Event())
    for name, value in given.items():
        assert f"{name}={value}" in str(told.value)


def test_certificates_of_a_proxy_that_looks_into_tls_are_trusted(tmp_path, monkeypatch):
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null"]
    subprocess.run([*make, "-subj", f"/CN={SUBJECT}", "-out", tmp_path / "ours.pem"], check=True, capture_output=True)
    before = tag_of(build_context())
    known = Path("/etc/ssl/certs/ca-certificates.crt").read_bytes()  # this machine may itself be behind such a proxy
    (tmp_path / "bundle.pem").write_bytes(known + (tmp_path / "ours.pem").read_bytes())
    monkeypatch.setenv("SESSION_WIDGETS_CA_BUNDLE", str(tmp_path / "bundle.pem"))
    content = build_context()
    assert tag_of(content) != before, "another image"
    first_stage, _, _ = content["Dockerfile"].partition(b"\nFROM debian AS tools")
    with built("session-widgets-certificates", content | {"Dockerfile": first_stage}, {}) as run:
        assert SUBJECT in run("python3", "-c", NAMES)


def test_certificates_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("SESSION_WIDGETS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with pytest.raises(SandboxError, match="SESSION_WIDGETS_CA_BUNDLE"):
        build_context()
