"""Agent text, names and output are hostile; text that a person types stays in the composer."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.needs("chromium", "kernels")
RUNS = "window.ran = (window.ran ?? 0) + 1"
HOSTILE = [
    f"say <script>{RUNS}</script><img src=x onerror='{RUNS}'><iframe srcdoc='<script>parent.{RUNS}</script>'></iframe>",
    f"say [click](javascript:{RUNS.replace(' ', '')}) ![tracker](https://tracker.example/pixel.png)",
    f"say <svg onload='{RUNS}'><style>@import url(https://tracker.example/a.css)</style>",
    "say invoice\u202egnp.exe \u2066hidden\u2069",
    f"think <img src=https://tracker.example/b onerror='{RUNS}'>",
    f"plan <img src=x onerror='{RUNS}'>; second",
    f"write <img src=x onerror='{RUNS}'>.html <<EOT\n<script>{RUNS}</script>\nEOT",
    f"run printf '\\033[31mred\\033[0m \\033]0;title\\007 <img src=x onerror=\"{RUNS}\"> \\033[2J'",
]


def test_nothing_that_an_agent_says_runs(notebook):
    panel = notebook.open_session(permissions="allow_all", title=f"<img src=x onerror='{RUNS}'>")
    prompt = "\n".join(HOSTILE)
    notebook.run(f"turn = s.send({prompt!r})")
    expect(panel.ends).to_contain_text("Done")
    for head in panel.root.locator(".sw-thought-head, .sw-tool-head[aria-expanded=false]").all():
        head.click()
    expect(panel.transcript).to_contain_text("red")
    expect(panel.transcript).to_contain_text("<script>")
    expect(panel.transcript).not_to_contain_text(re.compile("[\u202a-\u202e\u2066-\u2069\x1b\x07]"))
    panel.root.locator(".sw-node", has_text=".html").click()
    expect(panel.preview).to_contain_text("<script>")
    for link in panel.transcript.get_by_text("click", exact=True).all():
        link.click()
    assert notebook.page.evaluate("window.ran") is None
    assert panel.root.locator("script, iframe, object, embed, [onerror], [onload]").count() == 0
    assert notebook.page.title().endswith("JupyterLab")


def test_a_line_of_5_mb_leaves_the_page_alive(notebook):
    panel = notebook.open_session(permissions="allow_all")
    notebook.run("turn = s.send('say ' + 'x' * 5_000_000)")
    assert notebook.kernel_says("print(len(turn.text))").strip() == "5000000"
    message = panel.root.locator(".sw-message")
    expect(message).to_contain_text("4.9M of 5.0M characters left")
    started = time.monotonic()
    panel.composer.press_sequentially("still alive")
    expect(panel.composer).to_have_value("still alive")
    assert time.monotonic() - started < 5
    message.get_by_role("button", name="Show more").click()
    expect(message).to_contain_text("4.7M of 5.0M characters left")


def test_keys_in_the_panel_never_reach_the_notebook(notebook):
    panel = notebook.open_session(permissions="allow_all")
    notebook.run("s.send('write a.txt <<EOT\\nx\\nEOT')")
    before = notebook.sources()
    for place in (panel.composer, panel.transcript, panel.file("a.txt")):
        place.focus()
        notebook.page.keyboard.type("ddabxzmy00")
        notebook.page.keyboard.press("Control+a")
        notebook.page.keyboard.press("Escape")
    expect(panel.composer).to_have_value("ddabxzmy00")
    panel.composer.fill("say typed")
    panel.composer.press("Shift+Enter")
    panel.composer.press("Enter")
    expect(panel.ends).to_have_count(2)
    assert notebook.sources() == before
