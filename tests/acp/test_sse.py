import itertools

import pytest

from session_widgets.acp import sse
from session_widgets.acp.sse import ServerSentEvent, SseParser
from session_widgets.errors import ProtocolError

STREAM = (
    b": heartbeat\n\nevent: message\nid: 1\ndata: {}\n\n"
    b"id:2\ndata:one\ndata: two\n\n\n: heartbeat\n\nevent: other\ndata: x\nretry: 3\n\nid: 3\n\ndata: cut"
)
EVENTS = [
    ServerSentEvent(b"1", b"message", b"{}"),
    ServerSentEvent(b"2", b"message", b"one\ntwo"),
    ServerSentEvent(None, b"other", b"x"),
]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_pieces_of_any_size_and_every_newline_give_the_same_events(newline: bytes, size: int):
    stream = STREAM.replace(b"\n", newline)
    parser = SseParser()
    events = [event for i in range(0, len(stream), size) for event in parser.feed(stream[i : i + size])]
    assert events == EVENTS


def test_every_single_cut_gives_the_same_events():
    for newline in (b"\n", b"\r\n"):
        stream = STREAM.replace(b"\n", newline)
        for cut in range(len(stream)):
            parser = SseParser()
            assert parser.feed(stream[:cut]) + parser.feed(stream[cut:]) == EVENTS


def test_an_event_is_complete_with_its_empty_line_and_not_before():
    parser = SseParser()
    assert parser.feed(b"id: 1\ndata: x\n") == []
    assert parser.feed(b"\n") == [ServerSentEvent(b"1", b"message", b"x")]


def test_a_line_of_20_mib_in_small_pieces():
    piece = b"y" * 16384
    parser = SseParser()
    stream = itertools.chain([b"id: 1\ndata: "], itertools.repeat(piece, 1280), [b"\n\n"])
    (event,) = (event for data in stream for event in parser.feed(data))
    del parser
    assert event.data == piece * 1280


def test_an_event_without_end_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1000)
    parser = SseParser()
    parser.feed(b"data: " + b"y" * 900)
    with pytest.raises(ProtocolError, match="more than 1,000 bytes"):
        parser.feed(b"y" * 200)
