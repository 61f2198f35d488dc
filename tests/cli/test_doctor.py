"""`session-widgets doctor`: its findings, its remedies, and its requests."""

from __future__ import annotations

import importlib.metadata
import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from session_widgets._harnesses import catalog
from session_widgets._harnesses.installing import Installation
from session_widgets.cli.doctor import confinement_check, lab_check
from session_widgets.cli.doctor_docker import docker_checks
from session_widgets.cli.doctor_storage import MEASURED, store_checks
from session_widgets.workspaces.local_s3 import LocalS3
from session_widgets.workspaces.mounted import MountedWorkspace
from session_widgets.workspaces.place import place
from tests.support.flaky_s3 import Fault, flaky

COMMAND = [str(Path(sys.executable).with_name("session-widgets")), "doctor"]
STRANGER = 4321


@pytest.fixture
def doctor(home, tmp_path, forked):
    """Run it, without Docker and without AWS settings except for those given; return its checks by name."""

    def doctor(**settings):
        env = {"HOME": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path / 'no.sock'}"}
        if "AWS_ENDPOINT_URL_S3" not in settings:
            env |= {name: "" for name in os.environ if name.startswith("AWS_") and name != "AWS_CA_BUNDLE"}
        done = forked.command("doctor", "--json", env=os.environ | env | settings)
        assert (done.returncode, done.stderr) == (0, "")
        checks = {check["name"]: check for check in json.loads(done.stdout)}
        assert all(check["remedy"] for check in checks.values() if not check["ok"])
        return checks

    return doctor


def test_it_says_what_is_there_and_never_a_key(doctor):
    checks = doctor(ANTHROPIC_API_KEY="sk-ant-planted", OPENAI_API_KEY="", PATH="/nowhere")
    assert checks["Python"]["ok"]
    assert checks["DuckDB store"]["ok"]
    assert checks["disk"]["ok"]
    assert (checks["ANTHROPIC_API_KEY"]["ok"], checks["OPENAI_API_KEY"]["ok"]) == (True, False)
    assert "E2B_API_KEY" not in checks, "nothing here needs it"
    assert "sk-ant" not in json.dumps(checks)
    assert "apt-get install bubblewrap" in checks["confined local"]["remedy"]
    assert not checks["FUSE"]["ok"]
    assert not checks["mounts by s3fs"]["ok"]
    assert "hard link" in checks["mounts by s3fs"]["found"]


@pytest.mark.parametrize(("code", "remedy"), [(1, "unprivileged_userns_clone"), (0, "")])
def test_it_says_whether_the_kernel_lets_a_local_sandbox_be_confined(tmp_path, monkeypatch, code, remedy):
    (tmp_path / "bwrap").write_text(
        f"#!/bin/sh\n[ $1 = --version ] && echo bubblewrap 1 && exit\necho yes\nexit {code}\n"
    )
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    check = confinement_check()
    assert (check.ok, remedy in check.remedy, check.optional or check.ok) == (code == 0, True, True)


@pytest.mark.parametrize(
    ("kernel", "ok"), [("6.31.0", True), ("7.0.0", False), ("7.3.0", False), ("7.4.0", True), ("8.0rc1", True)]
)
def test_an_ipykernel_that_loses_requests_is_named(monkeypatch, kernel, ok):
    monkeypatch.setattr(importlib.metadata, "version", {"jupyterlab": "4.6.6", "ipykernel": kernel}.__getitem__)
    check = lab_check()
    assert (check.ok, f"ipykernel {kernel}" in check.found, "ipykernel>=7.4" in check.remedy) == (ok, True, not ok)


def test_it_says_which_harnesses_are_installed_and_with_which_node(doctor, tmp_path):
    folder = tmp_path / "harnesses"
    codex = catalog.get("codex")
    empty = doctor(SESSION_WIDGETS_HARNESSES=str(folder), PATH="/nowhere")
    assert (empty["Node.js"]["ok"], "session-widgets[node]" in empty["Node.js"]["remedy"]) == (False, True)
    assert (empty["Codex"]["ok"], empty["Codex"]["remedy"]) == (False, "session-widgets harness install codex")
    assert "codex, opencode, pi" in empty["OPENAI_API_KEY"]["remedy"]
    place = folder / Installation(codex, tmp_path).path.name
    (place / "node_modules").mkdir(parents=True)
    full = doctor(SESSION_WIDGETS_HARNESSES=str(folder))
    assert (full["Codex"]["ok"], full["Codex"]["found"]) == (True, f"{codex.version} in {place}")
    assert not full["Pi"]["ok"]


def test_it_tells_people_the_same(home):
    settings = os.environ | {"ANTHROPIC_API_KEY": "sk-ant-planted", "DOCKER_HOST": "unix:///nowhere/d.sock"}
    done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=50, check=False, env=settings)
    assert "yes   ANTHROPIC_API_KEY: present" in done.stdout
    assert " -    Docker: Docker is " in done.stdout, "all else works without it"
    assert "no  " not in done.stdout, "a machine that runs the demo lacks nothing"
    assert "sk-ant" not in done.stdout


def test_an_unreadable_store_is_reported(doctor, home):
    home.mkdir()
    (home / "transcripts.duckdb").write_text("no database")
    assert not doctor()["DuckDB store"]["ok"]
    (home / "transcripts.duckdb").unlink()


