"""A page without Jupyter: a real widget, its real bundle, a real browser, and this between them.

The widget's messages wait in a queue until the test lets them through, so that a test can also lose some.
"""

from __future__ import annotations

import base64
import json
import queue
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from session_widgets.widgets._base import SessionWidget

if TYPE_CHECKING:
    from playwright.sync_api import Page

MODEL = """
async ([source, css, state]) => {
  const style = document.createElement("style"); style.textContent = css; document.head.append(style);
  const listeners = new Map();
  const fire = (name, ...args) => [...(listeners.get(name) ?? [])].forEach((f) => f(...args));
  const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  const text = (buffer) => {
    const all = new Uint8Array(buffer);
    const part = (_, i) => String.fromCharCode(...all.subarray(i * 8192, (i + 1) * 8192));
    return btoa(Array.from({ length: Math.ceil(all.length / 8192) }, part).join(""));
  };
  const model = {
    dead: false,
    get: (name) => state[name],
    set(name, value) { if (state[name] !== value) { state[name] = value; fire(`change:${name}`); } },
    save_changes() { kernelTraits(JSON.stringify(state)); },
    on(name, f) { listeners.set(name, [...(listeners.get(name) ?? []), f]); },
    off(name, f) { listeners.set(name, (listeners.get(name) ?? []).filter((g) => g !== f)); },
    send(content, _, buffers = []) {
      if (model.dead) throw new Error("Cannot send");
      kernelReceive(JSON.stringify([content, buffers.map(text)]));
    },
    deliver: (items) => { for (const [content, buffers] of items) fire("msg:custom", content, buffers.map(bytes)); },
  };
  window.model = model;
  const module = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  window.widget = module.default();
  window.dispose = await widget.initialize({ model });
  window.cleanups = [];
  window.show = async (selector) => cleanups.push(await widget.render({ model, el: document.querySelector(selector) }));
  await show("#view");
}
"""


class Bench:
    """One widget on one page.

    Args:
        width: of the cell, in pixels.
        url: of the page; "about:blank" shares its origin with nothing.
    """

    def __init__(
        self, page: Page, widget: SessionWidget, *, width: int = 1000, body: str = "", url: str = "about:blank"
    ) -> None:
        self.page = page
        self.widget = widget
        self.sent: queue.SimpleQueue[tuple[Any, list[str]]] = queue.SimpleQueue()
        self.errors: list[str] = []
        self.held = False
        widget.comm.publish_msg = self._from_kernel
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        page.expose_function("kernelReceive", self._from_page)
        page.expose_function("kernelTraits", self._traits)
        page.goto(url)
        page.set_content(f"<!doctype html><body {body} style='margin:12px'><div id=view style='width:{width}px'></div>")
        state = {name: getattr(widget, name) for name in widget.keys if not name.startswith("_")}
        state = {name: value for name, value in state.items() if isinstance(value, str | float)}
        page.evaluate(MODEL, [str(widget._esm), str(widget._css), state])

    def _from_kernel(self, msg_type: str, data: Any = None, buffers: Any = None, **_: Any) -> None:
        if msg_type == "comm_msg" and data["method"] == "custom":
            content = json.loads(json.dumps(data["content"]))
            self.sent.put((content, [base64.b64encode(b).decode() for b in buffers or ()]))

    def _from_page(self, message: str) -> None:
        content, buffers = json.loads(message)
        data = {"method": "custom", "content": content}
        buffers = [memoryview(base64.b64decode(b)) for b in buffers]
        self.widget.comm.handle_msg({"content": {"data": data}, "buffers": buffers})

    def _traits(self, state: str) -> None:
        data = {"method": "update", "state": json.loads(state), "buffer_paths": []}
        self.widget.comm.handle_msg({"content": {"data": data}, "buffers": []})

    def pump(self) -> int:
        """Deliver what the kernel has sent so far; returns how many messages."""
        items = []
        while not self.held and not self.sent.empty():
            items.append(self.sent.get())
        if items:
            self.page.evaluate("(items) => model.deliver(items)", items)
        self.page.wait_for_timeout(15)
        return len(items)

    def drop(self) -> int:
        """Lose what the kernel has sent so far."""
        lost = 0
        while not self.sent.empty():
            self.sent.get()
            lost += 1
        return lost

    def until(self, probe: Callable[[], Any], *, seconds: float = 10, what: str = "the page") -> Any:
        """Deliver messages until `probe` gives something true; fail after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            self.pump()
            if value := probe():
                return value
            assert time.monotonic() < deadline, f"{what} did not come; the page says: {self.words()[-600:]!r}"

    def sees(self, text: str, *, seconds: float = 10) -> None:
        """Wait until the page shows `text`."""
        self.until(lambda: text in self.words(), seconds=seconds, what=repr(text))

    def words(self) -> str:
        """All words on the page, folded away or not painted left out."""
        return str(self.page.inner_text("#view"))
