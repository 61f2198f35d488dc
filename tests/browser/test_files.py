"""Files go in and out through the page, and every view of a panel shows the same."""

from __future__ import annotations

import hashlib
import random

import pytest
from playwright.sync_api import expect

from tests.support.notebook import Panel

pytestmark = pytest.mark.needs("chromium", "kernels")
SIZE = 6 * 1024 * 1024  # more than one message carries


def test_a_large_file_is_uploaded_and_downloaded(notebook, tmp_path):
    panel = notebook.open_session()
    data = random.Random(1).randbytes(SIZE)
    (tmp_path / "data.bin").write_bytes(data)
    with notebook.page.expect_file_chooser() as chooser:
        panel.root.get_by_role("button", name="Upload files").click()
    chooser.value.set_files(tmp_path / "data.bin")
    panel.file("data.bin").click(timeout=30_000)
    expect(panel.preview).to_contain_text("not text")
    held = notebook.kernel_says("import hashlib; print(hashlib.sha256(s.files.read_bytes('data.bin')).hexdigest())")
    assert held.strip() == hashlib.sha256(data).hexdigest()
    with notebook.page.expect_download() as download:
        panel.preview.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "data.bin"
    assert download.value.path().read_bytes() == data


def test_two_views_show_the_same(notebook):
    first = notebook.open_session()
    notebook.command("notebook:create-output-view")
    views = notebook.page.locator(".jp-LinkedOutputView, .jp-MainAreaWidget:has(.jp-LinkedOutputView)").first
    second = Panel(views)
    first = Panel(notebook.page.locator(".jp-Notebook"))
    expect(second.status).to_have_text("Ready")
    first.prompt("say begun\nwrite a.txt <<EOT\ntext of a\nEOT")
    expect(second.transcript).to_contain_text("begun")
    second.button("allow_once").click()
    for view in (first, second):
        expect(view.ends).to_contain_text("Done")
        expect(view.asks).to_have_count(0)
        expect(view.file("a.txt")).to_be_visible()
    second.prompt("say from the second")
    for view in (first, second):
        expect(view.ends).to_have_count(2)
    assert first.transcript.inner_text() == second.transcript.inner_text()