def test_docker_is_not_installed_or_does_not_run(doctor, tmp_path):
    absent = doctor(PATH="/nowhere")["Docker"]
    assert (absent["ok"], "not installed" in absent["found"]) == (False, True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "docker").chmod(0o755)
    stopped = doctor(PATH=str(tmp_path / "bin"))["Docker"]
    assert "does not run" in stopped["found"]
    assert "start docker" in stopped["remedy"]


def test_docker_may_not_be_used(tmp_path, monkeypatch):
    import docker.context  # noqa: F401 - what is imported now need not be readable later

    path = tmp_path / "d.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    user = os.geteuid()
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(path))
        daemon.listen()
        path.chmod(0)
        try:
            if user == 0:
                os.seteuid(STRANGER)
            (refused,) = docker_checks()
        finally:
            os.seteuid(user)
    assert (refused.ok, "may not use Docker" in refused.found) == (False, True)
    assert "group 'docker'" in refused.remedy


@pytest.mark.needs("docker")
def test_docker_runs_and_its_image_is_here_or_will_come(doctor):
    here = os.environ.get("DOCKER_HOST", "")
    checks = doctor(DOCKER_HOST=here)
    assert (checks["Docker"]["ok"], checks["sandbox image"]["ok"]) == (True, True)
    given = doctor(DOCKER_HOST=here, SESSION_WIDGETS_IMAGE="no/such:image")["sandbox image"]
    assert (given["ok"], "pulls it" in given["remedy"]) == (False, True)


def test_without_settings_no_store_gets_a_request(home, tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    mine, embedded = store_checks(home)  # to ask would be refused here: see guard.py
    assert (mine.ok, mine.found) == (False, "no AWS settings")
    assert (embedded.ok, embedded.found.startswith("never started")) == (False, True)
    assert "session-widgets s3 start" in embedded.remedy
    assert not home.exists()


@pytest.mark.needs("seaweedfs")
def test_a_store_is_asked_once_and_its_clock_compared(lab, seaweed, doctor):
    with flaky(seaweed.endpoint) as way:
        good = doctor(AWS_ENDPOINT_URL_S3=way.endpoint)
        assert way.seen == [("GET", "/")]
        assert good["object store"]["found"] == f"{way.endpoint}, keys from AWS settings (env)"
        assert (good["object store"]["ok"], good["clock"]["ok"]) == (True, True)

        for minutes, ok, words in (
            (-20, False, "20 minutes ahead of"),
            (20, False, "20 minutes behind"),
            (2, True, ""),
        ):
            date = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes, seconds=5), usegmt=True)
            way.rule = lambda *_, date=date: Fault(headers={"Date": date})
            clock = doctor(AWS_ENDPOINT_URL_S3=way.endpoint)["clock"]
            assert (clock["ok"], words in clock["found"]) == (ok, True)

        way.rule = lambda *_: Fault(status=403, code="AccessDenied")
        assert doctor(AWS_ENDPOINT_URL_S3=way.endpoint)["object store"]["ok"]


@pytest.mark.needs("seaweedfs")
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"AWS_ACCESS_KEY_ID": "WRONG"}, "403 InvalidAccessKeyId"),
        ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}, "Could not connect"),
        ({"AWS_ENDPOINT_URL_S3": "127.0.0.1:9"}, "Invalid endpoint: 127.0.0.1:9"),
        ({"AWS_CA_BUNDLE": ""}, "Invalid CA bundle"),
        ({"AWS_PROFILE": "nobody"}, "(nobody) could not be found"),
    ],
)
def test_settings_of_an_unreachable_store_are_reported(lab, seaweed, doctor, settings, words):
    found = doctor(**({"AWS_ENDPOINT_URL_S3": seaweed.endpoint} | settings))["object store"]
    assert (found["ok"], words in found["found"]) == (False, True)
    assert "any-bucket" not in json.dumps(found)
    assert seaweed.credentials.secret_key not in json.dumps(found)


@pytest.mark.needs("seaweedfs")
def test_the_embedded_store_runs_or_not(doctor, home):
    store = LocalS3(home, "mine")
    store.start()
    try:
        running = doctor()["embedded object store"]
        assert (running["ok"], store.endpoint in running["found"], "mine" in running["found"]) == (True, True, True)
        broken = doctor(AWS_CA_BUNDLE="")["embedded object store"]
        assert (broken["ok"], "Invalid CA bundle" in broken["found"]) == (False, True)
    finally:
        store.stop()
    stopped = doctor()["embedded object store"]
    assert (stopped["ok"], stopped["found"].startswith("does not run")) == (False, True)
    assert not store.running


@pytest.mark.needs("seaweedfs", "fuse")
@pytest.mark.parametrize("driver", [pytest.param("s3fs", marks=pytest.mark.needs("s3fs")), "weed"])
def test_what_is_said_of_a_mount_is_what_it_can_do(doctor, home, lab, driver):
    space = place(home, "one", lab, f"fuse:{driver}")
    assert isinstance(space, MountedWorkspace)
    try:
        space.attach(lambda _: None)
        assert space.abilities == MEASURED[driver]
        said = doctor()[f"mounts by {driver}"]
        assert said["ok"]
        assert space.abilities.describe() in said["found"]
    finally:
        space.remove()
