"""The provider `modal`: the contract of every provider, on Modal's stand-in."""

import asyncio

import pytest

from session_widgets._sandboxes import SandboxSpec
from session_widgets._sandboxes.clouds import limits
from session_widgets._sandboxes.clouds.modal import provider
from session_widgets._sandboxes.conformance import CHECKS, OF_LIFE, SharingSubject, Subject
from session_widgets.errors import SandboxAuth
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


async def test_a_park_that_breaks_off_before_the_box_has_ended_loses_nothing(account, tmp_path, monkeypatch):
    """The snapshot is recorded by then; the box that goes on is found by its name, and both are removed in the end."""
    monkeypatch.setattr(limits, "SECONDS_BETWEEN", 0)
    before = account.running
    modal = provider(tmp_path)
    subject = Subject(modal, lambda: spec(tmp_path))
    async with subject.sandbox() as sandbox:
        await sandbox.write("note", b"kept")
        (box,) = {*account.running} - {*before}
        account.fault("SandboxTerminateV2", status="PERMISSION_DENIED", message="cut off here")
        with pytest.raises(SandboxAuth, match="cut off here"):
            await modal.park(sandbox.ref)
        (snapshot,) = account.books()["images"]
        assert snapshot in (tmp_path / "clouds" / "modal" / sandbox.ref.id / "sandbox.json").read_text()
        again = await modal.attach(sandbox.ref)
        assert await again.read("note") == b"kept"
        await again.aclose()
        assert {*account.running} - {*before} == {box}
    await modal.aclose()
    assert (account.running, account.books()["images"]) == (before, [])
    assert account.take_unexpected() == []
