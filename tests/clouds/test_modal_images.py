"""Images of Modal: built once by its own builder, found again, with the commands of `setup` in them."""

import asyncio
import sys

import pytest

from session_widgets._sandboxes import SandboxSpec
from session_widgets._sandboxes.clouds import limits
from session_widgets._sandboxes.clouds.building import built
from session_widgets._sandboxes.clouds.contract import BoxSpec
from session_widgets._sandboxes.clouds.modal import ModalImages, ModalVendor, provider
from session_widgets._sandboxes.clouds.recipes import Recipe
from session_widgets.errors import SandboxAuth, SandboxError, SandboxQuota
from session_widgets.progress import silent
from tests.standins.modal_account import ModalAccount

pytestmark = pytest.mark.needs("boxes")

BOX = BoxSpec({"test": "images"}, ports=(), idle=300, lifetime=3600)


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with ModalAccount.entered(tmp_path_factory.mktemp("modal")) as account, pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "SECONDS_BETWEEN", 0)
        yield account
        assert account.running == []
        assert account.take_unexpected() == []


@pytest.fixture
async def modal(account):
    vendor = ModalVendor()
    yield vendor
    await vendor.aclose()


async def image(vendor, recipe, folder, progress=silent):
    return await built(ModalImages(vendor), "Modal", recipe, BOX, folder, progress)


async def announce(ref):
    """No record is needed."""


async def test_setup_is_built_once_for_all_sandboxes_and_what_it_does_is_shown(account, modal, tmp_path):
    shown = []
    recipe = Recipe(None, ("id -u > /srv/who", "cat > /srv/poem <<'EOT'\n$HOME 'sweet'\nEOT"))
    before = account.books()
    id, same = await asyncio.gather(*(image(modal, recipe, tmp_path, shown.append) for _ in range(2)))
    assert id == same
    after = account.books()
    layers = [commands[2] for commands in after["built"] if commands[1:2] == ["FROM base"]]
    assert set(layers) >= {f"RUN {command}" for command in recipe.commands}
    assert layers[-len(recipe.layer) :] == [f"RUN {command}" for command in recipe.layer]
    assert after["names"] == {**before["names"], recipe.name(*sys.version_info[:2]): id}
    assert any(line.startswith("Setting up the sandbox, 2 of 2: cat > /srv/poem") for line in shown)
    assert "Waiting for another session that builds the image of the sandbox" in shown

    spec = SandboxSpec("s1", str(tmp_path / "w"), {}, setup=recipe.setup)
    ours = provider(tmp_path)
    sandbox = await ours.create(spec, announce)
    assert (await sandbox.exec("cat /srv/who /srv/poem")).out == "0\n$HOME 'sweet'\n"
    await sandbox.aclose()
    await ours.destroy(sandbox.ref)
    await ours.aclose()
    assert account.books()["built"] == after["built"]


async def test_setup_of_another_image_is_built_on_that(account, modal, tmp_path):
    assert await image(modal, Recipe("python:3.12", ("true",)), tmp_path)
    assert ["FROM python:3.12"] in account.books()["built"]


async def test_a_command_that_fails_is_shown_with_its_output_and_may_be_repeated(account, modal, tmp_path):
    recipe = Recipe(None, ("echo so far; echo no such thing >&2; exit 3",))
    before = account.books()["names"]
    words = r"^setup: 'echo so far; .*' failed with code 3:\nso far\nno such thing$"
    for _ in range(2):
        with pytest.raises(SandboxError, match=words) as raised:
            await image(modal, recipe, tmp_path)
        assert type(raised.value) is SandboxError
    assert account.books()["names"] == before


@pytest.mark.parametrize(
    ("call", "status", "message", "error"),
    [
        ("ImageGetByTag", "UNAUTHENTICATED", "no", SandboxAuth),
        ("ImageGetOrCreate", "RESOURCE_EXHAUSTED", "the limit of images is reached", SandboxQuota),
    ],
)
async def test_a_vendor_that_fails_before_the_build_says_why(account, modal, tmp_path, call, status, message, error):
    before = account.books()["names"]
    account.fault(call, status=status, message=message)
    with pytest.raises(error):
        await image(modal, Recipe(None, ("true",)), tmp_path)
    assert account.books()["names"] == before
