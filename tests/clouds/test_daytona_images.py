"""Snapshots of Daytona: built once by its own builder, found again, with the commands of `setup` in them."""

import asyncio

import pytest

from session_widgets._sandboxes import SandboxSpec
from session_widgets._sandboxes.clouds import limits
from session_widgets._sandboxes.clouds.building import built
from session_widgets._sandboxes.clouds.contract import BoxSpec
from session_widgets._sandboxes.clouds.daytona import Daytona, DaytonaImages, provider
from session_widgets._sandboxes.clouds.recipes import Recipe
from session_widgets.errors import SandboxAuth, SandboxBusy, SandboxError
from session_widgets.progress import silent
from tests.standins.daytona_account import DaytonaAccount
from tests.support.waiting import until_async

pytestmark = pytest.mark.needs("boxes")

BOX = BoxSpec({"test": "images"}, ports=(), idle=300, lifetime=3600)


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with DaytonaAccount(tmp_path_factory.mktemp("daytona")) as account, pytest.MonkeyPatch.context() as patch:
        for name, value in account.environment.items():
            patch.setenv(name, value)
        patch.setattr(limits, "SECONDS_BETWEEN", 0)
        yield account
        assert account.boxes == {}
        assert account.take_unknown() == []


@pytest.fixture
async def daytona(account):
    vendor = Daytona()
    yield vendor
    await vendor.aclose()


async def image(vendor, recipe, folder, progress=silent, spec=BOX):
    return await built(DaytonaImages(vendor), "Daytona", recipe, spec, folder, progress)


async def test_setup_is_built_once_for_all_sandboxes_and_what_it_does_is_shown(account, daytona, tmp_path):
    shown = []
    recipe = Recipe(None, ("echo first; id -u > /srv/who", "cat > /srv/poem <<'EOT'\n$HOME 'sweet'\nEOT"))
    before = account.books()
    name, same = await asyncio.gather(*(image(daytona, recipe, tmp_path, shown.append) for _ in range(2)))
    assert name == same
    after = account.books()
    (build,) = after["builds"][len(before["builds"]) :]
    lines = build["buildInfo"]["dockerfileContent"].strip().split("\n")
    assert lines[0].startswith("FROM debian:bookworm-slim@sha256:")
    assert lines[2:-1] == [f"RUN {command}" for command in recipe.commands]
    assert after["snapshots"] == {**before["snapshots"], name: "active"}
    assert "Building the image of the sandbox at Daytona: first" in shown
    assert any(line.startswith("Setting up the sandbox, 2 of 2: cat > /srv/poem") for line in shown)
    assert "Waiting for another session that builds the image of the sandbox" in shown

    account.set_aside(name)
    spec = SandboxSpec("s1", str(tmp_path / "w"), {}, setup=recipe.setup)
    ours = provider(tmp_path)
    sandbox = await ours.create(spec, announce)
    assert (await sandbox.exec("cat /srv/who /srv/poem")).out == "0\n$HOME 'sweet'\n"
    await sandbox.aclose()
    await ours.destroy(sandbox.ref)
    await ours.aclose()
    books = account.books()
    assert books["created"][-1]["snapshot"] == name
    assert books["snapshots"][name] == "active", "it was set aside, and is used again"
    assert len(books["builds"]) == len(after["builds"])


async def announce(ref):
    """No record is needed."""


async def test_a_size_is_the_one_of_the_image_and_setup_of_a_snapshot_runs_in_the_sandbox(account, daytona, tmp_path):
    big = BoxSpec({"test": "big"}, ports=(), idle=300, lifetime=3600, cpus=2, memory=3 << 29)
    names = [await image(daytona, Recipe(None, ()), tmp_path, spec=spec) for spec in (BOX, big)]
    assert len(set(names)) == 2
    build = account.books()["builds"][-1]
    assert (build["cpu"], build["memory"], build["name"]) == (2, 2, names[1])
    assert await image(daytona, Recipe("daytona-small", ("true",)), tmp_path) is None
    assert await image(daytona, Recipe("python:3.12", ("true",)), tmp_path)
    assert account.books()["builds"][-1]["buildInfo"]["dockerfileContent"].startswith("FROM python:3.12\nUSER root\n")


async def test_two_installations_build_one_image_and_one_that_was_cut_off_is_awaited(account, daytona, tmp_path):
    before = len(account.books()["builds"])
    await asyncio.gather(*(image(daytona, Recipe(None, ("echo at once",)), tmp_path / name) for name in ("a", "b")))
    assert len(account.books()["builds"]) == before + 1, "the other one was refused: the name is taken"
    recipe = Recipe(None, ("sleep 2",))
    cut = asyncio.create_task(image(daytona, recipe, tmp_path))
    await until_async(lambda: len(account.books()["builds"]) == before + 2, seconds=20, what="its build")
    cut.cancel()
    await asyncio.gather(cut, return_exceptions=True)
    first, second = await asyncio.gather(*(image(daytona, recipe, tmp_path / name) for name in ("a", "b")))
    assert first == second
    assert len(account.books()["builds"]) == before + 2
    assert account.books()["snapshots"][first] == "active"


async def test_a_command_that_fails_is_shown_with_its_output_and_leaves_nothing(account, daytona, tmp_path):
    before = account.books()["snapshots"]
    recipe = Recipe(None, ("echo so far; echo no such thing >&2; exit 3",))
    words = r"^setup: 'echo so far; .*' failed with code 3:\nso far\nno such thing$"
    with pytest.raises(SandboxError, match=words) as raised:
        await image(daytona, recipe, tmp_path)
    assert type(raised.value) is SandboxError
    assert account.books()["snapshots"] == before


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "refused", "route": "GET /api/snapshots", "status": 401, "message": "no"}, SandboxAuth),
        ({"kind": "429", "route": "POST /api/snapshots"}, SandboxBusy),
    ],
)
async def test_a_vendor_that_fails_before_the_build_makes_nothing(account, daytona, tmp_path, fault, error):
    before = account.books()["snapshots"]
    account.fault(**fault)
    with pytest.raises(error):
        await image(daytona, Recipe(None, ("true",)), tmp_path)
    assert account.books()["snapshots"] == before
