"""A notebook that is opened again without its kernel, and one that is exported."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.needs("chromium", "kernels")
SHUTDOWN = "async () => await window.notebook().sessionContext.shutdown()"


def test_the_saved_view_stands_alone(notebook):
    from nbconvert import HTMLExporter, MarkdownExporter  # slower to load than all the rest

    notebook.open_session()
    notebook.run("turn = s.send('say An answer that is kept')")
    view = notebook.page.locator("[data-sw-for]")
    expect(view).to_be_hidden()
    notebook.command("docmanager:save")
    notebook.page.evaluate(SHUTDOWN)
    notebook.page.reload()
    notebook.settle()
    error = notebook.page.get_by_text("Error displaying widget")
    error.wait_for(state="attached")
    expect(error).to_be_hidden()
    expect(view).to_be_visible()
    expect(view).to_contain_text("An answer that is kept")
    for exporter in (HTMLExporter(), MarkdownExporter()):
        text, _ = exporter.from_filename(str(notebook.file))
        assert "An answer that is kept" in text
        assert "object at 0x" not in text
        assert "SessionPanel" not in text
