"""Templates of E2B: built once by its own builder, found again, with the commands of `setup` in them."""

import asyncio
from dataclasses import replace

import pytest

from session_widgets._sandboxes import SandboxSpec
from session_widgets._sandboxes.clouds import limits
from session_widgets._sandboxes.clouds.e2b import provider
from session_widgets._sandboxes.clouds.recipes import Recipe
from session_widgets.errors import SandboxAuth, SandboxBusy, SandboxError, TransportError
from tests.standins.e2b_account import E2BAccount

pytestmark = pytest.mark.needs("boxes")

OWN = Recipe(None, ()).name()


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


async def in_a_box(e2b, spec, command):
    """What a command prints in a new sandbox, which is removed."""
    sandbox = await e2b.create(spec, announce)
    try:
        return (await sandbox.exec(command)).out
    finally:
        await sandbox.aclose()
        await e2b.destroy(sandbox.ref)


async def test_setup_is_built_once_for_all_sandboxes_and_what_it_does_is_shown(account, tmp_path):
    shown = []
    setup = ("echo first; id -u > /srv/who", "cat > /srv/poem <<'EOT'\n$HOME 'sweet'\nEOT")
    spec = SandboxSpec("s1", str(tmp_path / "w"), {}, setup=setup, progress=shown.append)
    e2b, other = provider(tmp_path), provider(tmp_path)
    before = account.books()
    printed = await asyncio.gather(*(in_a_box(one, spec, "cat /srv/who /srv/poem") for one in (e2b, other)))
    assert printed == ["0\n$HOME 'sweet'\n"] * 2
    after = account.books()
    (build,) = after["builds"][len(before["builds"]) :]
    assert build["fromImage"].startswith("debian:bookworm-slim@sha256:")
    own = [{"type": "RUN", "args": [command, "root"], "force": False} for command in Recipe(None, ()).commands]
    assert build["steps"][: len(own)] == own
    name = Recipe(None, setup).name()
    assert after["templates"] == {**before["templates"], name: ["built", "ready"]}
    assert [box["templateID"] for box in after["created"][-2:]] == [f"{name}:ready"] * 2
    assert "Building the image of the sandbox at E2B: first" in shown
    assert "Waiting for another session that builds the image of the sandbox" in shown
    assert await in_a_box(provider(tmp_path / "another"), spec, "cat /srv/who") == "0\n"
    assert len(account.books()["builds"]) == len(after["builds"])


async def test_the_image_of_this_package_is_found_and_another_one_is_taken_as_it_is(account, tmp_path):
    spec = SandboxSpec("s1", str(tmp_path / "w"), {})
    before = account.books()
    await in_a_box(provider(tmp_path), spec, "true")
    await in_a_box(provider(tmp_path), replace(spec, image="base"), "true")
    after = account.books()
    assert after["builds"] == before["builds"]
    assert [box["templateID"] for box in after["created"][-2:]] == [f"{OWN}:ready", "base"]


async def test_setup_of_another_image_is_built_on_that(account, tmp_path):
    spec = SandboxSpec("s1", str(tmp_path / "w"), {}, image="base", setup=("echo on > /srv/base",))
    assert await in_a_box(provider(tmp_path), spec, "cat /srv/base") == "on\n"
    assert account.books()["builds"][-1]["fromTemplate"] == "base"


async def test_a_command_that_fails_is_shown_with_its_output_and_may_be_repeated(account, tmp_path):
    spec = SandboxSpec("s1", str(tmp_path / "w"), {}, setup=("echo so far; echo no such thing >&2; exit 3",))
    e2b = provider(tmp_path)
    for _ in range(2):
        with pytest.raises(
            SandboxError, match=r"(?s)E2B could not .*status 3\nThe output ended:\n.*so far\nno such"
        ) as e:
            await e2b.create(spec, announce)
        assert type(e.value) is SandboxError
    assert account.books()["templates"][Recipe(None, spec.setup).name()] == ["built"]
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
    spec = SandboxSpec("s1", str(tmp_path / "w"), {}, setup=("true",))
    with pytest.raises(error):
        await provider(tmp_path).create(spec, announce)
    account.forget_faults()
    assert Recipe(None, spec.setup).name() not in account.books()["templates"]
