"""A provider that comes as a package of its own: the one of docs/providers.md, word for word."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import session_widgets as sw
from session_widgets._sandboxes import images
from session_widgets._sandboxes.clouds import limits
from session_widgets._sandboxes.conformance import CHECKS
from session_widgets.cli import app, sandbox_check
from session_widgets.errors import BadValue
from tests.support.paths import ROOT

PACKAGE = ROOT / "tests" / "sandboxes" / "third_party"
IN_CI = {"bytes_survive", "machine_is_as_described", "park_stops_and_attach_restores", "list_names_its_own"}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The package is where Python looks for installed ones."""
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target", tmp_path / "installed"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, PACKAGE], check=True)
    monkeypatch.syspath_prepend(tmp_path / "installed")
    monkeypatch.setenv("CONTAINERS_IMAGE", images.tag_of(images.build_context()))
    monkeypatch.setattr(limits, "SECONDS_BETWEEN", 0)
    yield
    sys.modules.pop("session_widgets_containers", None)


@pytest.mark.needs("docker")
def test_sessions_live_there(installed, home, tmp_path):
    (provider,) = [info for info in sw.sandbox_providers() if info.name == "containers"]
    assert (provider.problem, provider.running) == ("", 0)
    with pytest.raises(BadValue, match=r"cpus=, env=, .* alone; got gpu=.*gpu= is an option of .*modal"):
        sw.open_session("a", sandbox=sw.Sandbox("containers", gpu="T4"))
    (folder := tmp_path / "mine").mkdir()
    session = sw.open_session("a", sandbox="containers", workspace=folder, permissions="allow_all")
    turn = session.send("run hostname\nwrite answer <<EOT\nyes\nEOT")
    assert (turn.status, turn.error, turn.durability_error) == ("completed", None, None)
    (row,) = [row for row in sw.sandboxes() if row.ref.startswith("containers:")]
    assert (row.session, row.running) == ("a", True)
    session.delete()
    assert (folder / "answer").read_text() == "yes\n"


@pytest.mark.needs("docker")
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    "checks",
    [[check for check in CHECKS if check.__name__ in IN_CI], pytest.param(CHECKS, marks=pytest.mark.nightly)],
    ids=["some", "all"],
)
def test_it_keeps_the_contract(installed, home, monkeypatch, checks):
    monkeypatch.setattr(sandbox_check, "CHECKS", checks)
    done = CliRunner().invoke(app, ["sandboxes", "check", "containers"])
    assert done.exit_code == 0, done.stdout + done.stderr
    assert f"{len(checks)} of {len(checks)} hold" in done.stdout
    assert "No sandbox is left" in done.stdout


def test_the_guide_is_this_package():
    page = (ROOT / "docs" / "providers.md").read_text()
    for kind, file in (("toml", "pyproject.toml"), ("python", "session_widgets_containers.py")):
        assert re.findall(rf"^```{kind}\n(.*?)^```", page, flags=re.M | re.S) == [(PACKAGE / file).read_text()]
