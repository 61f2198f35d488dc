"""Images in prompts: the model gets them, or the turn says why not."""

from __future__ import annotations

import base64
import re
import struct
import zlib

import pytest

from tests.support.model.serving import script
from tests.support.real_harnesses import NAMES

pytestmark = [pytest.mark.needs("harnesses", "model"), pytest.mark.timeout(150)]


def png(side: int) -> str:
    """A picture in base64: so many red pixels each way."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\xff\0\0" * side) * side
    whole = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + whole).decode()


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_shown_the_picture(name, start, model):
    picture = png(60 + NAMES.index(name))
    block = {"type": "image", "mimeType": "image/png", "data": picture}
    turn = start(name).send([{"type": "text", "text": script({"text": "I see it"})}, block])
    assert (turn.status, turn.error, turn.text) == ("completed", None, "I see it")
    assert picture in model.images
    assert re.search(r"END\n\[image/png, 1\d\d B\]$", turn.steps[0].text)
