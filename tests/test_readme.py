"""The Python of README and docs runs unchanged."""

from __future__ import annotations

import re

import pytest

import session_widgets as sw
from session_widgets.workspaces.local_s3 import LocalS3
from tests.support.paths import ROOT

PAGES = [
    "README.md",
    "docs/getting-started.md",
    "docs/analysis.md",
    "docs/snapshots.md",
    pytest.param("docs/workspaces.md", marks=pytest.mark.needs("seaweedfs")),
]


def python_blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), flags=re.M | re.S)


@pytest.fixture
def no_session_left(home):
    """Close what an example left open."""
    yield
    for record in sw.store().sql("select session_id from v_sessions").fetchall():
        sw.open_session(record[0]).delete()
    sw.store().close()
    LocalS3(home).stop()


# DuckDB's df() does it to each TIMESTAMPTZ column.
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.drop")
@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs(page, no_session_left, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # as after `make demo`, with no environment activated
    names: dict[str, object] = {}
    for number, block in enumerate(python_blocks(page), start=1):
        exec(compile(block, f"{page}, block {number}", "exec"), names)
    printed = capsys.readouterr().out
    if page == "README.md":
        assert says_what_readme_says(printed)


@pytest.mark.needs("docker")
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.drop")
def test_the_python_of_readme_runs_in_docker(no_session_left, capsys):
    (block,) = (block for block in python_blocks("README.md") if "hello.py" in block)
    exec(compile(block.replace('sandbox="local"', 'sandbox="docker"'), "README.md", "exec"), {})
    assert sw.store().sql("select sandbox from v_sessions").fetchall() == [("docker",)]
    assert says_what_readme_says(capsys.readouterr().out)


def says_what_readme_says(printed: str) -> bool:
    """Whether the example of README has printed what its comments say."""
    return all(words in printed for words in ("It says hi. end_turn", "['hello.py']", "\nhi\n", "completed"))


def test_every_link_leads_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "AGENTS.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    for page in ("README.md", "CONTRIBUTING.md", "AGENTS.md"):
        assert set(re.findall(r"\bmake ([a-z]+)\b(?! sure)", (ROOT / page).read_text())) <= targets, page
