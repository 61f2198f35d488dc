"""The page's requests to the kernel, and the errors of invalid ones."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from session_widgets._sessions.launching import MissingRequirements
from session_widgets.widgets import Chat, FileBrowser, SessionPanel
from session_widgets.widgets._base import SessionWidget
from session_widgets.widgets._protocol import MAX_CHUNK
from tests.support.waiting import until
from tests.widgets.scripted import Scripted, text


class Asker:
    """Speaks to a widget as a page does, through its comm."""

    def __init__(self, widget: SessionWidget) -> None:
        self.widget = widget
        self.replies: dict[int, tuple[dict[str, Any], list[bytes]]] = {}
        self.messages: list[dict[str, Any]] = []
        self.number = 0
        widget.comm.publish_msg = self._take

    def _take(self, msg_type: str, data: Any = None, buffers: Any = None, **_: Any) -> None:
        if msg_type == "comm_msg" and data["method"] == "custom":
            content = data["content"]
            self.messages.append(content)
            if content["kind"] == "reply":
                self.replies[content["id"]] = (content, [bytes(b) for b in buffers or ()])

    def post(self, content: Any, *buffers: bytes) -> None:
        data = {"method": "custom", "content": content}
        self.widget.comm.handle_msg({"content": {"data": data}, "buffers": [memoryview(b) for b in buffers]})

    def begin(self, op: str, *buffers: bytes, **args: Any) -> int:
        self.number += 1
        self.post({"kind": "rpc", "view": "v", "id": self.number, "op": op, "args": args}, *buffers)
        return self.number

    def ask(self, op: str, *buffers: bytes, **args: Any) -> tuple[dict[str, Any], list[bytes]]:
        number = self.begin(op, *buffers, **args)
        return until(lambda: self.replies.get(number), what=f"an answer to {op}")

    def value(self, op: str, *buffers: bytes, **args: Any) -> Any:
        reply, _ = self.ask(op, *buffers, **args)
        assert reply["ok"], reply
        return reply["value"]

    def refusal(self, op: str, *buffers: bytes, **args: Any) -> str:
        reply, _ = self.ask(op, *buffers, **args)
        assert not reply["ok"], reply
        return f"{reply['error']['type']}: {reply['error']['message']}"


@pytest.fixture
def asker(session: Scripted):
    widget = SessionPanel(session)
    yield Asker(widget)
    widget.close()


@pytest.mark.parametrize("widget", [Chat, FileBrowser, SessionPanel])
def test_an_unknown_keyword_is_refused(session, widget):
    with pytest.raises(TypeError):
        widget(session, colour="red")


def test_only_named_operations_run(asker):
    for op in ("sql", "__init__", "_start", "exec", ""):
        assert "no operation" in asker.refusal(op)
    browser = Asker(FileBrowser(asker.widget._session))
    assert "no operation 'start'" in browser.refusal("start", prompt="hello")
    browser.widget.close()


def test_handlers_return_at_once_and_work_elsewhere(asker, session):
    gate = threading.Event()
    session.start = lambda prompt, **_: gate.wait(10) and None
    started = time.monotonic()
    number = asker.begin("start", prompt="hello")
    assert time.monotonic() - started < 0.5
    assert asker.value("list", path="")["entries"] == []
    assert number not in asker.replies
    gate.set()
    until(lambda: number in asker.replies)


def test_what_was_cancelled_is_not_answered(asker, session):
    gate = threading.Event()
    session.start = lambda prompt, **_: gate.wait(10) and None
    number = asker.begin("start", prompt="hello")
    asker.post({"kind": "cancel", "view": "v", "id": number})
    gate.set()
    asker.value("list", path="")
    until(lambda: not asker.widget._rpc._running)
    assert number not in asker.replies


def test_messages_of_no_known_shape_change_nothing(asker):
    for content in ({}, {"kind": "x"}, {"kind": "ack"}, {"kind": "hello"}, {"kind": "ping", "view": 1}):
        asker.post(content)
    asker.post({"kind": "rpc", "view": "v", "id": 900, "op": "list", "args": 3})
    reply, _ = until(lambda: asker.replies.get(900))
    assert "args must be an object" in reply["error"]["message"]
    assert asker.value("list", path="")["error"] is None


def test_a_prompt_starts_a_turn_and_an_empty_one_does_not(asker, session):
    assert asker.value("start", prompt="hello", key="k") == {"turn": 1}
    assert session.prompts == ["hello"]
    for prompt in ("", " \n", None, 3, ["x"]):
        assert "BadValue" in asker.refusal("start", prompt=prompt)
    assert "Put it in a file" in asker.refusal("start", prompt="x" * 1_048_577)


def test_a_permission_is_answered_by_request_and_option(asker, session):
    session.begin("hello")
    session.tool("t", title="Tool")
    session.ask(4, toolCallId="t")
    assert asker.value("answer", request="/9", option="once") == {"taken": False}
    assert asker.value("answer", request="/4", option="no") == {"taken": True}
    assert session.answers == [("/4", "no")]


def test_the_whole_of_a_long_text_comes_in_pieces(asker, session):
    asker.post({"kind": "hello", "view": "v"})
    session.begin("hello")
    session.tool("t", title="Tool", content=[text("é" * 600_000)])
    whole = ""
    while True:
        piece = asker.value("text", turn=1, index=1, part="blocks.0", offset=len(whole))
        whole += piece["text"]
        if len(whole) == piece["length"]:
            break
        assert len(piece["text"]) <= 256 * 1024
    assert whole == "é" * 600_000


def test_a_listing_has_folders_first_and_says_what_it_leaves_out(asker, tmp_path: Path):
    (tmp_path / "zoo").mkdir()
    for number in range(1200):
        (tmp_path / f"file{number}").write_bytes(b"")
    listing = asker.value("list", path="")
    assert [listing["entries"][0]["name"], len(listing["entries"]), listing["more"]] == ["zoo", 1000, 201]
    assert "no directory" in asker.value("list", path="nothing")["error"]


def test_open_folders_follow_the_agent_without_being_asked(asker, session, tmp_path: Path):
    asker.post({"kind": "hello", "view": "v"})
    (tmp_path / "src").mkdir()
    asker.value("list", path="src")
    (tmp_path / "src" / "new.py").write_text("x")
    session.begin("hello")
    session.tool("t", title="Write", status="completed")

    def told() -> bool:
        items = [item for message in asker.messages for item in message.get("items", ())]
        listings = [item for item in items if item["type"] == "listing" and item["path"] == "src"]
        return bool(listings) and [entry["name"] for entry in listings[-1]["entries"]] == ["new.py"]

    until(told, what="the new file")


def test_a_bucket_is_listed_while_the_session_is_at_rest(session, tmp_path: Path):
    (tmp_path / "notes.md").write_text("x")
    (tmp_path / ".session-widgets").mkdir()
    session.status, session.attachment = "parked", "sync"
    widget = FileBrowser(session)
    asker = Asker(widget)
    asker.post({"kind": "hello", "view": "v"})

    def told() -> list[str]:
        items = [
            item for message in asker.messages for item in (*message.get("items", ()), *message.get("listings", ()))
        ]
        return [entry["name"] for item in items if item["type"] == "listing" for entry in item["entries"]][:2]

    until(lambda: told() == ["notes.md", ".session-widgets"], what="the listing, plumbing last")
    session.status = "detached"
    session.files.list = lambda path="": pytest.fail("looked")
    session.end()
    until(lambda: not widget._workspace._dirty.is_set())
    widget.close()


def test_a_file_is_read_in_chunks_of_at_most_four_megabytes(asker, tmp_path: Path):
    data = os.urandom(MAX_CHUNK + 1000)
    (tmp_path / "big").write_bytes(data)
    read, offset = b"", 0
    while offset < len(data):
        reply, buffers = asker.ask("read", path="big", offset=offset, length=MAX_CHUNK)
        assert reply["value"]["size"] == len(data)
        read, offset = read + buffers[0], offset + len(buffers[0])
    assert read == data
    assert "LimitExceeded" in asker.refusal("read", path="big", length=MAX_CHUNK + 1)
    assert "LimitExceeded" in asker.refusal("read", path="big", offset=-1)
    assert "NotFound" in asker.refusal("read", path="nothing")
    (tmp_path / "folder").mkdir()
    assert "not a file" in asker.refusal("read", path="folder")


def test_an_upload_arrives_whole_or_not_at_all(asker, tmp_path: Path):
    asker.value("upload", b"abc", path="up.txt", upload="u1", offset=0, last=False)
    assert not (tmp_path / "up.txt").exists()
    assert "a part of it is missing" in asker.refusal("upload", b"x", path="up.txt", upload="u1", offset=99, last=True)
    asker.value("upload", b"def", path="up.txt", upload="u1", offset=3, last=True)
    assert (tmp_path / "up.txt").read_bytes() == b"abcdef"
    assert "not known" in asker.refusal("upload", b"x", path="up.txt", upload="u1", offset=6, last=True)
    asker.value("upload", path="empty", upload="u2", offset=0, last=True)
    assert (tmp_path / "empty").read_bytes() == b""
    assert "LimitExceeded" in asker.refusal("upload", bytes(MAX_CHUNK + 1), path="x", upload="u3", offset=0)


def test_an_upload_that_never_ends_leaves_nothing_behind(session, tmp_path: Path):
    asker = Asker(FileBrowser(session))
    asker.value("upload", b"abc", path="up.txt", upload="u1", offset=0, last=False)
    [part] = asker.widget._workspace._uploads.values()
    assert part.exists()
    asker.widget.close()
    assert not part.exists()


def test_delete_asks_the_workspace(asker, tmp_path: Path):
    (tmp_path / "a").write_text("x")
    (tmp_path / "d").mkdir()
    asker.value("delete", path="a")
    asker.value("delete", path="d", recursive=True)
    assert list(tmp_path.iterdir()) == []


def test_whether_clicks_arrive_during_cells_is_noted(asker, session):
    asker.post({"kind": "ping", "view": "v"})
    assert session.control.page.heard
    assert session.control.page.heard_apart is False
    thread = threading.Thread(target=asker.post, args=({"kind": "ping", "view": "v"},))
    thread.start()
    thread.join()
    assert session.control.page.heard_apart is True
    asker.widget.comm._reply_subshell_for = lambda data, default: default
    thread = threading.Thread(target=asker.post, args=({"kind": "ping", "view": "v"},))
    thread.start()
    thread.join()
    assert session.control.page.heard_apart is False


def test_only_settings_can_be_chosen(asker, session):
    for args in ({}, {"name": "title", "value": "x"}, {"name": "mode"}, {"name": ["mode"], "value": "x"}):
        assert "no setting" in asker.refusal("choose", **args)
    assert session.chosen == []
    asker.value("choose", name="effort", value="high")
    assert session.chosen == [("effort", "high")]


def test_what_a_harness_lacks_is_looked_at_again_when_a_page_pings(asker, session):
    asker.post({"kind": "hello", "view": "v"})
    missing = [m["session"]["missing"] for m in asker.messages if m["kind"] == "snapshot"]
    assert set(missing) == {None}
    session.control.missing = MissingRequirements(keys=("SOME_KEY",))
    asker.post({"kind": "ping", "view": "v"})

    def told():
        batches = [message for message in asker.messages if message["kind"] == "batch"]
        return [item["session"]["missing"] for batch in batches for item in batch["items"] if item["type"] == "session"]

    assert until(told)[-1] == {"install": False, "keys": ["SOME_KEY"]}
