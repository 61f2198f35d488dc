"""The bases of all widgets: named operations and a snapshot for saved notebooks; for one session, also a stream."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets
from IPython.display import display, update_display

from session_widgets.transcript.notes import TurnEnded
from session_widgets.transcript.records import Event
from session_widgets.widgets._conversation import Conversation
from session_widgets.widgets._rpc import Buffers, Operation, Rpc, serve
from session_widgets.widgets._static_html import static_html
from session_widgets.widgets._stream import Stream
from session_widgets.widgets._workspace import Workspace

if TYPE_CHECKING:
    from session_widgets._sessions import Session

STATIC = Path(__file__).parent.parent / "static"


class PageWidget(anywidget.AnyWidget):
    """A widget whose pages say hello and request named operations.

    Handlers may be called on any thread, and not at all while a cell runs: they only start work. Subclasses set what
    `_operations` needs before they call `__init__`.
    """

    snapshot_id = traitlets.Unicode().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(snapshot_id=uuid.uuid4().hex, **traits)
        self._shown = False
        self._rpc = Rpc(self._operations(), self.send)
        self.on_msg(self._receive)

    def close(self) -> None:
        """Stop following what it shows; the page keeps its content."""
        if "_rpc" in self.__dict__:  # ipywidgets closes collected widgets, even if __init__ refused its arguments
            self._end()
        super().close()

    def _operations(self) -> dict[str, Operation]:
        """Return what a page can request, by name."""
        raise NotImplementedError

    def _hello(self, view: str) -> None:
        """Send the current state to a page that has opened."""
        raise NotImplementedError

    def _look(self) -> None:
        """Send what has changed without an event; runs on the pool."""

    def _end(self) -> None:
        """Follow nothing any more."""

    def _begin(self) -> None:
        """Prepare what is shown."""

    def _static(self) -> dict[str, str]:
        """Return the snapshot for saved notebooks, by MIME type."""
        raise NotImplementedError

    def _receive(self, _: Any, content: Mapping[str, Any], buffers: Buffers) -> None:
        serve(content, buffers, self._rpc, self._hello, self._look)

    def _ipython_display_(self) -> None:
        """Show the widget, with the static snapshot that the live widget hides."""
        self._begin()
        bundle = self._repr_mimebundle_()
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        silent = (data or {}) | {"text/plain": ""}  # an export without the widget would print it
        display(silent, metadata=metadata, raw=True)
        display(self._static(), raw=True, display_id=self.snapshot_id)
        self._shown = True

    def _renew_static(self) -> None:
        """Draw the snapshot for saved notebooks again, if it is shown."""
        if self._shown:
            update_display(self._static(), raw=True, display_id=self.snapshot_id)


class SessionWidget(PageWidget):
    """A view of one session. Subclasses choose the conversation, the files, or both."""

    conversation: bool = True
    files: bool = True

    session_id = traitlets.Unicode().tag(sync=True)

    def __init__(self, session: Session) -> None:
        self._session = session
        self._stream = Stream(session, self.send, session.control, watch=self._on_events, transcript=self.conversation)
        self._workspace = Workspace(session, self._stream.push, lambda: self._stream.running)
        super().__init__(session_id=session.id)

    def _operations(self) -> dict[str, Operation]:
        operations: dict[str, Operation] = {}
        if self.conversation:
            operations |= Conversation(self._session, self._stream).operations()
        if self.files:
            operations |= self._workspace.operations()
        return operations

    def _begin(self) -> None:
        self._stream.open()
        if self.files:
            self._workspace.open()

    def _end(self) -> None:
        self._stream.close()
        self._workspace.close()

    def _hello(self, view: str) -> None:
        self._begin()
        self._stream.hello(view)

    def _look(self) -> None:
        self._stream.look_again()

    def _receive(self, _: Any, content: Mapping[str, Any], buffers: Buffers) -> None:
        if self.conversation:
            page = self._session.control.page
            page.heard, page.heard_apart = True, self._hears_during_cells()
        if content.get("kind") == "ack":
            self._stream.ack(int(content.get("n", 0)))
        else:
            super()._receive(_, content, buffers)

    def _hears_during_cells(self) -> bool:
        """Whether a click reaches Python while a cell blocks: ipykernel 7.1 to 7.3 deliver it on a separate thread.

        7.4 may do so for one message and not the next: it uses the thread that last published on this comm.
        """
        apart = threading.current_thread() is not threading.main_thread()
        return apart and not hasattr(self.comm, "_reply_subshell_for")

    def _on_events(self, events: list[Event]) -> None:
        self._workspace.watch(events)
        if any(event.kind == TurnEnded.kind for event in events):
            self._renew_static()

    def _static(self) -> dict[str, str]:
        session = self._session
        where = (session.harness, session.sandbox, "as of the last save")
        html = static_html(session.title or session.id, where, self._stream.steps(), self.snapshot_id)
        return {"text/html": html, "text/plain": f"Session {session.id}"}
