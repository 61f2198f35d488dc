"""Every notebook runs from top to bottom, as somebody would run it who has just cloned the project."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

import session_widgets as sw
from support import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_leaves_no_error(path, home):
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=50, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute()
    nbformat.validate(notebook)
    outputs = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    if path.stem == "01_first_session":
        said = outputs["send"][0].data["text/plain"]
        assert "The program is there." in said
        assert "end_turn" in said
        assert outputs["exec"][0].text.startswith("0 [2, 3, 5, 7, 11")
        assert "47]" in outputs["exec"][0].text
        decided = sw.store().sql("select option_kind, decided_by from v_permissions order by requested_at").fetchall()
        assert [kind for kind, by in decided if by == "function:python_only"] == ["allow_once", "reject_once"]
        assert "application/vnd.jupyter.widget-view+json" in outputs["panel"][0].data


def test_the_first_notebook_is_there():
    assert NOTEBOOKS[0].stem == "01_first_session"
