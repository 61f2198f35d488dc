"""What all clouds have in common, on boxes of this machine without any vendor's SDK."""

import pytest

from session_widgets._sandboxes import SandboxSpec
from session_widgets._sandboxes.clouds import limits
from session_widgets._sandboxes.clouds.provider import CloudProvider
from session_widgets._sandboxes.conformance import CHECKS, Subject
from tests.standins.machine import Boxes
from tests.standins.plain import PlainVendor

pytestmark = pytest.mark.needs("boxes")


@pytest.fixture
async def vendor(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "SECONDS_BETWEEN", 0)
    boxes = Boxes(tmp_path)
    yield PlainVendor(boxes)
    left = list(boxes.live)
    await boxes.close()
    assert left == [], "boxes were left"


@pytest.fixture
def subject(vendor, tmp_path):
    return Subject(CloudProvider(tmp_path, vendor), lambda: SandboxSpec("s1", str(tmp_path / "workspace"), {}))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(check, subject):
    await check(subject)
