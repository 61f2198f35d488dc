"""The docker provider: the contract, and what is its own."""

import pytest

from session_widgets.sandboxes import SandboxSpec, get_provider
from session_widgets.sandboxes.conformance import CHECKS, Subject

pytestmark = pytest.mark.needs("docker")


@pytest.fixture
def subject(tmp_path):
    return Subject(get_provider("docker", tmp_path), lambda: SandboxSpec("s1", str(tmp_path / "workspace"), {}))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(check, subject):
    await check(subject)
