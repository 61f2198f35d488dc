"""The provider `modal`: the contract of every provider, on Modal's stand-in."""

import asyncio

import pytest

from session_widgets._sandboxes import SandboxSpec
from session_widgets._sandboxes.clouds import limits
from session_widgets._sandboxes.clouds.modal import provider
from session_widgets._sandboxes.conformance import CHECKS, OF_LIFE, SharingSubject, Subject
from tests.standins.modal_account import ModalAccount

pytestmark = pytest.mark.needs("boxes")


def spec(home):
    return SandboxSpec("s1", str(home / "workspace"), {})


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with ModalAccount.entered(tmp_path_factory.mktemp("modal")) as account:
        yield account
        books = account.books()
        assert (books["boxes"], books["images"]) == ([], [])


@pytest.fixture(scope="module")
def shared(account, tmp_path_factory):
    """The home of a sandbox, and its reference."""
    home = tmp_path_factory.mktemp("shared")

    async def create():
        modal, announced = provider(home), []
        subject = Subject(modal, lambda: spec(home), announced)
        await (await modal.create(spec(home), subject.announce)).aclose()
        await modal.aclose()
        return announced[0]

    async def destroy():
        modal = provider(home)
        await modal.destroy(ref)
        await modal.aclose()

    ref = asyncio.run(create())
    yield home, ref
    asyncio.run(destroy())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(check, account, shared, tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "SECONDS_BETWEEN", 0)
    home, ref = (tmp_path, None) if check in OF_LIFE else shared
    modal = provider(home)
    subject = Subject(modal, lambda: spec(home)) if ref is None else SharingSubject(modal, lambda: spec(home), ref)
    await check(subject)
    await modal.aclose()
    assert account.take_unexpected() == []
    assert len(account.books()["boxes"]) == 1, "a box outlives its test"
