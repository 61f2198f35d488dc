"""Every notebook runs from top to bottom, as somebody would run it who has just cloned the project."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

import session_widgets as sw
from session_widgets.workspaces.local_s3 import LocalS3
from support import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture
def run():
    """Run a notebook; return the outputs of its code cells by their ids."""

    def run(name):
        path = ROOT / "notebooks" / f"{name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        client = NotebookClient(
            notebook, timeout=50, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
        )
        client.execute()
        nbformat.validate(notebook)
        return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}

    return run


def test_a_first_session(run):
    outputs = run("01_first_session")
    said = outputs["send"][0].data["text/plain"]
    assert "The program is there." in said
    assert "end_turn" in said
    assert outputs["exec"][0].text.startswith("0 [2, 3, 5, 7, 11")
    assert "47]" in outputs["exec"][0].text
    decided = sw.store().sql("select option_kind, decided_by from v_permissions order by requested_at").fetchall()
    assert [kind for kind, by in decided if by == "function:python_only"] == ["allow_once", "reject_once"]
    assert "application/vnd.jupyter.widget-view+json" in outputs["panel"][0].data


@pytest.fixture
def no_store_left(home):
    """Stop the object store of a notebook that failed half-way."""
    yield
    for record in sw.sessions():
        sw.open_session(record.id).delete()
    sw.store().close()
    LocalS3(home).stop()


@pytest.mark.needs("seaweedfs")
@pytest.mark.timeout(150)
@pytest.mark.parametrize("sandbox", [pytest.param("docker", marks=pytest.mark.needs("docker")), "local"])
def test_durable_sessions(run, no_store_left, sandbox, monkeypatch):
    if sandbox == "local":
        monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")  # as where Docker does not answer
    outputs = run("02_durable_sessions")
    assert outputs["docker"][0].data["text/plain"] == repr(sandbox)
    assert outputs["write"][0].data["text/plain"].startswith("('completed',\n datetime.datetime(")
    assert "sessions/durable/notes.md\nThe first lines.\n" in outputs["bucket"][0].text
    assert "'from-the-notebook.md'" in outputs["park"][0].text
    tier = "load" if sandbox == "docker" else "resume"
    assert outputs["switch"][0].text.startswith(f"local {tier} 20")
    assert "the first prompt was: \nwrite notes.md" in outputs["switch"][0].text
    here = outputs["here"][0].data["text/plain"]
    assert "['The first lines.',\n 'Written while no sandbox was there.',\n 'it runs'," in here
    assert "('completed',\n None,\n \"name: all is saved but 1" in outputs["refused"][0].data["text/plain"]
    assert outputs["park-refused"][0].text.startswith("name | parking was not done")
    assert outputs["mended"][0].data["text/plain"].endswith("None)")
    assert outputs["conflict"][0].text.startswith("failed | 1 files were changed both here and in s3://lab/")
    kept = outputs["settle"][0].text
    assert "/notes.md | Changed in the sandbox.\n" in kept
    assert "| Changed in the bucket.\n" in kept
    assert "datetime.datetime(" in outputs["settle"][1].data["text/plain"]
    assert f"{sandbox}:" in outputs["sandboxes"][0].data["text/plain"]
    assert outputs["delete"][0].data["text/plain"] == "0"


def test_each_notebook_is_run_here_and_holds_no_output():
    assert [path.stem for path in NOTEBOOKS] == ["01_first_session", "02_durable_sessions"]
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), path.name
