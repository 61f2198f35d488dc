"""Templates of E2B: built once by its own builder, found again, with the commands of `setup` in them."""

import asyncio
from dataclasses import replace

import pytest

from session_widgets._sandboxes import SandboxSpec
from session_widgets._sandboxes.clouds import limits
from session_widgets._sandboxes.clouds.building import built
from session_widgets._sandboxes.clouds.contract import BoxSpec
from session_widgets._sandboxes.clouds.e2b import E2BImages, provider
from session_widgets._sandboxes.clouds.e2b_images import size_of
from session_widgets._sandboxes.clouds.recipes import Recipe
from session_widgets.errors import BadValue, SandboxAuth, SandboxBusy, SandboxError, TransportError
from session_widgets.progress import silent
from tests.standins.e2b_account import E2BAccount
from tests.support.waiting import until_async

pytestmark = pytest.mark.needs("boxes")

BOX = BoxSpec({"test": "images"}, ports=(), idle=300, lifetime=3600)


@pytest.fixture(scope="module")
def account(tmp_path_factory):
    with E2BAccount(tmp_path_factory.mktemp("e2b")) as account, pytest.MonkeyPatch.context() as patch:
        for name, value in account.environment.items():
            patch.setenv(name, value)
        patch.setattr(limits, "SECONDS_BETWEEN", 0)
        yield account
        assert account.boxes == {}
        assert account.take_unknown() == []


async def announce(ref):
    """No record is needed."""


async def image(recipe, folder, progress=silent, box=BOX):
    return await built(E2BImages(), "E2B", recipe, box, folder, progress)


async def test_setup_is_built_once_for_all_sandboxes_and_what_it_does_is_shown(account, tmp_path):
    shown = []
    recipe = Recipe(None, ("echo first; id -u > /srv/who", "cat > /srv/poem <<'EOT'\n$HOME 'sweet'\nEOT"))
    before = account.books()
    template, same = await asyncio.gather(*(image(recipe, tmp_path, shown.append) for _ in range(2)))
    assert template == same == f"{recipe.name()}:ready"
    after = account.books()
    (build,) = after["builds"][len(before["builds"]) :]
    assert build["fromImage"].startswith("debian:bookworm-slim@sha256:")
    assert [step["args"] for step in build["steps"]] == [[command, "root"] for command in recipe.commands]
    assert set(after["templates"]) == {*before["templates"], recipe.name()}
    assert after["templates"][recipe.name()]["ready"] == "ready"
    assert "Building the image of the sandbox at E2B: first" in shown
    assert any(line.startswith("Setting up the sandbox, 2 of 2: cat > /srv/poem") for line in shown)
    assert "Waiting for another session that builds the image of the sandbox" in shown

    e2b = provider(tmp_path)
    sandbox = await e2b.create(SandboxSpec("s1", str(tmp_path / "w"), {}, setup=recipe.setup), announce)
    assert (await sandbox.exec("cat /srv/who /srv/poem")).out == "0\n$HOME 'sweet'\n"
    await sandbox.aclose()
    await e2b.destroy(sandbox.ref)
    books = account.books()
    assert books["created"][-1]["templateID"] == template
    assert len(books["builds"]) == len(after["builds"])


async def test_the_image_of_this_package_is_found_and_setup_of_another_one_is_built_on_that(account, tmp_path):
    before = account.books()["builds"]
    assert await image(Recipe(None, ()), tmp_path) == f"{Recipe(None, ()).name()}:ready"
    assert account.books()["builds"] == before
    shown, hidden = [], []
    hide = "for one in node python3; do mount --bind /dev/null $(command -v $one); done"
    assert await image(Recipe("base", (), node=True), tmp_path, shown.append)
    assert await image(Recipe("base", (hide,), node=True), tmp_path, hidden.append)
    assert account.books()["builds"][-1]["fromTemplate"] == "base"
    assert [line for line in shown if line.startswith("Building the image of the sandbox at E2B: v")]
    assert "Building the image of the sandbox at E2B: no Node.js was installed" in hidden


