"""The stream of a widget: messages, sizes, pace, and recovery of a page that missed a batch."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from session_widgets.widgets._protocol import MAX_BYTES, MAX_ITEMS
from session_widgets.widgets._stream import Stream
from session_widgets.widgets._views import CLIP
from tests.support.waiting import until
from tests.widgets.scripted import Scripted


class Pages:
    """Everything that the kernel sent, and when."""

    def __init__(self, session: Scripted, **options: Any) -> None:
        self.messages: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.stream = Stream(session, self._take, session.control, **options)
        self.stream.open()

    def _take(self, message: Any) -> None:
        self.messages.append(json.loads(json.dumps(message)))
        self.times.append(time.monotonic())

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["kind"] == kind]

    def items(self) -> list[dict[str, Any]]:
        return [item for batch in self.of("batch") for item in batch["items"]]

    def text(self, turn: int, index: int) -> str:
        """What a page that draws every message in order has of a step."""
        text = ""
        for message in self.messages:
            if message["kind"] == "snapshot":
                steps = message["page"]["steps"]
                text = next((s["body"]["text"] for s in steps if (s["turn"], s["index"]) == (turn, index)), "")
                continue
            for item in message["items"]:
                if item["type"] == "step" and (item["step"]["turn"], item["step"]["index"]) == (turn, index):
                    text = item["step"]["body"]["text"]
                elif item["type"] == "append" and (item["turn"], item["index"]) == (turn, index):
                    text += item["text"]
        return text


@pytest.fixture
def pages(session: Scripted):
    pages = Pages(session)
    yield pages
    pages.stream.close()


def test_a_page_gets_the_state_and_then_every_change_in_order(session, pages):
    session.begin("hello")
    session.say("one ")
    pages.stream.hello("a")
    assert pages.of("snapshot")[-1]["view"] == "a"
    for word in ("two ", "three ", "four"):
        session.say(word)
    until(lambda: pages.text(1, 1) == "one two three four")
    numbers = [batch["n"] for batch in pages.of("batch")]
    assert numbers == list(range(pages.of("snapshot")[-1]["n"] + 1, numbers[-1] + 1))


def test_before_a_page_says_hello_everything_is_a_snapshot(session, pages):
    session.begin("hello")
    session.say("words")
    until(lambda: pages.text(1, 1) == "words")
    assert pages.of("batch") == []
    assert all(message["view"] is None for message in pages.messages)


def test_a_snapshot_and_the_batches_after_it_never_say_the_same_twice(session, pages):
    session.begin("hello")
    pages.stream.hello("a")
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            pages.stream.hello("a")
            pages.stream.ack(10**9)
            time.sleep(0.003)

    thread = threading.Thread(target=ask)
    thread.start()
    for number in range(400):
        session.say(f"{number} ")
    stop.set()
    thread.join()
    whole = "".join(f"{number} " for number in range(400))
    until(lambda: pages.text(1, 1) == whole)


def test_batches_stay_within_items_bytes_and_rate(session, pages):
    session.begin("hello")
    pages.stream.hello("a")
    started = time.monotonic()
    for number in range(300):
        session.tool(f"t{number}", title="x" * 900, status="completed")
        session.say("y" * 500)
        pages.stream.ack(10**9)
    until(lambda: session.events[-1].seq and pages.text(1, 600) == "y" * 500, what="the last step")
    for message in pages.messages:
        assert len(json.dumps(message, ensure_ascii=False).encode()) <= MAX_BYTES * 1.1
        assert len(message.get("items", ())) <= MAX_ITEMS
    assert len(pages.messages) / (pages.times[-1] - started) < 300


def test_a_page_that_is_far_behind_gets_a_new_start_instead_of_every_change(session, pages):
    session.begin("hello")
    pages.stream.hello("a")
    before = len(pages.messages)
    with pages.stream._lock:
        for number in range(3000):
            session.tool(f"t{number}", title="tool", status="completed")
    until(lambda: any(message.get("reset") for message in pages.messages[before:]))
    assert len(pages.messages) - before < 10


def test_the_stream_to_a_blocked_kernel_slows_down_but_continues(session, pages):
    session.begin("hello")
    session.say("0 ")
    pages.stream.hello("a")
    first = len(pages.messages)
    deadline = time.monotonic() + 4.2
    number = 0
    while time.monotonic() < deadline:
        number += 1
        session.say(f"{number} ")
        time.sleep(0.005)
    sent = pages.messages[first:]
    assert 20 < len(sent) < 16 + 4.2 / 0.1 + 20, "full speed for the window, a tenth of a second after it"
    assert any(message["kind"] == "snapshot" and not message["reset"] for message in sent), "a key frame for late pages"
    until(lambda: pages.text(1, 1).endswith(f" {number} "))


def test_fifty_thousand_chunks_arrive_whole_and_cost_few_messages(session, pages):
    session.begin("stream")
    pages.stream.hello("a")
    for _ in range(100):
        session.say("c", count=500)
        pages.stream.ack(10**9)
    until(lambda: pages.text(1, 1) == "c" * 50_000, seconds=20, what="the last chunk")
    assert len(pages.messages) < 300


def test_a_long_text_is_clipped_on_the_wire_and_counted(session, pages):
    session.begin("hello")
    session.say("x" * 5_000_000)
    pages.stream.hello("a")
    body = pages.of("snapshot")[-1]["page"]["steps"][-1]["body"]
    assert (len(body["text"]), body["length"]) == (CLIP, 5_000_000)
    session.say("yyy")
    until(lambda: pages.items())
    appended = [item for item in pages.items() if item["type"] == "append"]
    assert [(item["text"], item["length"]) for item in appended] == [("", 5_000_003)]


def test_history_comes_in_ranges_without_holes(session, pages):
    for turn in range(40):
        session.begin(f"prompt {turn}")
        for number in range(20):
            session.tool(f"{turn}.{number}", title="t" * 200, status="completed")
        session.end()
    pages.stream.hello("b")
    snapshot = pages.of("snapshot")[-1]
    assert snapshot["counts"] == [number for turn in range(1, 41) for number in (turn, 21)]
    newest = [(step["turn"], step["index"]) for step in snapshot["page"]["steps"]]
    assert newest[-1] == (40, 20)
    seen: list[tuple[int, int]] = []
    begin = (1, 0)
    while begin < newest[0]:
        page = pages.stream.between(begin, (newest[0][0], newest[0][1] - 1))
        assert len(json.dumps(page).encode()) <= MAX_BYTES
        assert {turn["turn"] for turn in page["turns"]} == {step["turn"] for step in page["steps"]}
        seen += [(step["turn"], step["index"]) for step in page["steps"]]
        turn, index = seen[-1]
        begin = (turn, index + 1) if index < 20 else (turn + 1, 0)
    assert seen + newest == [(turn, index) for turn in range(1, 41) for index in range(21)]
    middle = pages.stream.between((20, 19), (21, 1))
    assert [(step["turn"], step["index"]) for step in middle["steps"]] == [(20, 19), (20, 20), (21, 0), (21, 1)]


def test_a_file_browser_gets_no_transcript(session):
    pages = Pages(session, transcript=False)
    session.begin("hello")
    session.say("words")
    pages.stream.hello("a")
    assert pages.of("snapshot")[-1]["page"]["steps"] == pages.of("snapshot")[-1]["counts"] == []
    pages.stream.close()


def test_a_closed_stream_is_silent_and_leaves_no_thread(session):
    pages = Pages(session)
    pages.stream.hello("a")
    pages.stream.close()
    count = len(pages.messages)
    session.begin("hello")
    until(lambda: not any(thread.name == "widget-scripted" and thread.is_alive() for thread in threading.enumerate()))
    assert len(pages.messages) == count


def test_a_new_kernel_sends_a_request_that_nests_deep_and_all_around_it(session):
    value: list[Any] = ["the end"]
    for _ in range(1000):
        value = [value]
    session.begin("hello")
    session.say("before")
    session.ask(1, toolCallId="t", rawInput={"deep": value})
    session.say("after")
    pages = Pages(session)  # nothing of an earlier widget is known to it
    pages.stream.hello("a")
    steps = pages.of("snapshot")[-1]["page"]["steps"]
    assert [step["kind"] for step in steps] == ["user", "message", "tool_call", "message"]
    assert steps[2]["tool"]["permission"]["request"] == "/1"
    assert steps[2]["tool"]["input"]["length"] > 1000
    pages.stream.close()
