"""The built front end that is in the package: small, whole, self-contained, and built from these sources."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from session_widgets.widgets import Chat, Compare, FileBrowser, Replay, Search, SessionPanel
from session_widgets.widgets.sandboxes import SandboxTable
from tests.support.paths import ROOT

STATIC = ROOT / "src" / "session_widgets" / "static"
NAMES = ["chat", "compare", "files", "panel", "replay", "sandboxes", "search"]


def code(name: str) -> str:
    return (STATIC / f"{name}.js").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_is_within_its_budget(name):
    assert 1000 < (STATIC / f"{name}.js").stat().st_size <= 250_000
    assert 1000 < (STATIC / f"{name}.css").stat().st_size <= 60_000


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_is_one_module_that_runs_without_eval(name):
    source = code(name)
    assert not re.search(r"\beval\(|new Function\(|\bimport\(|(?:^|[;}])import[ {*\"']|process\.env", source)
    assert re.search(r"export\s*\{[\w$]+ as default\}", source)


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_names_no_host_but_those_of_licences_and_xml(name):
    body = code(name).split("/*! Bundled license information")[0]
    hosts = set(re.findall(r"https?://([\w.-]+)", re.sub(r"/\*!.*?\*/", "", body, flags=re.S)))
    assert hosts <= {"www.w3.org", "lit.dev", "github.com", "marked.js.org"}, hosts
    css = (STATIC / f"{name}.css").read_text()
    assert not re.search(r"url\(|@import", css)


def test_the_widgets_use_them():
    for name, widget in zip(
        NAMES, (Chat, Compare, FileBrowser, SessionPanel, Replay, SandboxTable, Search), strict=True
    ):
        assert str(widget._esm) == code(name)


@pytest.mark.needs("node")
def test_building_again_gives_the_same_files(tmp_path: Path):
    modules = ROOT / "js" / "node_modules"
    if not modules.exists():
        pytest.skip("needs the front end's packages: npm ci --ignore-scripts --prefix js")
    tree = tmp_path / "js"
    shutil.copytree(ROOT / "js", tree, ignore=shutil.ignore_patterns("node_modules"))
    (tree / "node_modules").symlink_to(modules)
    (tmp_path / "src" / "session_widgets" / "static").mkdir(parents=True)
    subprocess.run(["node", "build.mjs"], cwd=tree, check=True, capture_output=True)
    for name in NAMES:
        for ending in ("js", "css"):
            built = (tmp_path / "src" / "session_widgets" / "static" / f"{name}.{ending}").read_bytes()
            assert built == (STATIC / f"{name}.{ending}").read_bytes(), "run: npm --prefix js run build"
