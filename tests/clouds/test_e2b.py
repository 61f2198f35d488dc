"""E2B: the contract of every provider, and what is its own, through the unmodified SDK and the stand-in."""

import asyncio

import pytest

from session_widgets._sandboxes import SandboxSpec
from session_widgets._sandboxes.clouds import limits
from session_widgets._sandboxes.clouds.e2b import provider
from session_widgets._sandboxes.conformance import CHECKS, Subject
from tests.clouds.sharing import OF_LIFE, SharingSubject
from tests.standins.e2b_account import E2BAccount

pytestmark = pytest.mark.needs("boxes")


def spec(home, **options):
    return SandboxSpec("s1", str(home / "workspace"), {}, **options)


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with E2BAccount(tmp_path_factory.mktemp("e2b")) as account, pytest.MonkeyPatch.context() as patch:
        for name, value in account.environment.items():
            patch.setenv(name, value)
        patch.setattr(limits, "SECONDS_BETWEEN", 0)
        yield account
        assert account.boxes == {}


@pytest.fixture(scope="module")
def shared(account, tmp_path_factory):
    """The home of a sandbox, and its reference."""
    home = tmp_path_factory.mktemp("shared")

    async def create():
        announced = []
        subject = Subject(provider(home), lambda: spec(home), announced)
        await (await subject.provider.create(spec(home), subject.announce)).aclose()
        return announced[0]

    ref = asyncio.run(create())
    yield home, ref
    asyncio.run(provider(home).destroy(ref))


@pytest.fixture(autouse=True)
def nothing_is_left(account, shared):
    """No box outlives its test but the shared one, and the stand-in knows every request."""
    yield
    assert list(account.boxes.values()) == ["running"]
    assert account.take_unknown() == []


@pytest.fixture
def subject(tmp_path):
    return Subject(provider(tmp_path), lambda: spec(tmp_path))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(check, shared, subject):
    home, ref = shared
    sharing = SharingSubject(provider(home), lambda: spec(home), ref)
    await check(subject if check in OF_LIFE else sharing)
