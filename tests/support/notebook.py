"""A notebook open in JupyterLab, and the panel in it, as a person handles them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.support.jupyter_server import LabServer

CHROMIUM = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
"""Arguments of Chromium: no machine but this one."""

FIND = """() => {
  window.notebook = () => [...jupyterapp.shell.widgets("main")].find((one) => one.context && one.sessionContext);
  return Boolean(window.jupyterapp?.shell && window.notebook());
}"""

SETTLED = """async () => {
  const current = window.notebook();
  await jupyterapp.restored; await current.context.ready; await current.sessionContext.ready;
  const kernel = current.sessionContext.session.kernel; await kernel.info;
  const start = performance.now();
  while (kernel.status !== "idle" || kernel.connectionStatus !== "connected") {
    if (performance.now() - start > 30000) throw new Error(`the kernel is ${kernel.status}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}"""

BUSY = """(wanted) => {
  const kernel = window.notebook().sessionContext.session.kernel;
  return (kernel.status === "busy") === wanted;
}"""

OPEN_ALONE = """async (path) => {
  for (const one of [...jupyterapp.shell.widgets("main")]) one.dispose();
  await jupyterapp.commands.execute("docmanager:open", { path });
}"""

APPEND_AND_RUN = """async (source) => {
  const { content } = window.notebook();
  const cells = content.model.sharedModel;
  const place = cells.cells.length;
  cells.insertCell(place, { cell_type: "code", source, metadata: { trusted: true } });
  content.activeCellIndex = place;
  content.deselectAll();
  void jupyterapp.commands.execute("notebook:run-cell");
  return place;
}"""

KERNEL_SAYS = """async (code) => {
  const kernel = window.notebook().sessionContext.session.kernel;
  const future = kernel.requestExecute({ code, store_history: false });
  let said = "";
  future.onIOPub = ({ header, content }) => {
    if (header.msg_type === "stream") said += content.text;
    if (header.msg_type === "error") said += content.traceback.join("\\n");
  };
  await future.done;
  return said;
}"""

STDIN = "input.jp-Stdin-input"
_ENDED = re.compile(r"^\[\d+\]:$")


class Notebook:
    """One notebook and its kernel.

    Args:
        page: an empty page, or one of JupyterLab, in which nothing else stays open.
        kernel: name of the kernel.
        name: of the file, and of the session that `open_session` opens.
    """

    def __init__(self, page: Page, server: LabServer, kernel: str, name: str) -> None:
        self.page = page
        self.kernel = kernel
        self.id = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:100]
        self.file = Path(server.notebooks, f"{self.id}.ipynb")
        metadata = {"kernelspec": {"name": kernel, "display_name": kernel}}
        self.file.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": []}))
        if page.url.startswith(server.url):
            page.evaluate(OPEN_ALONE, self.file.name)
        else:
            page.goto(f"{server.url}/lab/tree/{self.file.name}?reset")
        self.settle()

    def settle(self) -> None:
        """Wait for the page and an idle kernel."""
        self.page.wait_for_function(FIND)
        self.page.evaluate(SETTLED)

    def begin(self, code: str) -> Locator:
        """Add a cell, run it, and return its output at once."""
        place = self.page.evaluate(APPEND_AND_RUN, code)
        return self.page.locator(f".jp-Notebook-cell[data-windowed-list-index='{place}']")

    def run(self, code: str) -> Locator:
        """Add a cell, run it to its end, and return it."""
        cell = self.begin(code)
        self.ended(cell)
        return cell

    def ended(self, cell: Locator) -> None:
        """Wait for the end of a cell."""
        expect(cell.locator(".jp-InputPrompt")).to_have_text(_ENDED, timeout=40_000)

    def open_session(self, *, shown: bool = True, **options: Any) -> Panel:
        """Open a session in a cell as `s`, and its panel."""
        arguments = "".join(f", {name}={value!r}" for name, value in options.items())
        self.run(f"import session_widgets as sw\ns = sw.open_session({self.id!r}{arguments})\n{'s' if shown else ''}")
        return Panel(self.page)

    def kernel_says(self, code: str) -> str:
        """Run code without a cell and return what it prints."""
        return str(self.page.evaluate(KERNEL_SAYS, code))

    def sources(self) -> list[str]:
        """What the cells hold."""
        read = "() => [...window.notebook().content.model.cells].map((cell) => cell.sharedModel.source)"
        return list(self.page.evaluate(read))

    def answer(self, text: str) -> None:
        """Type into the field that a blocked cell opened."""
        field = self.page.wait_for_selector(STDIN)
        field.fill(text)
        field.press("Enter")
        field.wait_for_element_state("hidden")

    def command(self, name: str) -> None:
        """Run a command of JupyterLab, as its menu does."""
        self.page.evaluate("async (name) => { await jupyterapp.commands.execute(name) }", name)

    def restart_kernel(self) -> None:
        """Restart as the menu does, dialog included."""
        self.page.evaluate("() => { window.restarted = jupyterapp.commands.execute('notebook:restart-kernel') }")
        self.page.locator(".jp-Dialog button.jp-mod-accept").click()
        self.page.evaluate("async () => { await window.restarted }")
        self.settle()

    def save_and_reload(self) -> None:
        """Save the notebook and reload the page."""
        self.command("docmanager:save")
        self.page.reload()
        self.settle()

    def saved(self) -> Any:
        """The notebook as it is on disk; texts of several lines are lists."""
        self.command("docmanager:save")
        return json.loads(self.file.read_text())

    def close(self) -> None:
        """End the kernel; a kernel outlives its page."""
        self.page.evaluate("async () => await window.notebook().sessionContext.shutdown()")


class Panel:
    """The panel of a session, wherever on the page it is.

    Args:
        within: the page, or the part of it that holds one panel.
    """

    def __init__(self, within: Page | Locator) -> None:
        self.root = within.locator(".sw").last
        self.composer = self.root.get_by_test_id("composer")
        self.transcript = self.root.get_by_role("log")
        self.status = self.root.locator(".sw-pane-chat .sw-status-words")
        self.stop = self.root.get_by_test_id("stop")
        self.asks = self.root.get_by_role("group", name="Permission request")
        self.turns = self.root.locator(".sw-turn")
        self.ends = self.root.locator(".sw-foot")
        self.preview = self.root.locator(".sw-preview")

    def prompt(self, text: str) -> None:
        """Type a prompt and send it."""
        self.composer.fill(text)
        self.composer.press("Enter")

    def button(self, kind: str) -> Locator:
        """The answer of an ACP kind, of the permission request that is open."""
        return self.asks.get_by_test_id(f"permission-{kind}")

    def file(self, path: str) -> Locator:
        """A file's line in the tree."""
        return self.root.locator(f".sw-node[data-path='{path}']")
