"""E2B: the contract, through the unmodified SDK and the stand-in."""

import pytest

from session_widgets._sandboxes import SandboxSpec, get_provider
from session_widgets._sandboxes.clouds import limits
from session_widgets._sandboxes.conformance import CHECKS, Subject
from tests.standins.e2b_account import E2BAccount

pytestmark = pytest.mark.needs("boxes")


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with E2BAccount(tmp_path_factory.mktemp("e2b")) as account:
        yield account


@pytest.fixture
def subject(account, tmp_path, monkeypatch):
    """A provider; afterwards no box is left, and no request was unknown to the stand-in."""
    for name, value in account.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(limits, "SECONDS_BETWEEN", 0)
    yield Subject(get_provider("e2b", tmp_path), lambda: SandboxSpec("s1", str(tmp_path / "workspace"), {}))
    assert account.boxes == {}
    assert account.take_unknown() == []


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(check, subject):
    await check(subject)
