"""The first half hour of a person, from the first prompt to a kernel that was restarted."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.needs("chromium", "kernels")
WORK = "say Let me write it\nwrite hello.py <<EOT\nprint('hi there')\nEOT\nrun python3 hello.py"


def test_a_session_from_the_first_prompt_to_a_restarted_kernel(notebook):
    panel = notebook.open_session()
    expect(panel.status).to_have_text("Ready")
    expect(panel.root).to_contain_text("No files yet")

    panel.prompt(WORK)
    expect(panel.transcript).to_contain_text("Let me write it")
    expect(panel.status).to_have_text("Waiting for your permission")
    expect(panel.asks).to_contain_text("print('hi there')")
    panel.button("allow_once").click()
    expect(panel.file("hello.py")).to_be_visible()
    expect(panel.asks).to_contain_text("python3 hello.py")
    panel.button("allow_once").click()
    expect(panel.ends).to_contain_text("Done")
    expect(panel.transcript).to_contain_text("hi there")

    panel.file("hello.py").click()
    expect(panel.preview).to_contain_text("print('hi there')")

    said = panel.transcript.inner_text()
    notebook.save_and_reload()
    expect(panel.ends).to_contain_text("Done")
    expect(panel.preview).to_contain_text("print('hi there')")
    assert panel.transcript.inner_text() == said

    notebook.restart_kernel()
    panel.root.get_by_role("button", name="Refresh").click()
    expect(panel.root.locator(".sw-gone")).to_contain_text("The kernel is gone")

    panel = notebook.open_session()
    expect(panel.ends).to_contain_text("Done")
    expect(panel.transcript).to_contain_text("Let me write it")
    panel.prompt("remember")
    expect(panel.transcript).to_contain_text("1 earlier turn")
    expect(panel.status).to_have_text("Ready")
