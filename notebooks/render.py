"""Run every notebook and keep its outputs, so that a page that only draws notebooks shows them: `make notebooks`.

What differs from machine to machine is taken out: paths, live widgets (their saved view stays), and the times of cells.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
WIDGET = "application/vnd.jupyter.widget-view+json"


def render(path: Path, home: Path) -> nbformat.NotebookNode:
    """Run a notebook with a data directory of its own; return it with its outputs."""
    os.environ["SESSION_WIDGETS_HOME"] = str(home)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(HERE)}}).execute()
    shown = {str(home): "~/.local/share/session-widgets", str(HERE.parent): ".", str(Path.home()): "~"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [_portable(output, shown) for output in cell.outputs if not _is_widget(output)]
    notebook.metadata.pop("widgets", None)
    return notebook


def _is_widget(output: Any) -> bool:
    return WIDGET in output.get("data", {})


def _portable(value: Any, shown: dict[str, str]) -> Any:
    """Replace the paths of this machine in all texts of an output."""
    if isinstance(value, dict):
        return type(value)({key: _portable(item, shown) for key, item in value.items()})
    if isinstance(value, list):
        return [_portable(item, shown) for item in value]
    if isinstance(value, str):
        for path, short in shown.items():
            value = value.replace(path, short)
    return value


def notebooks() -> Iterator[Path]:
    """Those of this directory, in their order."""
    yield from sorted(HERE.glob("*.ipynb"))


if __name__ == "__main__":
    for chosen in [Path(name) for name in sys.argv[1:]] or notebooks():
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
            nbformat.write(render(chosen, Path(place) / "home"), chosen)
        print(chosen.name)