async def test_another_size_is_another_template_that_is_built_with_it(account, tmp_path):
    own, e2b = Recipe(None, ()), provider(tmp_path)
    before = len(account.books()["builds"])
    sandbox = await e2b.create(SandboxSpec("s1", str(tmp_path / "w"), {}, cpus=4, memory=8 << 30), announce)
    books = account.books()
    assert [build["size"] for build in books["builds"][before:]] == [[4, 8192]]
    assert list(books["sizes"].values()) == [[4, 8192]], "of the sandbox"
    assert books["created"][-1]["templateID"] == f"{own.name(4, 8192)}:ready"
    await sandbox.aclose()
    await e2b.destroy(sandbox.ref)
    assert await image(own, tmp_path, box=replace(BOX, cpus=4, memory=(8 << 30) - 1)) == f"{own.name(4, 8192)}:ready"
    assert await image(own, tmp_path, box=replace(BOX, cpus=2, memory=1 << 30)) == f"{own.name()}:ready", "the default"
    assert len(account.books()["builds"]) == before + 1
    assert await image(Recipe("base", ("true",)), tmp_path, box=replace(BOX, cpus=1))
    build = account.books()["builds"][-1]
    assert (build["fromTemplate"], build["size"]) == ("base", [1, 1024])


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({}, (2, 1024)),
        ({"cpus": 1.0, "memory": 64 << 20}, (1, 128)),
        ({"cpus": 32, "memory": (1 << 30) + 1}, (32, 1026)),
        ({"memory": 1001 << 20}, (2, 1002)),
    ],
)
def test_memory_is_an_even_number_of_mib_and_at_least_what_is_asked_for(asked, size):
    assert size_of(replace(BOX, **asked)) == size


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"cpus": 0.5}, r"cpus must be 1, 2, 4, \.\.\.; got 0\.5"),
        ({"cpus": 3}, r"cpus must be 1, 2, 4, \.\.\.; got 3"),
        ({"cpus": 16}, "E2B refuses cpus= or memory= of the sandbox: 400: CPU count can't be higher than 8"),
        ({"memory": 9 << 30}, "E2B refuses cpus= or memory= .*Memory can't be higher than 8192 MiB"),
        ({"cpus": 2, "memory": 1 << 30, "image": "base"}, "size of the template 'base' .* leave out cpus= and memory="),
        ({"memory": 1 << 30, "image": "base"}, "set at its build: leave out memory=. With setup=, or without image="),
    ],
)
async def test_a_size_that_cannot_be_had_is_a_bad_value_and_makes_nothing(account, tmp_path, asked, words):
    before, e2b = account.books(), provider(tmp_path)
    with pytest.raises(BadValue, match=words):
        await e2b.create(SandboxSpec("s1", str(tmp_path / "w"), {}, **asked), announce)
    after = account.books()
    assert (after["templates"], after["created"]) == (before["templates"], before["created"])
    assert [info async for info in e2b.list()] == []


async def test_a_build_of_another_installation_that_is_not_complete_is_not_taken(account, tmp_path):
    recipe, shown = Recipe(None, ("sleep 0.5", "sleep 0.5")), []
    first = asyncio.create_task(image(recipe, tmp_path / "a", shown.append))
    await until_async(lambda: "Setting up the sandbox, 2 of 2: sleep 0.5" in shown, seconds=20, what="one half")
    second = asyncio.create_task(image(recipe, tmp_path / "b"))
    await first
    assert account.books()["templates"][recipe.name()]["ready"] == "ready"
    assert await second == first.result()


async def test_a_command_that_fails_is_shown_with_its_output_and_may_be_repeated(account, tmp_path):
    spec = SandboxSpec("s1", str(tmp_path / "w"), {}, setup=("echo so far; echo no such thing >&2; exit 3",))
    words = r"^setup: 'echo so far; .*' failed with code 3:\nso far\nno such thing$"
    e2b = provider(tmp_path)
    for _ in range(2):
        with pytest.raises(SandboxError, match=words) as raised:
            await e2b.create(spec, announce)
        assert type(raised.value) is SandboxError
    assert set(account.books()["templates"][Recipe(None, spec.setup).name()].values()) == {"error"}
    assert [info async for info in e2b.list()] == []


@pytest.mark.parametrize(
    ("kind", "route", "error"),
    [
        ("401", "GET /templates/{id}/tags", SandboxAuth),
        ("html", "GET /templates/{id}/tags", TransportError),
        ("429", "POST /v3/templates", SandboxBusy),
    ],
)
async def test_a_vendor_that_fails_before_the_build_makes_nothing(account, tmp_path, kind, route, error):
    account.fault(kind, route, after=0, times=9)
    recipe = Recipe(None, ("true",))
    with pytest.raises(error):
        await image(recipe, tmp_path)
    account.forget_faults()
    assert recipe.name() not in account.books()["templates"]
