"""The common base of all widgets: a session, a stream, named operations, and a snapshot for saved notebooks."""

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
from session_widgets.widgets._rpc import Buffers, Operation, Rpc, pool
from session_widgets.widgets._static_html import static_html
from session_widgets.widgets._stream import Stream
from session_widgets.widgets._workspace import Workspace

if TYPE_CHECKING:
    from session_widgets._sessions import Session

STATIC = Path(__file__).parent.parent / "static"


class SessionWidget(anywidget.AnyWidget):
    """A view of one session. Subclasses choose the conversation, the files, or both.

    Handlers may be called on any thread, and not at all while a cell runs: they only start work.
    """

    conversation: bool = True
    files: bool = True

    session_id = traitlets.Unicode().tag(sync=True)
    snapshot_id = traitlets.Unicode().tag(sync=True)

    def __init__(self, session: Session) -> None:
        super().__init__(session_id=session.id, snapshot_id=uuid.uuid4().hex)
        self._session = session
        self._shown = False
        self._stream = Stream(session, self.send, session.control, watch=self._on_events, transcript=self.conversation)
        self._workspace = Workspace(session, self._stream.push, lambda: self._stream.running)
        self._rpc = Rpc(self._operations(), self.send)
        self.on_msg(self._receive)

    def close(self) -> None:
        """Disconnect from the session; the page keeps its content."""
        if "_rpc" in self.__dict__:  # ipywidgets closes collected widgets, even if __init__ refused its arguments
            self._stream.close()
            self._workspace.close()
        super().close()

    def _operations(self) -> dict[str, Operation]:
        operations: dict[str, Operation] = {}
        if self.conversation:
            operations |= Conversation(self._session, self._stream).operations()
        if self.files:
            operations |= self._workspace.operations()
        return operations

    def _open(self) -> None:
        self._stream.open()
        if self.files:
            self._workspace.open()

    def _receive(self, _: Any, content: Mapping[str, Any], buffers: Buffers) -> None:
        if self.conversation:
            page = self._session.control.page
            page.heard, page.heard_apart = True, self._hears_during_cells()
        match content.get("kind"):
            case "hello":
                self._open()
                self._stream.hello(str(content.get("view")))
            case "ack":
                self._stream.ack(int(content.get("n", 0)))
            case "ping":
                pool().submit(self._stream.look_again)
            case "rpc":
                self._rpc.call(content, buffers)
            case "cancel":
                self._rpc.cancel(content)

    def _hears_during_cells(self) -> bool:
        """Whether a click reaches Python while a cell blocks: ipykernel 7.1 to 7.3 deliver it on a separate thread.

        7.4 may do so for one message and not the next: it uses the thread that last published on this comm.
        """
        apart = threading.current_thread() is not threading.main_thread()
        return apart and not hasattr(self.comm, "_reply_subshell_for")

    def _on_events(self, events: list[Event]) -> None:
        self._workspace.watch(events)
        if self._shown and any(event.kind == TurnEnded.kind for event in events):
            update_display(self._static(), raw=True, display_id=self.snapshot_id)

    def _ipython_display_(self) -> None:
        """Show the widget, with the static snapshot that the live widget hides."""
        self._open()
        bundle = self._repr_mimebundle_()
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        silent = (data or {}) | {"text/plain": ""}  # an export without the widget would print it
        display(silent, metadata=metadata, raw=True)
        display(self._static(), raw=True, display_id=self.snapshot_id)
        self._shown = True

    def _static(self) -> dict[str, str]:
        session = self._session
        where = (session.harness, session.sandbox, "as of the last save")
        html = static_html(session.title or session.id, where, self._stream.steps(), self.snapshot_id)
        return {"text/html": html, "text/plain": f"Session {session.id}"}
